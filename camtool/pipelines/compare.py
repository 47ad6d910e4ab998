"""Compare: runs → judged on the same images → paired differences, and images that changed side.

Nothing here needs a network: runs are read from their folders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import EvaluationError, SettingsError
from camtool.evaluation.comparable import common_images, same_classes
from camtool.evaluation.comparison import Comparison, PairedMetric, RunPair
from camtool.evaluation.convention import by_index, convention
from camtool.evaluation.details_rules import rules as kind_rules
from camtool.evaluation.kind_changes import kind_changes
from camtool.evaluation.predictions import load_predictions
from camtool.evaluation.scoring import annotation_warnings, score_images
from camtool.metrics.paired import EXACT_BELOW, mcnemar, paired_difference
from camtool.metrics.pxap_protocol import PxAP
from camtool.metrics.resampling import by_stratum

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.result import EvalSettings
    from camtool.evaluation.scoring import Scoring
    from camtool.metrics.confidence import Bootstrap
    from camtool.metrics.marks import Mark, Marks

__all__ = ["compare_runs"]

_FEW_IDS: Final = 5


@dataclass(frozen=True, slots=True)
class _Run:
    path: Path
    scoring: Scoring
    network_classes: int | None
    box_rule: str | None


@bulk_creation()
def compare_runs(runs: Sequence[Path], settings: EvalSettings) -> Comparison:
    """Compare the first run to each other one, by every metric that both allow.

    Args:
        runs: finished run folders of `camtool localize`, at least two.
        settings: what to score, and how. Maps are scored at the protocol's fixed threshold: the
            best one is chosen for each run by itself, which would be no fair pair.

    Raises:
        SettingsError: fewer than two runs, no true boxes, or settings that make no sense here.
        DataError: annotations, predictions or the black-list cannot be read.
        EvaluationError: the runs cannot be compared: other images, other classes, other joins
            with the annotations.
        RunError: a folder holds no run, or an unfinished one.
    """
    annotations = _annotations(runs, settings)
    # No figure of a comparison needs the strongest points of maps.
    asked = settings.diagnosis.model_copy(update={"pointing": False})
    settings = settings.model_copy(update={"diagnosis": asked})
    for run in runs[1:]:
        same_classes(runs[0], run)
    first = _score(runs[0], annotations, settings)
    pairs: list[RunPair] = []
    rules = {str(first.path): first.box_rule}
    warnings = _warnings(first)
    # One run beside the first at a time: what is kept of a run grows with its images.
    for path in runs[1:]:
        second = _score(path, annotations, settings)
        pairs.append(_pair(first, second, settings))
        rules[str(path)] = second.box_rule
        warnings += _warnings(second)
    return Comparison(
        protocol=settings.protocol.name,
        measure=settings.protocol.measure,
        convention=_convention(settings, annotations, first.scoring, rules)
        | kind_rules(settings, kinds=any(pair.kinds for pair in pairs), figures=()),
        pairs=tuple(pairs),
        warnings=(*annotation_warnings(annotations), *dict.fromkeys(warnings)),
    )


def _annotations(runs: Sequence[Path], settings: EvalSettings) -> AnnotationSet:
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
    if isinstance(settings.protocol, PxAP):
        raise SettingsError(f"the protocol pxap compares no runs: {settings.protocol.unpaired}")
    return read_annotations(settings.annotations, settings.format)


def _score(run: Path, annotations: AnnotationSet, settings: EvalSettings) -> _Run:
    loaded = load_predictions(settings, run, annotations)
    try:
        scoring = score_images(
            loaded.predictions, annotations, settings, known=loaded.known, maps=loaded.maps
        )
    except EvaluationError as error:
        if str(run) in str(error):
            raise
        raise EvaluationError(f"{run}: {error}") from error
    return _Run(run, scoring, loaded.known.number if loaded.known else None, loaded.box_rule)


def _warnings(run: _Run) -> list[str]:
    return [f"{run.path}: {warning}" for warning in run.scoring.warnings]


def _pair(first: _Run, second: _Run, settings: EvalSettings) -> RunPair:
    common, left_out = common_images(
        (str(first.path), first.scoring),
        (str(second.path), second.scoring),
        allow_missing=settings.allow_missing,
    )
    # Truth and black-list are the same for both: so are the images that count for localization.
    located = [j.truth.image_id for j in first.scoring.located if j.truth.image_id in common]
    scored = [j.truth.image_id for j in first.scoring.scored if j.truth.image_id in common]
    one, two = (_marks(run, common, settings) for run in (first, second))
    kept = [(one.classification, two.classification, scored)]
    kept += [(one.localization, two.localization, located)]
    classes = _classes(first, settings)
    metrics = {
        name: _metric(ids, ours[name], theirs[name], classes, settings)
        for ours, theirs, ids in kept
        for name in ours
        if name in theirs
    }
    absent = {n: f"{second.path}: {why}" for n, why in two.absent.items()}
    absent |= {n: f"{first.path}: {why}" for n, why in one.absent.items()}
    before, after = (
        [j for j in run.scoring.located if j.truth.image_id in common] for run in (first, second)
    )
    kinds = kind_changes(before, after, metrics)
    return RunPair(str(first.path), str(second.path), len(common), left_out, metrics, absent, kinds)


def _marks(run: _Run, common: frozenset[str], settings: EvalSettings) -> Marks:
    # Every outcome comes from this very protocol, which the type checker cannot see.
    scored: list[Any] = [j.outcome for j in run.scoring.scored if j.truth.image_id in common]
    located: list[Any] = [j.outcome for j in run.scoring.located if j.truth.image_id in common]
    return settings.protocol.marks(scored, located, network_classes=run.network_classes)


def _classes(run: _Run, settings: EvalSettings) -> dict[str, Hashable] | None:
    """Return the stratum of each image, by id; None where nothing is stratified."""
    truths = [j.truth for j in run.scoring.scored]
    strata = settings.bootstrap.strata(truths)
    return None if strata is None else {t.image_id: s for t, s in zip(truths, strata, strict=True)}


def _metric(
    ids: Sequence[str],
    first: Sequence[Mark],
    second: Sequence[Mark],
    classes: Mapping[str, Hashable] | None,
    settings: EvalSettings,
) -> PairedMetric:
    pairs = list(zip(ids, first, second, strict=True))
    more = [image_id for image_id, (ours, _), (theirs, _) in pairs if theirs > ours]
    less = [image_id for image_id, (ours, _), (theirs, _) in pairs if theirs < ours]
    better, worse = (less, more) if settings.protocol.measure == "error" else (more, less)
    kinds = ((ours, theirs, trials) for _, (ours, trials), (theirs, _) in pairs)
    strata = None if classes is None else [classes[image_id] for image_id in ids]
    return PairedMetric(
        paired_difference(by_stratum(kinds, strata), settings.bootstrap),
        mcnemar(len(better), len(worse)),
        len(better),
        len(worse),
        tuple(better[:_FEW_IDS]),
        tuple(worse[:_FEW_IDS]),
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
    aspects["threshold"] = settings.protocol.paired_threshold() or f"boxes as stored; {stored}"
    aspects["change"] = "second run less first, in percentage points"
    aspects["interval"] = _interval(settings.bootstrap)
    aspects["test"] = (
        "McNemar, two-sided: better against worse images; exact binomial below "
        f"{EXACT_BELOW} of both together, else chi-square with continuity correction"
    )
    return aspects


def _interval(bootstrap: Bootstrap) -> str:
    return f"95 % percentile bootstrap of the difference, in pairs {bootstrap.describe()}"
