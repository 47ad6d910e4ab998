"""The official ILSVRC classification and localization errors, and GT-known localization.

Figures follow the evaluation program of the ILSVRC 2014 development kit. A guess (class and box) is
right when its class is a class of the image and its box has an intersection over union of at least
one half with any true box of that class. An image is right at N when any of its first N guesses is
right. See Russakovsky et al., "ImageNet Large Scale Visual Recognition Challenge", IJCV 2015,
https://arxiv.org/abs/1409.0575, section 4.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, final

from pydantic import BeforeValidator, Field

from camtool.geometry import iou
from camtool.metrics.confidence import Bootstrap, Rate
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from camtool.structures import Annotation, Box, ClassPrediction, Prediction

__all__ = ["DEPTHS", "Figures", "Ilsvrc", "ImageOutcome", "Protocol", "matches"]

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
class Figures:
    """The figures of a set of images.

    Attributes:
        metrics: error rates by name.
        absent: why the other figures cannot be given, by name.
    """

    metrics: dict[str, Rate]
    absent: dict[str, str]


@final
class Ilsvrc(Settings):
    """ILSVRC: top-1 to top-5 classification and localization error, and GT-known error."""

    name: Literal["ilsvrc"] = "ilsvrc"
    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """Intersection over union from which on a box is right."""

    @property
    def hit_rule(self) -> str:
        """When a guess is right, for the reader of a report."""
        return f"class right and IoU >= {self.iou_threshold:g} with any true box of the class"

    def hits(self, box: Box, true_boxes: Iterable[Box]) -> bool:
        """Return whether `box` is right for an object with `true_boxes`, all in one frame."""
        return any(iou(box, true) >= self.iou_threshold for true in true_boxes)

    def judge(self, truth: Annotation, prediction: Prediction) -> ImageOutcome:
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
            right = [(guess.rank, self._right(guess, true_boxes)) for guess in found]
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

    def _right(self, guess: ClassPrediction, true_boxes: Sequence[Box]) -> bool:
        return bool(guess.boxes) and self.hits(guess.boxes[0].box, true_boxes)

    def figures(
        self,
        classified: Sequence[ImageOutcome],
        located: Sequence[ImageOutcome],
        *,
        network_classes: int | None,
        bootstrap: Bootstrap,
    ) -> Figures:
        """Return all figures that the outcomes allow, and why the others are absent.

        Args:
            classified: outcomes of the images that count for the classification error.
            located: outcomes of the images that count for the localization errors: those with a
                true box that are not black-listed.
            network_classes: number of classes of the network; None where it is unknown.
            bootstrap: how the intervals are drawn.
        """
        figures = Figures({}, {})
        for n in DEPTHS:
            ranks = [outcome.class_rank for outcome in classified]
            lacking = _lacking(n, classified, network_classes)
            _add(figures, f"top{n}_classification_error", _at(n, ranks), lacking, bootstrap)
        for n in DEPTHS:
            ranks = [outcome.box_rank for outcome in located]
            lacking = _lacking(n, located, network_classes) or _without_boxes(located)
            _add(figures, f"top{n}_localization_error", _at(n, ranks), lacking, bootstrap)
        kinds = Counter((outcome.known.count(False), len(outcome.known)) for outcome in located)
        _add(figures, "gt_known_error", kinds, _lacking_known(located), bootstrap)
        return figures


def _name_to_settings(value: Any) -> Any:  # noqa: ANN401 - pydantic hands over what the user wrote
    return {"name": value} if isinstance(value, str) else value


# A union of one: the next protocol is joined here, discriminated by its name.

Protocol = Annotated[Ilsvrc, BeforeValidator(_name_to_settings)]
"""How predictions are scored; the bare name stands for the protocol with its defaults."""


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


def _at(n: int, ranks: Sequence[int | None]) -> Counter[tuple[int, int]]:
    """Count images by (errors, 1): wrong are those without a right guess among the first n."""
    wrong = sum(rank is None or rank > n for rank in ranks)
    return Counter({(0, 1): len(ranks) - wrong, (1, 1): wrong})


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


def _add(
    figures: Figures,
    name: str,
    kinds: Counter[tuple[int, int]],
    lacking: str | None,
    bootstrap: Bootstrap,
) -> None:
    """Put one figure into `figures`: its rate, or why there is none."""
    if lacking is None and not kinds.total():
        lacking = "no image is scored"
    if lacking is None:
        figures.metrics[name] = bootstrap.rate(kinds)
    else:
        figures.absent[name] = lacking
