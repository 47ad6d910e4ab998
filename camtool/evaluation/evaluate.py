"""Evaluate: annotations → predictions → join on image id → trials → figures, with their convention.

Nothing here needs a network: predictions come from files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from camtool.annotations import read_annotations
from camtool.annotations.reader import bulk_creation
from camtool.errors import CamtoolError, EvaluationError, SettingsError
from camtool.evaluation.calibration import calibrate, deployable, store, stored_calibration
from camtool.evaluation.convention import by_index, convention
from camtool.evaluation.details import details
from camtool.evaluation.judging import (
    Judge,
    annotation_warnings,
    blacklist_warnings,
    is_located,
    load_blacklist,
    score_images,
)
from camtool.evaluation.matching import name_order, select_range
from camtool.evaluation.result import Counts, Evaluation, EvaluationOfAll
from camtool.evaluation.score_maps import SweptMaps, swept_maps
from camtool.evaluation.settings import EvalSettings
from camtool.evaluation.sources import Loaded, load_predictions
from camtool.metrics import PROTOCOLS
from camtool.metrics.baselines import against_centred, score_baselines
from camtool.metrics.protocol import Figuring
from camtool.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import NDArray

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.calibration import Calibration
    from camtool.metrics.baselines import Baseline
    from camtool.metrics.intervals import Difference
    from camtool.metrics.trials import Trials
    from camtool.structures import Annotation, Prediction


@bulk_creation()
def evaluate_files(settings: EvalSettings, run: str | Path | None = None) -> Evaluation:
    """Score a run folder, or the predictions that the settings name, against annotation files.

    Example:
        >>> settings = EvalSettings(annotations="examples/val.xml", baselines_only=True)
        >>> result = evaluate_files(settings)
        >>> result.baselines["whole_image"].right, result.counts.scored
        (4, 7)

    Args:
        settings: what to score, and how; `settings.predictions` goes before `run`.
        run: a run folder of `camtool localize`.

    Raises:
        SettingsError: there is nothing to score, or a range or file name that makes no sense.
        DataError: annotations, predictions or the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together.
        RunError: the run folder cannot be used.
    """
    run = None if run is None else Path(run)
    annotations = _annotations(settings)
    if settings.baselines_only:
        return evaluate_baselines(annotations, settings)
    choose = settings.calibrate_on is not None
    calibration = calibrate(settings, run) if choose else stored_calibration(settings, run)
    loaded = load_predictions(settings, run, annotations)
    result = evaluate_loaded(loaded, annotations, settings, calibration)
    if choose and calibration is not None and run is not None:
        result = replace(result, warnings=(*result.warnings, *store(calibration, run)))
    return result


def _annotations(settings: EvalSettings) -> AnnotationSet:
    if settings.annotations is None:
        raise SettingsError("no true boxes to score against: give --boxes PATH (eval.annotations)")
    return read_annotations(settings.annotations, settings.format)


@bulk_creation()
def evaluate(
    predictions: Iterable[Prediction],
    annotations: AnnotationSet,
    settings: EvalSettings | None = None,
) -> Evaluation:
    """Score predictions against annotations.

    Example:
        >>> from camtool import AnnotationSet, Box, ClassPrediction, Prediction, ScoredBox
        >>> from camtool import AnnotatedObject, Annotation
        >>> box = Box(10, 10, 60, 60)
        >>> truth = Annotation("cat", (100, 80), (AnnotatedObject("tabby", box),))
        >>> guess = ClassPrediction("tabby", 0.9, (ScoredBox(box, 1.0),), rank=1)
        >>> found = Prediction("cat", "cat.jpg", (100, 80), (guess,))
        >>> result = evaluate([found], AnnotationSet("memory", "voc-xml", {"cat": truth}))
        >>> result.metrics["gt_known_error"].value
        0.0

    Args:
        predictions: one an image, in any order; read once.
        annotations: the annotated images.
        settings: what counts; its paths are not read, except the black-list.

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together: ids, missing images.
    """
    return evaluate_loaded(Loaded(predictions), annotations, settings or EvalSettings())


@bulk_creation()
def evaluate_loaded(
    loaded: Loaded,
    annotations: AnnotationSet,
    settings: EvalSettings,
    calibration: Calibration | None = None,
) -> Evaluation:
    """Score predictions with all that their source says of them; see `evaluate`.

    Args:
        loaded: the predictions; of classes that their network does not know, images are left out,
            since no prediction could be right.
        annotations: the annotated images.
        settings: what counts.
        calibration: a threshold that was chosen on images that are not scored.
    """
    if loaded.known is not None:
        annotations = annotations.named_for(loaded.known)
    chosen = calibration.chosen if calibration else None
    swept = swept_maps(settings, loaded.rule, loaded.maps, chosen)
    of_maps = swept if isinstance(swept, SweptMaps) else None
    judge = Judge(settings, loaded.known, loaded.maps, of_maps, chosen)
    scoring = score_images(loaded.predictions, annotations, judge)
    calibration, unfit = deployable(calibration, scoring)
    located = scoring.trials.located
    figures = settings.protocol.reduce(
        scoring.trials,
        Figuring(
            settings.bootstrap,
            len(loaded.known) if loaded.known else None,
            of_maps.sweep if of_maps else None,
            of_maps.rule.own_threshold if of_maps else "unknown",
            calibration.chosen if calibration else None,
            lambda images: progress(images, len(located.truths), 0, "images"),
        ),
    )
    absent = figures.absent | ({"other_thresholds": swept} if isinstance(swept, str) else {})
    told = details(located, settings, absent, loaded.known)
    stated = convention(
        settings,
        box_rule=loaded.box_rule,
        blacklist=scoring.blacklist,
        listed=scoring.black,
        by_index=by_index(annotations),
    )
    stated |= told.rules if told else {}
    stated |= {calibration.rule: calibration.describe()} if calibration else {}
    baselines = _baselines(located.truths, settings, _first_guesses(located))
    return Evaluation(
        protocol=settings.protocol.name,
        convention=stated,
        counts=scoring.counts(len(annotations.problems)),
        metrics=figures.metrics,
        absent=absent,
        baselines=baselines,
        join=scoring.join,
        warnings=(
            *loaded.warnings,
            *annotation_warnings(annotations),
            *scoring.warnings,
            *unfit,
            *figures.warnings,
            *settings.bootstrap.warnings(scoring.trials.truths),
        ),
        measure=settings.protocol.measure,
        thresholds=figures.thresholds,
        map_baselines=figures.baselines,
        curves=figures.curves,
        details=told,
        verdict=_verdict(located, baselines, settings),
        trials=scoring.trials,
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
    judge = Judge(settings)
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


def _baselines(
    truths: Iterable[Annotation],
    settings: EvalSettings,
    guessed: NDArray[np.bool_] | None = None,
) -> dict[str, Baseline]:
    """Score boxes that need no network by the GT-known rule of the protocol."""
    rule = settings.protocol
    return score_baselines(truths, rule.known, rule.comparison, settings.bootstrap, guessed)


def _first_guesses(located: Trials) -> NDArray[np.bool_]:
    """Return whether each row's class is the network's first guess, of images with a size."""
    sized = np.array([truth.size is not None for truth in located.truths], np.bool_)
    guessed: NDArray[np.bool_] = located.table["rank"] == 1
    return guessed[np.repeat(sized, located.numbers)]


def _verdict(
    located: Trials, baselines: dict[str, Baseline], settings: EvalSettings
) -> Difference | None:
    """Return what the boxes reach beyond a centred box, where the protocol has GT-known errors."""
    errors = settings.protocol.tallies(located, None).localization.get("gt_known_error")
    if errors is None:
        return None
    return against_centred(errors, located.truths, baselines, settings.bootstrap)


@bulk_creation()
def evaluate_all(settings: EvalSettings, run: str | Path | None = None) -> EvaluationOfAll:
    """Score a run folder, or the predictions that the settings name, by every protocol.

    Args:
        settings: what to score, and how; its protocol is not looked at, every one has its defaults.
        run: a run folder of `camtool localize`.

    Raises:
        SettingsError: there is nothing to score, or only baselines are asked for.
        CamtoolError: no protocol can be scored: the reason of the first; see `evaluate_files`.
    """
    run = None if run is None else Path(run)
    annotations = _checked_for_all(settings)
    found: dict[str, Evaluation] = {}
    absent: dict[str, str] = {}
    errors: list[CamtoolError] = []
    try:
        for kind in PROTOCOLS:
            protocol: Any = kind()
            one = settings.model_copy(update={"protocol": protocol, "every_protocol": False})
            try:
                loaded = load_predictions(one, run, annotations)
                stored = stored_calibration(one, run)
                found[protocol.name] = evaluate_loaded(loaded, annotations, one, stored)
            except CamtoolError as error:
                absent[protocol.name] = str(error)
                errors.append(error)
        if not found:
            raise errors[0]
    finally:
        # An error holds what its frames held, open files among them.
        errors.clear()
    return EvaluationOfAll(found, absent)


def _checked_for_all(settings: EvalSettings) -> AnnotationSet:
    """Return the annotations; refuse settings that make no sense for every protocol at once."""
    if settings.annotations is not None and settings.baselines_only:
        raise SettingsError(
            "--baselines-only needs no predictions, so no protocol: leave out --protocol all"
        )
    if settings.annotations is not None and settings.calibrate_on is not None:
        raise SettingsError(
            "--calibrate-on chooses a threshold for one protocol: name it instead of --protocol all"
        )
    return _annotations(settings)
