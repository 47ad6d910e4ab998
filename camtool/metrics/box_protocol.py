"""Protocols that score stored boxes: what they share, and what a preset declares.

A guess (class and box) is right when its class is a class of the image and its box overlaps the
true boxes of that class. Where published codes differ, a preset says which way it goes: see
`camtool.metrics.box_rules`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from camtool.errors import EvaluationError, shorten
from camtool.geometry import iou
from camtool.metrics.box_marks import box_marks
from camtool.metrics.box_rules import Hit, OriginalFrame, TopN, TrueBoxes
from camtool.metrics.figures import Figures, ImageOutcome
from camtool.metrics.resampling import ONE_STRATUM, by_stratum
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.metrics.box_rules import BoxFrame
    from camtool.metrics.confidence import Bootstrap
    from camtool.metrics.marks import Marks
    from camtool.metrics.resampling import Strata
    from camtool.structures import Annotation, Box, ClassPrediction, Prediction

__all__ = ["BoxProtocol", "matches"]


class BoxProtocol(Settings, ABC):
    """Top-1 to top-5 classification and localization error, and GT-known error, of stored boxes."""

    paper: ClassVar[str]
    needs_maps: ClassVar[bool] = False
    needs_boxes: ClassVar[bool] = True
    measure: ClassVar[str] = "error"

    guess_hit: ClassVar[Hit] = Hit.AT_LEAST
    """Hit rule of a guess."""
    known_hit: ClassVar[Hit] = Hit.AT_LEAST
    """Hit rule of the box of the true class (GT-known)."""
    true_boxes: ClassVar[TrueBoxes] = TrueBoxes.ANY
    """Which true boxes count."""
    top_n: ClassVar[TopN] = TopN.OWN_BOX
    """What makes an image right at N."""

    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """Intersection over union from which on a box is right."""

    @property
    @abstractmethod
    def box_frame(self) -> BoxFrame:
        """The frame in which boxes are compared."""

    @property
    def hit_rule(self) -> str:
        """When a guess is right, for the reader of a report."""
        rule = (
            f"class right and IoU {self.guess_hit.value} {self.iou_threshold:g} with "
            f"{self.true_boxes.value}"
        )
        if self.known_hit is self.guess_hit:
            return rule
        return f"{rule}; GT-known: IoU {self.known_hit.value} {self.iou_threshold:g}"

    def overlap(self, box: Box, true_boxes: Sequence[Box], size: tuple[int, int] | None) -> float:
        """Return the best intersection over union of `box` with the true boxes that count.

        Args:
            box: a predicted box.
            true_boxes: all true boxes of its class, in the frame of `box` and in the order of the
                annotation.
            size: (width, height) of that frame; None where it is unknown.

        Raises:
            ValueError: the protocol has a frame of its own, and `size` is None.
        """
        placed = self.box_frame.place(box, size)
        if placed is None:
            return 0.0
        counting = (self.box_frame.place(true, size) for true in self.true_boxes.of(true_boxes))
        return max((iou(placed, true) for true in counting if true is not None), default=0.0)

    def is_right(self, overlap: float, at: float | None = None, *, known: bool = False) -> bool:
        """Return whether a box of this `overlap` is right.

        Args:
            overlap: what `overlap` returned.
            at: another threshold on it than the protocol's.
            known: it is judged as the box of the true class (GT-known), not as a guess.
        """
        rule = self.known_hit if known else self.guess_hit
        return rule.holds(overlap, self.iou_threshold if at is None else at)

    @property
    def plain_known(self) -> bool:
        """GT-known counts any true box, as it is, from the threshold on: the official rule."""
        plain = self.known_hit is Hit.AT_LEAST and self.true_boxes is TrueBoxes.ANY
        return plain and isinstance(self.box_frame, OriginalFrame)

    def resamples(self, bootstrap: Bootstrap) -> int:
        """Return how many resamples an interval rests on."""
        return bootstrap.samples

    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""
        fixed = f"{box_rule}, fixed before scoring" if box_rule else None
        return {
            "hit": self.hit_rule,
            "pixels": "half-open boxes; inclusive corners widened by 1, as the official +1 rule",
            "true_boxes": self.true_boxes.value,
            "guess_box": "each guess has the strongest box of its own class, unless the box rule"
            " enters another; no box is wrong",
            "top_n": self.top_n.value,
            "frame": self.box_frame.describe(),
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

        The box of a guess is the strongest box of its own class, unless the boxes say which guess
        they are (`ScoredBox.guess`); a guess without a box is wrong.

        Raises:
            EvaluationError: the protocol's frame needs the size of the image, and nobody gives it.
        """
        size = truth.size or prediction.size
        if size is None and self.box_frame.needs_size:
            raise EvaluationError(
                f"{shorten(truth.image_id)}: neither annotation nor prediction gives the image's"
                f" size, which the frame of this protocol needs: {self.box_frame.describe()}"
            )
        guesses = sorted(prediction.classes, key=lambda guess: guess.rank)
        class_ranks: list[int] = []
        box_ranks: list[int] = []
        known: list[bool | None] = []
        complete = True
        for label in truth.labels:
            true_boxes = truth.boxes(label)
            found = [guess for guess in guesses if matches(label, guess)]
            overlaps = [self._overlap(guess, true_boxes, size) for guess in found]
            complete &= any(guess.target for guess in found)
            class_ranks += [guess.rank for guess in found[:1]]
            box_ranks += self._right_ranks(found, overlaps, true_boxes, size)
            if true_boxes:
                known.append(self._right(overlaps[0], known=True) if overlaps else None)
        ranks, carried = _carried(guesses)
        return ImageOutcome(
            min(class_ranks, default=None),
            min(box_ranks, default=None),
            tuple(known),
            ranks,
            carried,
            complete,
        )

    def _overlap(
        self, guess: ClassPrediction, true_boxes: Sequence[Box], size: tuple[int, int] | None
    ) -> float | None:
        boxes = guess.boxes
        return self.overlap(boxes[0].box, true_boxes, size) if boxes else None

    def _right(self, overlap: float | None, *, known: bool = False) -> bool:
        return overlap is not None and self.is_right(overlap, known=known)

    def _right_ranks(
        self,
        found: Sequence[ClassPrediction],
        overlaps: Sequence[float | None],
        true_boxes: Sequence[Box],
        size: tuple[int, int] | None,
    ) -> list[int]:
        """Return the places of the guesses of one true class that make the image right."""
        if self.top_n is TopN.TRUE_CLASS_BOX:
            # That box is the one of the first guess: more than one has only a guess file.
            return [guess.rank for guess in found[:1] if self._right(overlaps[0])]
        return [
            place
            for guess, overlap in zip(found, overlaps, strict=True)
            for place, each in self._entered(guess, overlap, true_boxes, size)
            if self._right(each)
        ]

    def _entered(
        self,
        guess: ClassPrediction,
        overlap: float | None,
        true_boxes: Sequence[Box],
        size: tuple[int, int] | None,
    ) -> list[tuple[int, float | None]]:
        """Return place and overlap of each box of a class that is a guess of the image."""
        if not guess.boxes or guess.boxes[0].guess is None:
            return [(guess.rank, overlap)]
        placed = ((scored.guess, scored.box) for scored in guess.boxes)
        return [(place, self.overlap(box, true_boxes, size)) for place, box in placed if place]

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
        kept = (marks.classification, strata.classified), (marks.localization, strata.located)
        metrics = {
            name: bootstrap.rate(*by_stratum(of_images, of_strata))
            for by_name, of_strata in kept
            for name, of_images in by_name.items()
        }
        return Figures(metrics, marks.absent)

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
        return box_marks(classified, located, network_classes)

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
