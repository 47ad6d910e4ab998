"""Judging: predictions × annotations → `Trials`, in one pass over the predictions.

What is kept of an image is small: the predictions never are in memory as a whole.
"""

from __future__ import annotations

import functools
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from camtool.errors import EvaluationError, shorten
from camtool.evaluation.matching import (
    Joined,
    Joiner,
    name_order,
    read_blacklist,
    select_range,
)
from camtool.evaluation.result import Counts
from camtool.evaluation.truths import (
    Frame,
    compare_frames,
    countable,
    frame_warnings,
    named_by_target,
    to_frame,
)
from camtool.geometry import SIDEWAYS
from camtool.metrics.outcome import PackedOutcome
from camtool.metrics.pair_metrics import points_at
from camtool.metrics.protocol import Material
from camtool.metrics.trials import Trials
from camtool.parallel import cores_here, ordered_map
from camtool.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.evaluation.matching import BlackList
    from camtool.evaluation.score_maps import SweptMaps
    from camtool.evaluation.settings import EvalSettings
    from camtool.metrics.outcome import Outcome
    from camtool.metrics.protocol import MapSource
    from camtool.metrics.thresholds import Chosen
    from camtool.structures import Annotation, Prediction

UNREADABLE: Final = "image could not be read"
_AT_ONCE: Final = 16
"""To hand over a single image costs about as much as to score a small one."""

Pair = tuple["Annotation", "Prediction"]


@dataclass(frozen=True, slots=True)
class Judged:
    """One image after judging.

    Attributes:
        truth: what of the annotation counts, with the size of its frame if any side knows it.
        outcome: how the guesses fare; None where the image is left out.
        reason: why the image is left out; None otherwise.
        frame: how the sizes of both sides compare.
        sizes: predicted and annotated size where they differ.
        unknown: true classes that the network does not know.
    """

    truth: Annotation
    outcome: PackedOutcome | None = None
    reason: str | None = None
    frame: Frame = Frame.SAME
    sizes: str = ""
    unknown: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges single images under fixed settings.

    Attributes:
        settings: protocol, and what counts.
        known: the classes of the network; None where they are unknown.
        maps: where the maps are; None where there are none.
        swept: where the boxes of maps at all thresholds come from; None where not asked.
        chosen: a threshold that was chosen on other images.
    """

    settings: EvalSettings
    known: NetworkClasses | None = None
    maps: MapSource | None = None
    swept: SweptMaps | None = None
    chosen: Chosen | None = None
    material: Material = field(init=False)

    def __post_init__(self) -> None:
        """Lay out the table."""
        sweep = self.swept.sweep if self.swept else None
        layout = self.settings.protocol.layout(sweep, self.chosen)
        material = Material(layout, self.maps, self.swept, self.settings.diagnosis, self.chosen)
        object.__setattr__(self, "material", material)

    def truth(self, annotation: Annotation) -> tuple[Annotation, str | None]:
        """Return what of the annotation counts, and the reason when nothing does."""
        leave_out = self.settings.difficult == "leave-out"
        return countable(annotation, leave_out_difficult=leave_out, known=self.known)

    def judge(self, annotation: Annotation, prediction: Prediction) -> Judged:
        """Return how a prediction fares."""
        if prediction.error is not None:
            return Judged(annotation, reason=UNREADABLE)
        named, reason = named_by_target(annotation, prediction)
        # A map from a file is that of the true class, whatever its name.
        if reason is not None and not (self.maps and self.maps.of_true_class):
            return Judged(annotation, reason=reason)
        truth, reason = self.truth(named)
        unknown: tuple[str | int, ...] = ()
        if self.known is not None:
            unknown = tuple(i for i in named.labels if i not in self.known.labels)
        if reason is not None:
            return Judged(truth, reason=reason, unknown=unknown)
        if _is_turned(prediction, truth):
            prediction = prediction.in_other_frame()
            frame = Frame.TURNED
        else:
            frame = compare_frames(prediction.size, truth.size)
        framed = to_frame(prediction, truth.size)
        outcome = self.settings.protocol.judge(truth, framed, self.material)
        self._point(truth, framed, outcome)
        packed = PackedOutcome.of(outcome, self.material.layout, truth.labels)
        sizes = "" if frame in (Frame.SAME, Frame.UNKNOWN) else _sizes(prediction, truth)
        if truth.size is None:
            truth = replace(truth, size=_shared(prediction.size))
        return Judged(truth, packed, None, frame, sizes, unknown)

    def _point(self, truth: Annotation, prediction: Prediction, outcome: Outcome) -> None:
        """Note where the maps of the true classes are strongest: on an object or not."""
        asked = self.settings.diagnosis
        if self.maps is None or not (asked.enabled and asked.pointing):
            return
        for label, row in zip(truth.labels, outcome.rows, strict=True):
            found = self.maps.stored(prediction, label) if row.boxed else None
            if found is not None:
                hits = points_at(found, truth.boxes(label), truth.size)
                row.pointing = sum(hit << bit for bit, hit in enumerate(hits))


def _is_turned(prediction: Prediction, truth: Annotation) -> bool:
    """Whether one side has an image upright, and the other as its EXIF block leaves it."""
    swapped = prediction.size is not None and prediction.size[::-1] == truth.size
    return swapped and prediction.exif in SIDEWAYS and prediction.size != truth.size


@functools.lru_cache(maxsize=4096)
def _shared(size: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return one and the same size for all images of this size."""
    return size


def _sizes(prediction: Prediction, truth: Annotation) -> str:
    (pw, ph), (tw, th) = prediction.size or (0, 0), truth.size or (0, 0)
    return f"{shorten(truth.image_id)}, predicted at {pw}x{ph}, annotated at {tw}x{th}"


def judge_all(
    judge: Judge, pairs: Iterable[Pair], workers: int | None = None
) -> Iterator[tuple[Prediction, Judged]]:
    """Yield each prediction with how it fares, in order; the same for any number of workers.

    Maps are read and scored by threads, since what takes time there holds no lock of the
    interpreter. Everything else is quicker in one thread. Few images are under way at a time.

    Args:
        judge: judges single images; its maps may be loaded from several threads at once.
        pairs: annotation and prediction of each image.
        workers: number of threads; as many as there are cores when not given.
    """

    def judged(some: Sequence[Pair]) -> list[tuple[Prediction, Judged]]:
        return [(prediction, judge.judge(truth, prediction)) for truth, prediction in some]

    with_maps = judge.settings.protocol.needs_maps or judge.swept is not None
    workers = (workers or cores_here()) if with_maps else 1
    if workers == 1:
        yield from chain.from_iterable(map(judged, ([pair] for pair in pairs)))
        return
    with ThreadPoolExecutor(workers) as pool:
        source = iter(pairs)
        chunks = iter(lambda: list(islice(source, _AT_ONCE)), [])
        yield from chain.from_iterable(ordered_map(judged, chunks, pool, 2 * workers))


@dataclass(frozen=True, slots=True)
class Scoring:
    """Every annotated image with its prediction, judged.

    Attributes:
        selected: ids of the annotated images in the range, in name order.
        blacklist: the black-list, if one was given.
        joined: which prediction belongs to which annotated image.
        missing: selected images without prediction.
        left_out: images with a prediction that count for no figure, in name order.
        trials: the table of the others.
        warnings: what a reader should look at, a sentence each.
    """

    selected: Sequence[str]
    blacklist: BlackList | None
    joined: Joined
    missing: list[str]
    left_out: list[Judged]
    trials: Trials
    warnings: list[str]

    @property
    def black(self) -> int:
        """How many scored images are black-listed."""
        ids = self.blacklist.ids if self.blacklist else frozenset()
        return sum(truth.image_id in ids for truth in self.trials.truths)

    def counts(self, unusable: int) -> Counts:
        """Return what was scored and left out; `unusable` annotations could not be read."""
        left_out = Counter(str(j.reason) for j in self.left_out)
        left_out["no prediction"] = len(self.missing)
        left_out["prediction without annotation"] = len(self.joined.unannotated)
        left_out["annotation could not be used"] = unusable
        scored, black = len(self.trials.truths), self.black
        located = int(self.trials.counting.sum())
        left_out["black-listed (localization only)"] = black
        left_out["no true box (localization only)"] = scored - located - black
        return Counts(
            annotated=len(self.selected),
            predicted=len(self.joined.pairs) + len(self.joined.unannotated),
            scored=scored,
            left_out={reason: n for reason, n in left_out.items() if n},
        )

    @property
    def join(self) -> dict[str, int]:
        """Number of predictions joined, by the way their ids agreed; those outside the range."""
        outside = len(self.joined.pairs) - (len(self.selected) - len(self.missing))
        return self.joined.ways | ({"outside_images": outside} if outside else {})


def score_images(
    predictions: Iterable[Prediction], annotations: AnnotationSet, judge: Judge
) -> Scoring:
    """Join predictions to the annotated images and judge each.

    Raises:
        SettingsError: the range of images makes no sense.
        DataError: the black-list cannot be read.
        EvaluationError: predictions and annotations do not fit together: ids, missing images.
    """
    settings = judge.settings
    ordered = name_order(annotations, positions=settings.images is not None)
    selected = select_range(ordered, settings.images)
    blacklist = load_blacklist(settings, annotations, ordered)
    joined, by_prediction = _judge_all(predictions, annotations, selected, judge)
    missing = [image_id for image_id in selected if image_id not in joined.pairs]
    if missing and not settings.allow_missing:
        raise EvaluationError(
            f"{len(missing):,} of {len(selected):,} annotated images have no prediction "
            f"(first: {shorten(missing[0])}); --allow-missing scores the rest"
        )
    judged = [by_prediction.pop(joined.pairs[i]) for i in selected if i in joined.pairs]
    del by_prediction
    scored = deque((j.truth, j.outcome) for j in judged if j.outcome is not None)
    if not scored:
        raise EvaluationError(_nothing_scored(judged, judge.known))
    warnings = [
        *_join_warnings(joined, missing),
        *blacklist_warnings(blacklist),
        *_judging_warnings(judged),
    ]
    left_out = [j for j in judged if j.outcome is None]
    del judged
    boxes = settings.protocol.needs_boxes
    trials = Trials.of(
        judge.material.layout,
        scored,
        lambda truth: is_located(truth, blacklist, needs_boxes=boxes),
    )
    return Scoring(selected, blacklist, joined, missing, left_out, trials, warnings)


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

    def wanted() -> Iterator[Pair]:
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


def _nothing_scored(judged: Sequence[Judged], known: NetworkClasses | None) -> str:
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


def _judging_warnings(judged: Sequence[Judged]) -> list[str]:
    """Return what a reader should know about the judged images, a sentence each."""
    warnings: list[str] = []
    unreadable = [j.truth.image_id for j in judged if j.reason == UNREADABLE]
    if unreadable:
        warnings.append(
            f"{len(unreadable):,} images could not be read and are left out ({listed(unreadable)})"
        )
    unknown = Counter(label for j in judged for label in j.unknown)
    if unknown:
        names = [f"{label} in {n:,} images" for label, n in unknown.most_common()]
        warnings.append(
            f"{len(unknown):,} true classes are unknown to the network ({listed(names)}); "
            "images without another class are left out"
        )
    frames = Counter(j.frame for j in judged if j.outcome is not None)
    example = {j.frame: j.sizes for j in reversed(judged)}
    return warnings + frame_warnings(frames, example)


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return the first few names for a message."""
    names = list(names)
    more = "" if len(names) <= most else f" and {len(names) - most:,} more"
    return ", ".join(shorten(name) for name in names[:most]) + more
