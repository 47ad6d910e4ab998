"""Compare: runs → trials of the same images → paired differences, and images that changed side.

Nothing here needs a network: runs are read from their folders.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import EvaluationError, SettingsError
from camtool.evaluation.comparable import common_images, same_classes
from camtool.evaluation.convention import by_index, convention
from camtool.evaluation.details import rules as kind_rules
from camtool.evaluation.judging import Judge, annotation_warnings, score_images
from camtool.evaluation.result import (
    Comparison,
    KindChanges,
    PairedMetric,
    RunGroup,
    RunPair,
)
from camtool.evaluation.sources import load_predictions
from camtool.metrics.diagnosis import KINDS
from camtool.metrics.intervals import EXACT_BELOW, Tally, mcnemar, paired_difference
from camtool.metrics.outcome import ABSENT

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.judging import Scoring
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.intervals import Bootstrap
    from camtool.metrics.protocol import Tallies
    from camtool.metrics.trials import Trials
    from camtool.structures import Annotation

_MOST_IDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Run:
    path: Path
    scoring: Scoring
    network_classes: int | None
    box_rule: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    runs: tuple[_Run, ...]


@bulk_creation()
def compare_runs(
    runs: Sequence[str | Path | Sequence[str | Path]], settings: EvalSettings
) -> Comparison:
    """Compare the first run to each other one, by every metric that both allow.

    Several runs may stand for one, such as an experiment with three seeds: then what a group gets
    right of an image is the mean over its runs, and the difference is paired by image.

    Example:
        >>> from camtool import EvalSettings, Experiment, localize
        >>> run = localize(["examples/images"], Experiment()).folder
        >>> settings = EvalSettings(annotations="examples/val.xml")
        >>> compare_runs([run, run], settings).pairs[0].metrics["top1_localization_error"].better
        0

    Args:
        runs: finished run folders of `camtool localize`, at least two; a sequence among them is a
            group.
        settings: what to score, and how. Maps are scored at the protocol's fixed threshold: the
            best one is chosen for each run by itself, which would be no fair pair.

    Raises:
        SettingsError: fewer than two runs, no true boxes, or settings that make no sense here.
        DataError: annotations, predictions or the black-list cannot be read.
        EvaluationError: the runs cannot be compared: other images, other classes, other joins
            with the annotations.
        RunError: a folder holds no run, or an unfinished one.
    """
    folders = _folders(runs)
    annotations = _annotations(folders, settings)
    first_paths, *others = folders
    # No figure of a comparison needs the strongest points of maps.
    asked = settings.diagnosis.model_copy(update={"pointing": False})
    settings = settings.model_copy(update={"diagnosis": asked})
    for path in (path for group in folders for path in group):
        same_classes(first_paths[0], path)
    first = _group(first_paths, annotations, settings)
    pairs: list[RunPair] = []
    groups = [_by_itself(first, settings)]
    rules, warnings = _rules(first), _warnings(first)
    # One group beside the first at a time: what is kept of a run grows with its images.
    for paths in others:
        second = _group(paths, annotations, settings)
        pairs.append(_pair(first, second, settings))
        groups.append(_by_itself(second, settings))
        rules |= _rules(second)
        warnings += _warnings(second)
    return Comparison(
        protocol=settings.protocol.name,
        measure=settings.protocol.measure,
        convention=_convention(settings, annotations, first.runs[0].scoring, rules)
        | kind_rules(settings, kinds=any(pair.kinds for pair in pairs), figures=()),
        pairs=tuple(pairs),
        warnings=(*annotation_warnings(annotations), *dict.fromkeys(warnings)),
        groups=tuple(groups),
    )


def _folders(runs: Sequence[str | Path | Sequence[str | Path]]) -> list[list[Path]]:
    """Return the paths of each group; a run alone is one."""
    listed = [runs] if isinstance(runs, str | Path) else runs
    folders = [
        [Path(run)] if isinstance(run, str | Path) else [Path(one) for one in run] for run in listed
    ]
    if not all(folders):
        raise SettingsError("a group without a run: camtool compare A1 A2 : B1 B2 --boxes PATH")
    return folders


def _group(paths: Sequence[Path], annotations: AnnotationSet, settings: EvalSettings) -> _Group:
    runs = tuple(_score(path, annotations, settings) for path in paths)
    if len(paths) == 1:
        return _Group(str(paths[0]), runs)
    common = Path(os.path.commonprefix([str(path) for path in paths]).rstrip("-_. "))
    if common in paths[0].parents:
        return _Group(f"{paths[0]} and {len(paths) - 1} more", runs)
    return _Group(f"{common} ({len(paths)} runs)", runs)


def _by_itself(group: _Group, settings: EvalSettings) -> RunGroup:
    """Return the metrics of each run of a group that all of them allow."""
    rates = [
        {
            name: 100 * int(tally.events.sum()) / int(tally.trials.sum())
            for name, tally in _tallies(run.scoring.trials, run, settings).items()
        }
        for run in group.runs
    ]
    shared = [name for name in rates[0] if all(name in of_run for of_run in rates)]
    return RunGroup(
        group.name,
        tuple(str(run.path) for run in group.runs),
        {name: tuple(of_run[name] for of_run in rates) for name in shared},
    )


def _tallies(trials: Trials, run: _Run, settings: EvalSettings) -> dict[str, Tally]:
    found = settings.protocol.tallies(trials, run.network_classes)
    return {**found.classification, **found.localization}


def _rules(group: _Group) -> dict[str, str | None]:
    return {str(run.path): run.box_rule for run in group.runs}


def _annotations(runs: Sequence[Sequence[Path]], settings: EvalSettings) -> AnnotationSet:
    if len(runs) < 2:
        raise SettingsError("a comparison needs two runs: camtool compare RUN RUN --boxes PATH")
    if settings.annotations is None:
        raise SettingsError("no true boxes to compare by: give --boxes PATH (eval.annotations)")
    if settings.predictions is not None or settings.baselines_only:
        raise SettingsError(
            "eval.predictions and eval.baselines_only are for `camtool eval`: a comparison reads "
            "run folders; leave them out"
        )
    if settings.every_protocol:
        raise SettingsError("--protocol all: a comparison is by one protocol; name it")
    if settings.protocol.unpaired:
        name, why = settings.protocol.name, settings.protocol.unpaired
        raise SettingsError(f"the protocol {name} compares no runs: {why}")
    return read_annotations(settings.annotations, settings.format)


def _score(run: Path, annotations: AnnotationSet, settings: EvalSettings) -> _Run:
    loaded = load_predictions(settings, run, annotations)
    try:
        judge = Judge(settings, loaded.known, loaded.maps)
        scoring = score_images(loaded.predictions, annotations, judge)
    except EvaluationError as error:
        if str(run) in str(error):
            raise
        raise EvaluationError(f"{run}: {error}") from error
    classes = len(loaded.known) if loaded.known else None
    return _Run(run, scoring, classes, loaded.box_rule, (*loaded.warnings, *scoring.warnings))


def _warnings(group: _Group) -> list[str]:
    return [f"{run.path}: {warning}" for run in group.runs for warning in run.warnings]


def _pair(first: _Group, second: _Group, settings: EvalSettings) -> RunPair:
    common, left_out = _common(first, second, settings)
    # Truth and black-list are the same for all: so are the images that count for localization.
    tables = [
        [_of_images(run.scoring.trials, common) for run in group.runs] for group in (first, second)
    ]
    found = [
        [
            settings.protocol.tallies(t, run.network_classes)
            for t, run in zip(some, of.runs, strict=True)
        ]
        for some, of in zip(tables, (first, second), strict=True)
    ]
    before, after = tables[0][0], tables[1][0]
    metrics = _metrics(before.truths, _of(found, "classification"), settings) | _metrics(
        before.located.truths, _of(found, "localization"), settings
    )
    absent = {
        name: f"{run.path}: {why}"
        for group, of in zip((second, first), found[::-1], strict=True)
        for run, one in zip(group.runs, of, strict=True)
        for name, why in one.absent.items()
    }
    alone = len(first.runs) == len(second.runs) == 1
    kinds = kind_changes(before.located, after.located, metrics) if alone else {}
    return RunPair(first.name, second.name, len(common), left_out, metrics, absent, kinds)


def _of(
    found: Sequence[Sequence[Tallies]], kind: Literal["classification", "localization"]
) -> list[list[dict[str, Tally]]]:
    return [[getattr(tallies, kind) for tallies in of_group] for of_group in found]


def _metrics(
    truths: Sequence[Annotation], tallies: list[list[dict[str, Tally]]], settings: EvalSettings
) -> dict[str, PairedMetric]:
    """Return the metrics that all runs of both groups allow."""
    first, second = tallies
    return {
        name: _metric(truths, [t[name] for t in first], [t[name] for t in second], settings)
        for name in first[0]
        if all(name in of_run for of_run in (*first, *second))
    }


def _common(first: _Group, second: _Group, settings: EvalSettings) -> tuple[frozenset[str], int]:
    """Return the images that count in all runs of two groups, and how many in some only."""
    one, *others = (*first.runs, *second.runs)
    every = {truth.image_id for truth in one.scoring.trials.truths}
    common = frozenset(every)
    for run in others:
        shared, _ = common_images(
            (str(one.path), one.scoring),
            (str(run.path), run.scoring),
            allow_missing=settings.allow_missing,
        )
        every |= {truth.image_id for truth in run.scoring.trials.truths}
        common &= shared
    if not common:
        raise EvaluationError(f"{first.name} and {second.name}: no image counts in all runs")
    return common, len(every) - len(common)


def _together(tallies: Sequence[Tally], times: int) -> Tally:
    """Return what the runs of a group make of each image, as if they were `times` runs.

    So groups of two and of three runs weigh the same: both are counted in sixths.
    """
    weight = times // len(tallies)
    events = np.stack([tally.events for tally in tallies]).sum(axis=0, dtype=np.int64)
    # Truths are the same for all runs, and so are the trials.
    return Tally(events * weight, tallies[0].trials * times)


def _of_images(trials: Trials, ids: frozenset[str]) -> Trials:
    return trials.of_images(np.array([truth.image_id in ids for truth in trials.truths], np.bool_))


def _metric(
    truths: Sequence[Annotation],
    of_first: Sequence[Tally],
    of_second: Sequence[Tally],
    settings: EvalSettings,
) -> PairedMetric:
    times = math.lcm(len(of_first), len(of_second))
    first, second = _together(of_first, times), _together(of_second, times)
    change = second.events - first.events
    more, less = (
        [truths[i].image_id for i in np.flatnonzero(some).tolist()]
        for some in (change > 0, change < 0)
    )
    better, worse = (less, more) if settings.protocol.measure == "error" else (more, less)
    strata = settings.bootstrap.strata(truths)
    difference = paired_difference(first, second, settings.bootstrap, strata)
    return PairedMetric(
        replace(difference, n=difference.n // times),
        mcnemar(len(better), len(worse)),
        len(better),
        len(worse),
        tuple(better[:_MOST_IDS]),
        tuple(worse[:_MOST_IDS]),
    )


def _convention(
    settings: EvalSettings,
    annotations: AnnotationSet,
    scoring: Scoring,
    rules: dict[str, str | None],
) -> dict[str, str]:
    aspects = convention(
        settings,
        box_rule=None,
        blacklist=scoring.blacklist,
        listed=scoring.black,
        by_index=by_index(annotations),
    )
    stored = "; ".join(f"{run}: {rule or 'unknown'}" for run, rule in rules.items())
    aspects["threshold"] = settings.protocol.paired_threshold or f"boxes as stored; {stored}"
    aspects["change"] = "second run less first, in percentage points"
    aspects["interval"] = _interval(settings.bootstrap)
    aspects["test"] = (
        "McNemar, two-sided: better against worse images; exact binomial below "
        f"{EXACT_BELOW} of both together, else chi-square with continuity correction"
    )
    return aspects


def _interval(bootstrap: Bootstrap) -> str:
    return f"95 % percentile bootstrap of the difference, in pairs {bootstrap.describe()}"


_METRICS: Final = {"top1": "top1_localization_error", "gt_known": "gt_known_error"}


def kind_changes(first: Trials, second: Trials, metrics: Collection[str]) -> dict[str, KindChanges]:
    """Return the changes of the top-1 guess (`top1`) and of the true class's box (`gt_known`).

    Args:
        first: the rows of the first run that count for localization.
        second: the same rows of the second run.
        metrics: names of the metrics that both runs allow; the kinds need theirs.
    """
    changes: dict[str, KindChanges] = {}
    for name, metric in _METRICS.items():
        before, after = (_kinds(run, name) for run in (first, second))
        if metric in metrics and len(before) and max(before.max(), after.max()) < ABSENT:
            numbers = np.zeros((len(KINDS), len(KINDS)), np.int64)
            np.add.at(numbers, (before, after), 1)
            changes[name] = {
                kind: dict(zip(KINDS, row, strict=True))
                for kind, row in zip(KINDS, numbers.tolist(), strict=True)
                if any(row)
            }
    return changes


def _kinds(located: Trials, name: str) -> NDArray[np.uint8]:
    """Return the kinds of the top-1 guess of each image, or of each true class's box."""
    found: NDArray[np.uint8] = located.images["top1"] if name == "top1" else located.table["kind"]
    return found
