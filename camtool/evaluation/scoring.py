"""Which images count in an evaluation, and how each of them fares: what every figure rests on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.errors import EvaluationError, shorten
from camtool.evaluation.join import Joined, Joiner
from camtool.evaluation.judging import Judge, Judged, judging_warnings, listed
from camtool.evaluation.judging_all import judge_all
from camtool.evaluation.predictions import name_order
from camtool.evaluation.result import Counts
from camtool.evaluation.selection import read_blacklist, select_range
from camtool.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.result import EvalSettings
    from camtool.evaluation.selection import BlackList
    from camtool.evaluation.sweeping import Sweeper
    from camtool.evaluation.truths import KnownClasses
    from camtool.metrics.sources import MapSource
    from camtool.structures import Annotation, Prediction

__all__ = [
    "Scoring",
    "annotation_warnings",
    "blacklist_warnings",
    "is_located",
    "load_blacklist",
    "score_images",
]


@dataclass(frozen=True, slots=True)
class Scoring:
    """Every annotated image with its prediction, judged.

    Attributes:
        selected: ids of the annotated images in the range, in name order.
        blacklist: the black-list, if one was given.
        joined: which prediction belongs to which annotated image.
        missing: selected images without prediction.
        judged: the others, in name order.
        scored: those that count for at least one figure; each has an outcome.
        located: those of them that count for localization: a true box, and not black-listed.
    """

    selected: Sequence[str]
    blacklist: BlackList | None
    joined: Joined
    missing: list[str]
    judged: list[Judged]
    scored: list[Judged]
    located: list[Judged]

    @property
    def black(self) -> int:
        """How many scored images are black-listed."""
        ids = self.blacklist.ids if self.blacklist else frozenset()
        return sum(j.truth.image_id in ids for j in self.scored)

    def counts(self, unusable: int) -> Counts:
        """Return what was scored and left out; `unusable` annotations could not be read."""
        left_out = Counter(j.reason for j in self.judged if j.reason is not None)
        left_out["no prediction"] = len(self.missing)
        left_out["prediction without annotation"] = len(self.joined.unannotated)
        left_out["annotation could not be used"] = unusable
        black = self.black
        left_out["black-listed (localization only)"] = black
        left_out["no true box (localization only)"] = len(self.scored) - len(self.located) - black
        return Counts(
            annotated=len(self.selected),
            predicted=len(self.joined.pairs) + len(self.joined.unannotated),
            scored=len(self.scored),
            left_out={reason: n for reason, n in left_out.items() if n},
        )

    @property
    def join(self) -> dict[str, int]:
        """Number of predictions joined, by the way their ids agreed; those outside the range."""
        outside = len(self.joined.pairs) - (len(self.selected) - len(self.missing))
        return self.joined.ways | ({"outside_images": outside} if outside else {})

    @property
    def warnings(self) -> list[str]:
        """What a reader should look at, a sentence each."""
        return [
            *_join_warnings(self.joined, self.missing),
            *blacklist_warnings(self.blacklist),
            *judging_warnings(self.judged),
        ]


def score_images(
    predictions: Iterable[Prediction],
    annotations: AnnotationSet,
    settings: EvalSettings,
    *,
    known: KnownClasses | None = None,
    maps: MapSource | None = None,
    sweeper: Sweeper | None = None,
) -> Scoring:
    """Join predictions to the annotated images and judge each; see `evaluate`.

    With a `sweeper`, maps are judged at many thresholds as well.

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together: ids, missing images.
    """
    ordered = name_order(annotations, positions=settings.images is not None)
    selected = select_range(ordered, settings.images)
    blacklist = load_blacklist(settings, annotations, ordered)
    judge = Judge(settings, known, maps, sweeper)
    joined, by_prediction = _judge_all(predictions, annotations, selected, judge)
    missing = [image_id for image_id in selected if image_id not in joined.pairs]
    if missing and not settings.allow_missing:
        raise EvaluationError(
            f"{len(missing):,} of {len(selected):,} annotated images have no prediction "
            f"(first: {shorten(missing[0])}); --allow-missing scores the rest"
        )
    judged = [by_prediction.pop(joined.pairs[i]) for i in selected if i in joined.pairs]
    del by_prediction
    scored = [j for j in judged if j.outcome is not None]
    if not scored:
        raise EvaluationError(_nothing_scored(judged, known))
    boxes = settings.protocol.needs_boxes
    located = [j for j in scored if is_located(j.truth, blacklist, needs_boxes=boxes)]
    return Scoring(selected, blacklist, joined, missing, judged, scored, located)


def load_blacklist(
    settings: EvalSettings, annotations: AnnotationSet, ordered: Sequence[str]
) -> BlackList | None:
    """Read the black-list that the settings name; `ordered` are all annotated ids by name."""
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
    """Return the join, and by its id how each prediction of a selected image fares."""
    joiner = Joiner(annotations.annotations)
    inside = set(selected)

    def wanted() -> Iterator[tuple[Annotation, Prediction]]:
        for prediction in predictions:
            image_id = joiner.add(prediction.image_id)
            if image_id in inside:
                yield annotations.annotations[image_id], prediction

    every = progress(judge_all(judge, wanted()), len(selected), 0, "images")
    judged = {_own_id(prediction, outcome): outcome for prediction, outcome in every}
    return joiner.resolve(), judged


def _own_id(prediction: Prediction, judged: Judged) -> str:
    """Return the prediction's id: as the annotation holds it, if that is the same text."""
    own, predicted = judged.truth.image_id, prediction.image_id
    return own if own == predicted else predicted


def is_located(truth: Annotation, blacklist: BlackList | None, *, needs_boxes: bool = True) -> bool:
    """Return whether an image counts for localization.

    It is not black-listed, and has a true box where the protocol needs one.
    """
    if blacklist is not None and truth.image_id in blacklist.ids:
        return False
    return not needs_boxes or any(o.box is not None for o in truth.objects)


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


def annotation_warnings(annotations: AnnotationSet) -> list[str]:
    """Return what a reader should know about the annotations, a sentence each."""
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


def blacklist_warnings(blacklist: BlackList | None) -> list[str]:
    """Return a sentence where a black-list names no image."""
    if blacklist is None or blacklist.ids:
        return []
    return [f"none of the {blacklist.entries:,} black-listed images is annotated here"]
