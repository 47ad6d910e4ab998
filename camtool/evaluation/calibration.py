"""A threshold chosen on annotated images that are not scored, and kept in the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.annotations import read_annotations
from camtool.errors import EvaluationError, RunError, SettingsError, shorten
from camtool.evaluation.judging import Judge, score_images
from camtool.evaluation.score_maps import swept_maps
from camtool.evaluation.sources import load_predictions
from camtool.metrics.thresholds import Chosen, best_plateau
from camtool.metrics.trials import maps_missing
from camtool.runs import StoredThreshold, read_manifest, read_threshold, write_threshold
from camtool.runs.threshold import ChosenOn
from camtool.settings import differences

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.evaluation.judging import Scoring
    from camtool.evaluation.score_maps import SweptMaps
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.outcome import Criterion
    from camtool.metrics.trials import Trials


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold that was chosen on other images, and what a reader should know of it.

    Attributes:
        threshold: the threshold and where it comes from.
        rule: `calibrated` now, or `stored` before.
        predicted: ids of the predictions that it was chosen on, where they are of the scored run.
    """

    threshold: StoredThreshold
    rule: str
    predicted: frozenset[str] = frozenset()

    @property
    def chosen(self) -> Chosen:
        """The thresholds alone."""
        found = self.threshold
        return Chosen(self.rule, found.value, found.classes, found.at_iou)

    def common(self, scoring: Scoring) -> list[str]:
        """Return the scored images that the threshold was chosen on."""
        ids = set(self.threshold.chosen_on.image_ids)
        pairs = scoring.joined.pairs
        scored = [truth.image_id for truth in scoring.trials.truths]
        return [i for i in scored if i in ids or pairs.get(i) in self.predicted]

    def describe(self) -> str:
        """Return where the threshold comes from, for the reader of a report."""
        found, on = self.threshold, self.threshold.chosen_on
        own = ""
        if found.classes or found.min_images:
            own = (
                f"; {len(found.classes):,} classes of {found.min_images} images or more have their"
                " own, the others take it"
            )
        return (
            f"{_numbers(found)}{own}; chosen on {len(on.image_ids):,} images of {on.annotations} by"
            f" {on.protocol} ({on.metric} {on.accuracy:.2f} % accurate there), the middle of the"
            " widest run of equally good thresholds"
        )


def _numbers(found: StoredThreshold) -> str:
    if not found.at_iou:
        return f"{found.value:.3g}"
    return ", ".join(f"{value:.3g} at IoU {iou / 100:g}" for iou, value in found.at_iou.items())


def stored_calibration(settings: EvalSettings, run: Path | None) -> Calibration | None:
    """Return the threshold that the run keeps from an earlier choice, if it fits the protocol.

    Raises:
        SettingsError: a run to choose on is named, and no images of it.
        RunError: it is there and cannot be read.
    """
    if settings.calibrate_run is not None:
        raise SettingsError(
            f"--calibrate-run {settings.calibrate_run}: says whose maps to choose a threshold on;"
            " --calibrate-on PATH must name the true boxes of its images, too"
        )
    if run is None or settings.predictions is not None or settings.sweep is None:
        return None
    found = read_threshold(run)
    if found is None or bool(found.at_iou) != settings.protocol.needs_maps:
        return None
    return Calibration(found, "stored")


def calibrate(settings: EvalSettings, run: Path | None) -> Calibration:
    """Choose the threshold that is best on the images of `settings.calibrate_on`.

    Raises:
        SettingsError: there is no run, or settings that make no sense together.
        DataError: the annotations cannot be read.
        EvaluationError: they do not fit the predictions, or a map is missing.
        RunError: the run folder cannot be used.
    """
    path, source = settings.calibrate_on, settings.calibrate_run or run
    if settings.predictions is not None or source is None or path is None:
        raise SettingsError(
            "--calibrate-on needs the maps of a run: it goes with a run folder, not --predictions"
        )
    if settings.protocol.threshold_metric is None:
        raise SettingsError(
            f"the protocol {settings.protocol.name} has no threshold to choose; leave out"
            " --calibrate-on"
        )
    if settings.sweep is None:
        raise SettingsError("--calibrate-on needs the thresholds of eval.sweep, which is false")
    if run is not None and source != run:
        _same_method(run, source)
    own: dict[str, Any] = {"annotations": path, "format": None, "blacklist": None, "images": None}
    own_settings = settings.model_copy(update=own)
    annotations = read_annotations(path, None)
    loaded = load_predictions(own_settings, source, annotations)
    swept = swept_maps(own_settings, loaded.rule, loaded.maps)
    if isinstance(swept, str):
        raise EvaluationError(f"--calibrate-on {path}: {source}: {swept}")
    try:
        judge = Judge(own_settings, loaded.known, loaded.maps, swept)
        scoring = score_images(loaded.predictions, annotations, judge)
        found = _chosen(own_settings, source, scoring.trials.located, swept)
    except EvaluationError as error:
        raise EvaluationError(f"--calibrate-on {path}: {error}") from error
    same = source == run
    ids = (scoring.joined.pairs[truth.image_id] for truth in scoring.trials.truths)
    return Calibration(found, "calibrated", frozenset(ids) if same else frozenset())


def _same_method(run: Path, other: Path) -> None:
    """Refuse runs of another network, or with maps or boxes made in another way.

    Raises:
        EvaluationError: they differ; names the settings.
        RunError: a folder holds no run, or an unfinished one.
    """
    one, two = (_method(read_manifest(path)) for path in (run, other))
    if changed := differences(one, two):
        raise EvaluationError(
            f"--calibrate-run {other}: was made in another way than {run} ({', '.join(changed)}"
            " differs): a threshold is good for one network and one kind of map; localize both"
            " alike"
        )


def _method(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that shape a run's maps and boxes, but for the threshold."""
    experiment = manifest.get("experiment") or {}
    localize = experiment.get("localize") or {}
    boxes = {k: v for k, v in (localize.get("boxes") or {}).items() if k != "threshold"}
    shaped = {key: localize.get(key) for key in ("cam", "preprocess", "views")} | {"boxes": boxes}
    weights = (manifest.get("model") or {}).get("sha256")
    return {"model": {**(experiment.get("model") or {}), "sha256": weights}, "localize": shaped}


def _chosen(
    settings: EvalSettings, run: Path, located: Trials, swept: SweptMaps | None
) -> StoredThreshold:
    """Return the threshold that suits these images best."""
    protocol, per_class = settings.protocol, settings.calibrate_per == "class"
    if per_class and swept is None:
        raise SettingsError("eval.calibrate_per: class is for the box protocols, such as ilsvrc")
    if reason := maps_missing(located):
        raise EvaluationError(reason)
    value, at_iou, accuracy = protocol.choose(located)
    chosen_on = ChosenOn(
        annotations=str(settings.annotations),
        run=str(run),
        protocol=protocol.name,
        metric=protocol.threshold_metric or "",
        accuracy=accuracy,
        iou=protocol.known.iou,
        image_ids=tuple(truth.image_id for truth in located.truths),
    )
    return StoredThreshold(
        value=value,
        chosen_on=chosen_on,
        boxes=swept.rule.conditions() if swept else None,
        classes=_by_class(located, protocol.known, settings) if per_class else {},
        min_images=settings.calibrate_min_images if per_class else None,
        at_iou=at_iou,
    )


def _by_class(located: Trials, known: Criterion, settings: EvalSettings) -> dict[str, float]:
    """Return the best threshold of each class that has enough images."""
    thresholds = located.layout.columns.thresholds
    names = np.array(located.names)
    numbers = Counter(located.names)
    found = {}
    for name in sorted(n for n, count in numbers.items() if count >= settings.calibrate_min_images):
        bits = located.table["hits"][names == name, located.layout.criteria.index(known)]
        right = np.unpackbits(bits, axis=1, count=len(thresholds)).sum(0, dtype=np.int64)
        found[name] = float(thresholds[best_plateau(right)])
    return found


def deployable(
    calibration: Calibration | None, scoring: Scoring
) -> tuple[Calibration | None, list[str]]:
    """Return the threshold if it was chosen on other images than are scored, and warnings.

    Raises:
        EvaluationError: it was chosen now, on some of the scored images; names the first.
    """
    common = calibration.common(scoring) if calibration else []
    if calibration is None or not common:
        return calibration, []
    first = shorten(common[0])
    if calibration.rule == "calibrated":
        raise EvaluationError(
            f"{len(common):,} images of --calibrate-on are scored, too (first: {first}); a "
            "threshold chosen on them would be an oracle: choose it on other images"
        )
    return None, [
        f"the run's stored threshold was chosen on {len(common):,} of the scored images (first: "
        f"{first}), so it says nothing of new images and is left out"
    ]


def store(calibration: Calibration, run: Path) -> list[str]:
    """Write a chosen threshold into the run; return a warning where it cannot be written."""
    try:
        write_threshold(run, calibration.threshold)
    except RunError as error:
        return [f"the chosen threshold is not stored: {error}"]
    return []
