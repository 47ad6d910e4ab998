"""Evaluate: annotations → predictions → join on image id → figures, with their convention.

Nothing here needs a network: predictions come from files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import EvaluationError, SettingsError
from camtool.evaluation.calibration import calibrate, deployable, recall, store
from camtool.evaluation.convention import by_index, convention
from camtool.evaluation.details import details
from camtool.evaluation.judging import Judge
from camtool.evaluation.predictions import load_predictions, name_order
from camtool.evaluation.result import Counts, EvalSettings, Evaluation
from camtool.evaluation.scoring import (
    annotation_warnings,
    blacklist_warnings,
    is_located,
    load_blacklist,
    score_images,
)
from camtool.evaluation.selection import select_range
from camtool.evaluation.sweeping import Sweeper, sweeper_of
from camtool.evaluation.thresholds import with_thresholds
from camtool.metrics.baselines import score_baselines
from camtool.metrics.baselines_on_maps import map_baselines, true_boxes
from camtool.metrics.box_protocol import BoxProtocol
from camtool.metrics.map_protocols import MapProtocol
from camtool.metrics.oracle import with_levels
from camtool.metrics.pxap_protocol import PxAP
from camtool.metrics.resampling import Strata
from camtool.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.boxes import PaperBoxes
    from camtool.evaluation.calibration import Calibration
    from camtool.evaluation.predictions import Loaded
    from camtool.evaluation.scoring import Scoring
    from camtool.evaluation.truths import KnownClasses
    from camtool.metrics.baselines import Baseline
    from camtool.metrics.confidence import Rate
    from camtool.metrics.figures import Figures
    from camtool.metrics.sources import MapSource
    from camtool.structures import Annotation, Box, Prediction

__all__ = ["Counts", "EvalSettings", "Evaluation", "evaluate", "evaluate_files", "evaluate_loaded"]


@bulk_creation()
def evaluate_files(settings: EvalSettings, run: Path | None = None) -> Evaluation:
    """Score a run folder, or the predictions that the settings name, against annotation files.

    Args:
        settings: what to score, and how; `settings.predictions` goes before `run`.
        run: a run folder of `camtool localize`.

    Raises:
        SettingsError: there is nothing to score, or a range or file name that makes no sense.
        DataError: annotations, predictions or the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together.
        RunError: the run folder cannot be used.
    """
    if settings.annotations is None:
        raise SettingsError("no true boxes to score against: give --boxes PATH (eval.annotations)")
    annotations = read_annotations(settings.annotations, settings.format)
    if settings.baselines_only:
        return evaluate_baselines(annotations, settings)
    choose = settings.calibrate_on is not None
    calibration = calibrate(settings, run) if choose else recall(settings, run)
    loaded = load_predictions(settings, run, annotations)
    result = evaluate_loaded(loaded, annotations, settings, calibration)
    if choose and calibration is not None and run is not None:
        result = replace(result, warnings=(*result.warnings, *store(calibration, run)))
    return result


def evaluate_loaded(
    loaded: Loaded,
    annotations: AnnotationSet,
    settings: EvalSettings,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Score predictions that were opened; see `evaluate`."""
    return evaluate(
        loaded.predictions,
        annotations,
        settings,
        known=loaded.known,
        box_rule=loaded.box_rule,
        maps=loaded.maps,
        boxes=loaded.boxes,
        calibration=calibration,
    )


@bulk_creation()
def evaluate(
    predictions: Iterable[Prediction],
    annotations: AnnotationSet,
    settings: EvalSettings | None = None,
    *,
    known: KnownClasses | None = None,
    box_rule: str | None = None,
    maps: MapSource | None = None,
    boxes: PaperBoxes | None = None,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Score predictions against annotations.

    Args:
        predictions: one an image, in any order; read once.
        annotations: the annotated images.
        settings: what counts; its paths are not read, except the black-list.
        known: the classes that the network knows: images of other classes are left out, since no
            prediction could be right; None where they are unknown.
        box_rule: how the predicted boxes were made, for the convention; None where it is unknown.
        maps: where the predictions' maps are, for the protocols that need them.
        boxes: the box rule, to judge the maps at other thresholds; None where it is unknown.
        calibration: a threshold that was chosen on images that are not scored.

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together: ids, missing images.
    """
    settings = settings or EvalSettings()
    sweeper = sweeper_of(settings, boxes, maps, calibration.chosen if calibration else None)
    scoring = score_images(
        predictions,
        annotations,
        settings,
        known=known,
        maps=maps,
        sweeper=sweeper if isinstance(sweeper, Sweeper) else None,
    )
    calibration, unfit = deployable(calibration, scoring)
    figures = with_thresholds(_figures(scoring, settings, known), scoring, sweeper, calibration)
    told = details(scoring.located, settings, figures.absent, known)
    floor = figures.map_baselines
    if figures.metrics and not floor:
        floor = _map_baselines(scoring, settings)
    return Evaluation(
        protocol=settings.protocol.name,
        convention=convention(
            settings,
            box_rule=box_rule,
            blacklist=scoring.blacklist,
            listed=scoring.black,
            by_index=by_index(annotations),
        )
        | (told.rules if told else {})
        | ({calibration.rule: calibration.describe()} if calibration else {}),
        counts=scoring.counts(len(annotations.problems)),
        metrics=figures.metrics,
        absent=figures.absent,
        baselines=_baselines((j.truth for j in scoring.located), settings),
        join=scoring.join,
        warnings=(
            *annotation_warnings(annotations),
            *scoring.warnings,
            *unfit,
            *figures.warnings,
            *settings.bootstrap.warnings(j.truth for j in scoring.scored),
        ),
        measure=settings.protocol.measure,
        thresholds=figures.thresholds,
        map_baselines=floor,
        curves=with_levels(figures.curves, floor),
        details=told,
    )


def evaluate_baselines(annotations: AnnotationSet, settings: EvalSettings) -> Evaluation:
    """Score only the whole image and centred boxes; every annotated image needs its size.

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: no annotated image has a size and a true box.
    """
    ordered = name_order(annotations, positions=settings.images is not None)
    selected = select_range(ordered, settings.images)
    blacklist = load_blacklist(settings, annotations, ordered)
    judge = Judge(settings, None)
    truths = [judge.truth(annotations.annotations[image_id]) for image_id in selected]
    left_out = Counter(reason for _, reason in truths if reason is not None)
    counting = [truth for truth, reason in truths if reason is None]
    black = sum(truth.image_id in blacklist.ids for truth in counting) if blacklist else 0
    boxed = [truth for truth in counting if is_located(truth, blacklist)]
    sized = [truth for truth in boxed if truth.size is not None]
    baselines = _baselines(sized, settings)
    if not baselines:
        raise EvaluationError(
            f"{annotations.source}: no image has a size and a true box: there is no baseline"
        )
    left_out["annotation could not be used"] = len(annotations.problems)
    left_out["black-listed"] = black
    left_out["no true box"] = len(counting) - len(boxed) - black
    left_out["annotation without image size"] = len(boxed) - len(sized)
    return Evaluation(
        protocol=settings.protocol.name,
        convention=convention(
            settings,
            box_rule="boxes of the baselines",
            blacklist=blacklist,
            listed=black,
            by_index=by_index(annotations),
        ),
        counts=Counts(len(selected), 0, len(sized), {k: n for k, n in left_out.items() if n}),
        metrics={},
        absent={},
        baselines=baselines,
        warnings=(*annotation_warnings(annotations), *blacklist_warnings(blacklist)),
    )


def _baselines(truths: Iterable[Annotation], settings: EvalSettings) -> dict[str, Baseline]:
    """Score boxes that need no network by the GT-known rule of the protocol, if it has one."""
    protocol = settings.protocol
    if not isinstance(protocol, BoxProtocol):
        return score_baselines(truths, bootstrap=settings.bootstrap)
    if protocol.plain_known:
        return score_baselines(truths, protocol.iou_threshold, settings.bootstrap)

    def judge(box: Box, true_boxes: Sequence[Box], size: tuple[int, int]) -> bool:
        return protocol.is_right(protocol.overlap(box, true_boxes, size), known=True)

    return score_baselines(truths, bootstrap=settings.bootstrap, judge=judge)


def _figures(scoring: Scoring, settings: EvalSettings, known: KnownClasses | None) -> Figures:
    # Every outcome comes from this very protocol, which the type checker cannot see.
    classified: list[Any] = [j.outcome for j in scoring.scored]
    boxed: list[Any] = [j.outcome for j in scoring.located]
    more: dict[str, Any] = {}
    if isinstance(settings.protocol, PxAP):
        more["track"] = lambda images: progress(images, len(boxed), 0, "images")
    return settings.protocol.figures(
        classified,
        boxed,
        network_classes=known.number if known else None,
        bootstrap=settings.bootstrap,
        strata=Strata(
            settings.bootstrap.strata(j.truth for j in scoring.scored),
            settings.bootstrap.strata(j.truth for j in scoring.located),
        ),
        **more,
    )


def _map_baselines(scoring: Scoring, settings: EvalSettings) -> dict[str, dict[str, Rate]]:
    """Score a map and boxes that are the same for all images, where maps are scored."""
    if not isinstance(settings.protocol, MapProtocol):
        return {}
    truths = [j.truth for j in scoring.located]
    return map_baselines(
        settings.protocol,
        true_boxes(truths),
        settings.bootstrap,
        settings.bootstrap.strata(truths),
    )
