"""A threshold chosen on annotated images that are not scored, and kept in the run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from camtool.annotations import read_annotations
from camtool.errors import EvaluationError, RunError, SettingsError, shorten
from camtool.evaluation.predictions import load_predictions
from camtool.evaluation.scoring import score_images
from camtool.evaluation.sweeping import Sweeper, sweeper_of
from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.map_protocols import MapProtocol
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy, thresholds
from camtool.metrics.threshold_figures import Chosen
from camtool.metrics.threshold_table import GT_KNOWN, ThresholdTable, best_plateau
from camtool.runs import StoredThreshold, read_manifest, read_threshold, write_threshold
from camtool.runs.threshold import ChosenOn
from camtool.settings import differences

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.evaluation.result import EvalSettings
    from camtool.evaluation.scoring import Scoring

__all__ = ["Calibration", "calibrate", "deployable", "recall", "store"]


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
        return Chosen(self.rule, self.threshold.value, self.threshold.classes)

    def common(self, scoring: Scoring) -> list[str]:
        """Return the scored images that the threshold was chosen on."""
        ids = set(self.threshold.chosen_on.image_ids)
        pairs = scoring.joined.pairs
        scored = [j.truth.image_id for j in scoring.scored]
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


def recall(settings: EvalSettings, run: Path | None) -> Calibration | None:
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
    if found is None or bool(found.at_iou) != isinstance(settings.protocol, MapProtocol):
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
    if not isinstance(settings.protocol, BoxProtocol | MapProtocol):
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
    sweeper = sweeper_of(own_settings, loaded.boxes, loaded.maps)
    if isinstance(sweeper, str):
        raise EvaluationError(f"--calibrate-on {path}: {source}: {sweeper}")
    try:
        scoring = score_images(
            loaded.predictions,
            annotations,
            own_settings,
            known=loaded.known,
            maps=loaded.maps,
            sweeper=sweeper if isinstance(sweeper, Sweeper) else None,
        )
        if isinstance(sweeper, Sweeper):
            found = _of_boxes(own_settings, source, scoring, sweeper)
        else:
            found = _of_maps(own_settings, source, scoring)
    except EvaluationError as error:
        raise EvaluationError(f"--calibrate-on {path}: {error}") from error
    same = source == run
    ids = (scoring.joined.pairs[j.truth.image_id] for j in scoring.scored)
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


def _chosen_on(settings: EvalSettings, run: Path, scoring: Scoring, accuracy: float) -> ChosenOn:
    protocol = settings.protocol
    boxes = isinstance(protocol, BoxProtocol)
    return ChosenOn(
        annotations=str(settings.annotations),
        run=str(run),
        protocol=protocol.name,
        metric="GT-known localization" if boxes else "box accuracy",
        accuracy=accuracy,
        iou=protocol.iou_threshold if isinstance(protocol, BoxProtocol) else 0.5,
        image_ids=tuple(j.truth.image_id for j in scoring.located),
    )


def _of_boxes(
    settings: EvalSettings, run: Path, scoring: Scoring, sweeper: Sweeper
) -> StoredThreshold:
    table = sweeper.table([j.swept for j in scoring.located])
    lacking = table.lacking(GT_KNOWN)
    if lacking or not table.images:
        raise EvaluationError(
            f"the true class's map is stored for {table.images - lacking:,} of {table.images:,} "
            "images with boxes; `camtool localize --labels` stores it for all"
        )
    right = table.right(GT_KNOWN)[: len(table.shares)]
    place = best_plateau(right)
    per_class = settings.calibrate_per == "class"
    return StoredThreshold(
        value=float(table.shares[place]),
        chosen_on=_chosen_on(settings, run, scoring, 100 * int(right[place]) / table.classes),
        boxes={k: v for k, v in sweeper.boxes.model_dump(mode="json").items() if k != "threshold"},
        classes=_by_class(table, settings.calibrate_min_images) if per_class else {},
        min_images=settings.calibrate_min_images if per_class else None,
    )


def _by_class(table: ThresholdTable, least: int) -> dict[str, float]:
    numbers = Counter(table.names)
    names = sorted(name for name, n in numbers.items() if n >= least)
    return {name: float(table.shares[best_plateau(table.of_class(name))]) for name in names}


def _of_maps(settings: EvalSettings, run: Path, scoring: Scoring) -> StoredThreshold:
    protocol = settings.protocol
    if not isinstance(protocol, MapProtocol):
        raise EvaluationError(f"{run}: keeps no maps to choose a threshold on")
    if settings.calibrate_per == "class":
        raise SettingsError("eval.calibrate_per: class is for the box protocols, such as ilsvrc")
    outcomes: list[Any] = [j.outcome for j in scoring.located]
    if not outcomes or any(outcome.missing for outcome in outcomes):
        raise EvaluationError(
            "the true class's map is not stored for all images with boxes; "
            "`camtool localize --labels` stores it"
        )
    curve = BoxAccuracy.of(o.packed for o in outcomes).compute(thresholds(protocol.interval))
    places = {iou: best_plateau(row) for iou, row in zip(IOUS, curve.right, strict=True)}
    at_iou = {iou: float(curve.thresholds[place]) for iou, place in places.items()}
    accuracy = 100 * int(curve.right[IOUS.index(50), places[50]]) / curve.images
    return StoredThreshold(at_iou[50], _chosen_on(settings, run, scoring, accuracy), at_iou=at_iou)


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
