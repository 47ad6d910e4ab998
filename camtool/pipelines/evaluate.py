"""Evaluate: annotations → predictions → join on image id → figures, with their convention.

Nothing here needs a network: predictions come from files.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from camtool.annotations import read_annotations
from camtool.annotations.bulk import bulk_creation
from camtool.errors import EvaluationError, SettingsError, shorten
from camtool.metrics.baselines import score_baselines
from camtool.metrics.ilsvrc import Figures, Ilsvrc
from camtool.pipelines.convention import convention
from camtool.pipelines.evaluation import Counts, EvalSettings, Evaluation
from camtool.pipelines.join import Joined, Joiner
from camtool.pipelines.judging import Judge, Judged, judging_warnings, listed
from camtool.pipelines.predictions import load_predictions, name_order
from camtool.pipelines.selection import read_blacklist, select_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from camtool.annotations import AnnotationSet
    from camtool.metrics.map_protocols import MapSource
    from camtool.pipelines.selection import BlackList
    from camtool.pipelines.truths import KnownClasses
    from camtool.structures import Annotation, Prediction

__all__ = ["Counts", "EvalSettings", "Evaluation", "evaluate", "evaluate_files"]


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
    loaded = load_predictions(settings, run, annotations)
    return evaluate(
        loaded.predictions,
        annotations,
        settings,
        known=loaded.known,
        box_rule=loaded.box_rule,
        maps=loaded.maps,
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

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together: ids, missing images.
    """
    settings = settings or EvalSettings()
    ordered = name_order(annotations, positions=settings.images is not None)
    selected = select_range(ordered, settings.images)
    blacklist = _blacklist(settings, annotations, ordered)

    joined, by_id = _judge_all(predictions, annotations, selected, Judge(settings, known, maps))
    missing = [image_id for image_id in selected if image_id not in joined.pairs]
    if missing and not settings.allow_missing:
        raise EvaluationError(
            f"{len(missing):,} of {len(selected):,} annotated images have no prediction "
            f"(first: {shorten(missing[0])}); --allow-missing scores the rest"
        )
    judged = [by_id[i] for i in selected if i in by_id]
    scored = [j for j in judged if j.outcome is not None]
    if not scored:
        raise EvaluationError(_nothing_scored(judged, known))
    located = [j for j in scored if _is_located(j.truth, blacklist)]
    figures = _figures(scored, located, settings, known)

    black = sum(j.truth.image_id in blacklist.ids for j in scored) if blacklist else 0
    left_out = Counter(j.reason for j in judged if j.reason is not None)
    left_out["no prediction"] = len(missing)
    left_out["prediction without annotation"] = len(joined.unannotated)
    left_out["annotation could not be used"] = len(annotations.problems)
    left_out["black-listed (localization only)"] = black
    left_out["no true box (localization only)"] = len(scored) - len(located) - black
    outside = len(joined.pairs) - (len(selected) - len(missing))
    return Evaluation(
        protocol=settings.protocol.name,
        convention=convention(
            settings,
            box_rule=box_rule,
            blacklist=blacklist,
            listed=black,
            by_index=_by_index(annotations),
        ),
        counts=Counts(
            annotated=len(selected),
            predicted=len(joined.pairs) + len(joined.unannotated),
            scored=len(scored),
            left_out={reason: n for reason, n in left_out.items() if n},
        ),
        metrics=figures.metrics,
        absent=figures.absent,
        baselines=score_baselines((j.truth for j in located), _iou(settings)),
        join=joined.ways | ({"outside_images": outside} if outside else {}),
        warnings=(
            *_annotation_warnings(annotations),
            *_join_warnings(joined, missing),
            *_blacklist_warnings(blacklist),
            *judging_warnings(judged),
        ),
        measure=settings.protocol.measure,
        thresholds=figures.thresholds,
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
    blacklist = _blacklist(settings, annotations, ordered)
    judge = Judge(settings, None)
    truths = [judge.truth(annotations.annotations[image_id]) for image_id in selected]
    left_out = Counter(reason for _, reason in truths if reason is not None)
    counting = [truth for truth, reason in truths if reason is None]
    black = sum(truth.image_id in blacklist.ids for truth in counting) if blacklist else 0
    boxed = [truth for truth in counting if _is_located(truth, blacklist)]
    sized = [truth for truth in boxed if truth.size is not None]
    baselines = score_baselines(sized, _iou(settings))
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
            by_index=_by_index(annotations),
        ),
        counts=Counts(len(selected), 0, len(sized), {k: n for k, n in left_out.items() if n}),
        metrics={},
        absent={},
        baselines=baselines,
        warnings=(*_annotation_warnings(annotations), *_blacklist_warnings(blacklist)),
    )


def _iou(settings: EvalSettings) -> float:
    """The intersection over union from which on a baseline's box is right."""
    return settings.protocol.iou_threshold if isinstance(settings.protocol, Ilsvrc) else 0.5


def _by_index(annotations: AnnotationSet) -> bool:
    """Tell whether the classes are indices, which fit any network that has as many."""
    first = next(iter(annotations.annotations.values()), None)
    return first is not None and any(isinstance(label, int) for label in first.labels)


def _blacklist(
    settings: EvalSettings, annotations: AnnotationSet, ordered: Sequence[str]
) -> BlackList | None:
    if settings.blacklist is None:
        return None
    blacklist = read_blacklist(settings.blacklist, ordered)
    if blacklist.by_position:
        name_order(annotations, positions=True)
    return blacklist


def _judge_all(
    predictions: Iterable[Prediction],
    annotations: AnnotationSet,
    selected: Sequence[str],
    judge: Judge,
) -> tuple[Joined, dict[str, Judged]]:
    """Return the join, and by annotated id how the prediction of the image fares."""
    joiner = Joiner(annotations.annotations)
    inside = set(selected)
    judged: dict[str, Judged] = {}
    for prediction in predictions:
        image_id = joiner.add(prediction.image_id)
        if image_id in inside:
            judged[prediction.image_id] = judge.judge(annotations.annotations[image_id], prediction)
    joined = joiner.resolve()
    return joined, {i: judged[p] for i, p in joined.pairs.items() if i in inside}


def _is_located(truth: Annotation, blacklist: BlackList | None) -> bool:
    """Return whether an image counts for localization: it has a box, and is not black-listed."""
    if blacklist is not None and truth.image_id in blacklist.ids:
        return False
    return any(o.box is not None for o in truth.objects)


def _figures(
    scored: Sequence[Judged],
    located: Sequence[Judged],
    settings: EvalSettings,
    known: KnownClasses | None,
) -> Figures:
    # Every outcome comes from this very protocol, which the type checker cannot see.
    classified: list[Any] = [j.outcome for j in scored if j.outcome is not None]
    boxed: list[Any] = [j.outcome for j in located if j.outcome is not None]
    return settings.protocol.figures(
        classified,
        boxed,
        network_classes=known.number if known else None,
        bootstrap=settings.bootstrap,
    )


def _nothing_scored(judged: Sequence[Judged], known: KnownClasses | None) -> str:
    if not judged:
        return "there are no predictions to score"
    reasons = Counter(j.reason for j in judged).most_common()
    why = "; ".join(f"{reason}: {n:,}" for reason, n in reasons)
    unknown = sorted({str(label) for j in judged for label in j.unknown})
    if unknown and known is not None:
        names = sorted(label for label in known.labels if isinstance(label, str))
        why += f" (annotated: {listed(unknown)}; the network: {listed(names, 3)})"
    return f"none of {len(judged):,} images can be scored: {why}"


def _annotation_warnings(annotations: AnnotationSet) -> list[str]:
    problems = annotations.problems
    if not problems:
        return annotations.warnings
    first = "; ".join(str(problem) for problem in problems[:3])
    return [
        f"{len(problems):,} annotations could not be used (first: {first})",
        *annotations.warnings,
    ]


def _join_warnings(joined: Joined, missing: Sequence[str]) -> list[str]:
    warnings: list[str] = []
    if missing:
        warnings.append(f"{len(missing):,} annotated images have no prediction ({listed(missing)})")
    if joined.unannotated:
        warnings.append(
            f"{len(joined.unannotated):,} predictions belong to no annotated image and are left "
            f"out ({listed(joined.unannotated)})"
        )
    return warnings


def _blacklist_warnings(blacklist: BlackList | None) -> list[str]:
    if blacklist is None or blacklist.ids:
        return []
    return [f"none of the {blacklist.entries:,} black-listed images is annotated here"]
