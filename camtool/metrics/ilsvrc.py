"""The official ILSVRC classification and localization errors, and GT-known localization.

Figures follow the evaluation program of the ILSVRC 2014 development kit. A guess (class and box) is
right when its class is a class of the image and its box has an intersection over union of at least
one half with any true box of that class. An image is right at N when any of its first N guesses is
right. See Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015,
https://arxiv.org/abs/1409.0575, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, final

from pydantic import Field

from camtool.geometry import iou
from camtool.metrics.confidence import Bootstrap, Rate
from camtool.metrics.marks import Mark, Marks
from camtool.metrics.resampling import ONE_STRATUM, by_stratum
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.metrics.curves import Curve
    from camtool.metrics.resampling import Strata
    from camtool.structures import Annotation, Box, ClassPrediction, Prediction

__all__ = ["DEPTHS", "Figures", "Ilsvrc", "ImageOutcome", "ThresholdChoice", "matches"]

DEPTHS = (1, 2, 3, 4, 5)
"""The N of the reported top-N errors."""


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """How the guesses of one image fare against its annotation.

    Attributes:
        class_rank: rank of the first guess of a true class; None where there is none.
        box_rank: rank of the first guess whose class and box are right; None where there is none.
        known: for each true class that has a box: whether the box predicted for this class is
            right; None where the predictions say nothing of this class.
        ranks: how many of the image's best classes are stored without a gap.
        guesses: the same, less a last one that may be stored only because it is true.
        complete: all true classes are stored because they are true, with the rank that the network
            gives them: every top-N is known exactly.
    """

    class_rank: int | None
    box_rank: int | None
    known: tuple[bool | None, ...]
    ranks: int
    guesses: int
    complete: bool


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A figure at the threshold that suits the scored images best, and at a fixed one, in percent.

    Attributes:
        oracle: the best threshold on the scored images.
        oracle_value: the figure there.
        fixed: a threshold that was chosen before.
        fixed_value: the figure there: what one may expect on new images.
    """

    oracle: float
    oracle_value: float
    fixed: float
    fixed_value: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a set of images.

    Attributes:
        metrics: rates by name.
        absent: why the other figures cannot be given, by name.
        thresholds: for figures with a threshold, what it was and what another would give.
        curves: what plots show of the figures, by name.
    """

    metrics: dict[str, Rate]
    absent: dict[str, str]
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)


@final
class Ilsvrc(Settings):
    """ILSVRC: top-1 to top-5 classification and localization error, and GT-known error."""

    paper: ClassVar[str] = "Russakovsky et al., IJCV 2015, arXiv:1409.0575"
    needs_maps: ClassVar[bool] = False
    measure: ClassVar[str] = "error"

    name: Literal["ilsvrc"] = "ilsvrc"
    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """Intersection over union from which on a box is right."""

    @property
    def hit_rule(self) -> str:
        """When a guess is right, for the reader of a report."""
        return f"class right and IoU >= {self.iou_threshold:g} with any true box of the class"

    def overlap(
        self,
        box: Box,
        true_boxes: Sequence[Box],
        size: tuple[int, int] | None,  # noqa: ARG002 (protocols with a frame of their own need it)
    ) -> float:
        """Return the best intersection over union of `box` with the true boxes that count.

        Args:
            box: a predicted box.
            true_boxes: all true boxes of its class, in the frame of `box`.
            size: (width, height) of that frame; None where it is unknown.
        """
        return max((iou(box, true) for true in true_boxes), default=0.0)

    def is_right(self, overlap: float, at: float | None = None) -> bool:
        """Return whether a box of this `overlap` is right, at another threshold if one is given."""
        return overlap >= (self.iou_threshold if at is None else at)

    def resamples(self, bootstrap: Bootstrap) -> int:
        """Return how many resamples an interval rests on."""
        return bootstrap.samples

    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""
        fixed = f"{box_rule}, fixed before scoring" if box_rule else None
        return {
            "hit": self.hit_rule,
            "pixels": "half-open boxes; inclusive corners widened by 1, as the official +1 rule",
            "guess_box": "each guess has the strongest box of its own class; no box is wrong",
            "frame": "the annotation's; predicted boxes are scaled where the sizes differ",
            "threshold": fixed or "unknown: boxes taken as stored",
            "gt_known": "the box of the true class, for each pair of image and true class",
        }

    def judge(
        self,
        truth: Annotation,
        prediction: Prediction,
        maps: object = None,  # noqa: ARG002 (the protocols' common signature)
    ) -> ImageOutcome:
        """Return how `prediction` fares; its boxes must be in the frame of `truth`.

        The box of a guess is the strongest box of its own class; a guess without a box is wrong.
        """
        guesses = sorted(prediction.classes, key=lambda guess: guess.rank)
        class_ranks: list[int] = []
        box_ranks: list[int] = []
        known: list[bool | None] = []
        complete = True
        for label in truth.labels:
            true_boxes = truth.boxes(label)
            found = [guess for guess in guesses if matches(label, guess)]
            right = [(g.rank, self._right(g, true_boxes, truth.size)) for g in found]
            complete &= any(guess.target for guess in found)
            class_ranks += [rank for rank, _ in right[:1]]
            box_ranks += [rank for rank, box_right in right if box_right][:1]
            if true_boxes:
                known.append(right[0][1] if right else None)
        ranks, carried = _carried(guesses)
        return ImageOutcome(
            min(class_ranks, default=None),
            min(box_ranks, default=None),
            tuple(known),
            ranks,
            carried,
            complete,
        )

    def _right(
        self, guess: ClassPrediction, true_boxes: Sequence[Box], size: tuple[int, int] | None
    ) -> bool:
        boxes = guess.boxes
        return bool(boxes) and self.is_right(self.overlap(boxes[0].box, true_boxes, size))

    def figures(
        self,
        classified: Sequence[ImageOutcome],
        located: Sequence[ImageOutcome],
        *,
        network_classes: int | None,
        bootstrap: Bootstrap,
        strata: Strata = ONE_STRATUM,
    ) -> Figures:
        """Return all figures that the outcomes allow, and why the others are absent.

        Args:
            classified: outcomes of the images that count for the classification error.
            located: outcomes of the images that count for the localization errors: those with a
                true box that are not black-listed.
            network_classes: number of classes of the network; None where it is unknown.
            bootstrap: how the intervals are drawn.
            strata: within which images the resamples are drawn.
        """
        marks = self.marks(classified, located, network_classes=network_classes)
        return Figures(
            {
                name: bootstrap.rate(*by_stratum(marks_of_images, of_images))
                for by_name, of_images in (
                    (marks.classification, strata.classified),
                    (marks.localization, strata.located),
                )
                for name, marks_of_images in by_name.items()
            },
            marks.absent,
        )

    def marks(
        self,
        classified: Sequence[ImageOutcome],
        located: Sequence[ImageOutcome],
        *,
        network_classes: int | None,
    ) -> Marks:
        """Return the errors of each image, for all metrics that the outcomes allow; see `figures`.

        An image is one trial, but for GT-known: there each true class with a box is one.
        """
        marks = Marks()
        for n in DEPTHS:
            lacking = _lacking(n, classified, network_classes) or _empty(classified)
            name = f"top{n}_classification_error"
            _add(marks, marks.classification, name, lacking, [o.class_rank for o in classified], n)
        for n in DEPTHS:
            lacking = _lacking(n, located, network_classes) or _without_boxes(located)
            name = f"top{n}_localization_error"
            _add(marks, marks.localization, name, lacking, [o.box_rank for o in located], n)
        if lacking := _lacking_known(located):
            marks.absent["gt_known_error"] = lacking
        else:
            known = [(outcome.known.count(False), len(outcome.known)) for outcome in located]
            marks.localization["gt_known_error"] = known
        return marks

    def paired_threshold(self) -> str | None:
        """Return the threshold at which runs are compared; None: boxes as each run stored them."""
        return None


def matches(label: str | int, guess: ClassPrediction) -> bool:
    """Return whether `guess` is of the annotated class `label`.

    A name is the name or the title of the guess, exactly; a number is its class index.
    """
    if isinstance(label, str):
        return label in (guess.name, guess.title)
    return label == guess.index


def _carried(guesses: Sequence[ClassPrediction]) -> tuple[int, int]:
    """Return how many best classes are stored without a gap, and how many of them are guesses."""
    by_rank = {guess.rank: guess for guess in guesses}
    ranks = 0
    while ranks + 1 in by_rank:
        ranks += 1
    # The true class, stored in any case, may happen to rank right behind the k guesses.
    return ranks, ranks - 1 if ranks > 1 and by_rank[ranks].target else ranks


def _lacking(n: int, outcomes: Sequence[ImageOutcome], network_classes: int | None) -> str | None:
    """Return why a top-n error cannot be given; None where it can.

    An image may carry fewer guesses than another one (ragged guess files): then it has no further
    guess. What must not be scored as top-5 is a set in which no image has five.
    """
    needed = n if network_classes is None else min(n, network_classes)
    carried = max((outcome.guesses for outcome in outcomes), default=n)
    if needed <= carried or all(o.complete or o.ranks >= needed for o in outcomes):
        return None
    guesses = "1 guess" if carried == 1 else f"{carried} guesses"
    return (
        f"the predictions carry {guesses} an image, not {needed}; "
        f"`camtool localize --set localize.classes.k={needed}` stores them"
    )


def _without_boxes(located: Sequence[ImageOutcome]) -> str | None:
    return None if located else "no scored image has a true box"


def _lacking_known(located: Sequence[ImageOutcome]) -> str | None:
    """Return why the GT-known error cannot be given; None where it can."""
    stored = sum(None not in outcome.known for outcome in located)
    if stored == len(located):
        return _without_boxes(located)
    return (
        f"the true class's box is stored for {stored:,} of {len(located):,} images; "
        "`camtool localize --labels` stores it for all"
    )


def _empty(classified: Sequence[ImageOutcome]) -> str | None:
    return None if classified else "no image is scored"


def _add(
    marks: Marks,
    to: dict[str, list[Mark]],
    name: str,
    lacking: str | None,
    ranks: Sequence[int | None],
    n: int,
) -> None:
    """Put one top-n error into `marks`: wrong is an image without a right guess in the first n."""
    if lacking is None:
        to[name] = [(int(rank is None or rank > n), 1) for rank in ranks]
    else:
        marks.absent[name] = lacking
