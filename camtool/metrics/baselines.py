"""Localization without a network: the whole image, and centred boxes.

A method that does not beat a centred box on the same images has not localized anything.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.box_frames import BoxComparison
from camtool.metrics.intervals import Bootstrap, Tally, paired_difference
from camtool.metrics.outcome import Criterion
from camtool.structures import Annotation, Box

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Difference, Rate

SIDES: Final = {
    "whole_image": 1.0,
    "centred_0.9": 0.9,
    "centred_0.8": 0.8,
    "centred_0.7": 0.7,
    "centred_0.6": 0.6,
}
"""Side of the box as a fraction of the side of the image, by the name of the baseline."""

GAUSSIAN: Final = "centred_gaussian"
"""Name of the baseline that scores a centred Gaussian map."""

_CHUNK: Final = 4096


@dataclass(frozen=True, slots=True)
class Baseline:
    """GT-known localization with one box for all images.

    Attributes:
        right: number of pairs of image and true class whose box is right.
        rate: GT-known accuracy with its interval; of as many pairs, one an image where images have
            one class.
        top1: top-1 localization accuracy if the network's first guess had this box; None where the
            guesses are not known.
        tally: right boxes of each image that has a size, among its pairs.
    """

    right: int
    rate: Rate
    tally: Tally = field(compare=False, repr=False)
    top1: Rate | None = None

    @property
    def n(self) -> int:
        """Number of pairs."""
        return self.rate.n

    @property
    def accuracy(self) -> float:
        """GT-known accuracy in percent."""
        return self.rate.value

    @property
    def error(self) -> float:
        """GT-known error in percent."""
        return 100 * (self.n - self.right) / self.n


def centred_box(size: tuple[int, int], side: float) -> Box:
    """Return `[W(1-f)/2, W(1+f)/2) × [H(1-f)/2, H(1+f)/2)`; `size` is (W, H), `side` is f."""
    width, height = size
    low, high = (1 - side) / 2, (1 + side) / 2
    return Box(width * low, height * low, width * high, height * high)


def best_centred(values: Mapping[str, float]) -> str | None:
    """Return the name of the best box of `SIDES`, the larger among equals; None without boxes.

    It is chosen on the images that it is scored on: an oracle like the best threshold.
    """
    return max((name for name in SIDES if name in values), key=values.__getitem__, default=None)


def score_baselines(
    truths: Iterable[Annotation],
    known: Criterion | None = None,
    comparison: BoxComparison | None = None,
    bootstrap: Bootstrap | None = None,
    guessed: NDArray[np.bool_] | None = None,
) -> dict[str, Baseline]:
    """Return the baselines on the images that have a size and a true box; empty if none has.

    A box is right for a class of an image by the GT-known rule of a protocol.

    Args:
        truths: the images.
        known: when a box is right; the official rule when not given.
        comparison: which true boxes it is compared with, and in which frame; likewise.
        bootstrap: how the intervals are drawn.
        guessed: whether the class of each pair is the network's first guess, in the order of the
            images that have a size and their classes that have boxes.
    """
    known, comparison = known or Criterion(0.5), comparison or BoxComparison()
    bootstrap = bootstrap or Bootstrap()
    counting = (truth for truth in truths if truth.size is not None and any(_boxes(truth)))
    strata: list[Hashable] = []
    events: list[NDArray[np.int64]] = []
    trials: list[NDArray[np.int64]] = []
    every_right: list[NDArray[np.bool_]] = []
    while chunk := list(itertools.islice(counting, _CHUNK)):
        right, numbers = _right(chunk, known, comparison)
        first = np.cumsum(numbers) - numbers
        events.append(np.add.reduceat(right, first, axis=0, dtype=np.int64))
        trials.append(numbers)
        every_right.append(right)
        strata += bootstrap.strata(chunk) or []
    if not events:
        return {}
    every, of_images = np.concatenate(events), np.concatenate(trials)
    tallies = {name: Tally(every[:, column], of_images) for column, name in enumerate(SIDES)}
    top1: dict[str, Rate] = {}
    if guessed is not None:
        both = np.concatenate(every_right) & guessed[:, None]
        located = np.logical_or.reduceat(both, np.cumsum(of_images) - of_images)
        of_image = np.ones(len(of_images), np.int64)
        for column, name in enumerate(SIDES):
            top1[name] = bootstrap.rate(
                Tally(located[:, column].astype(np.int64), of_image), strata or None
            )
    return {
        name: Baseline(
            int(tally.events.sum()), bootstrap.rate(tally, strata or None), tally, top1.get(name)
        )
        for name, tally in tallies.items()
    }


def against_centred(
    errors: Tally,
    truths: Sequence[Annotation],
    baselines: Mapping[str, Baseline],
    bootstrap: Bootstrap,
) -> Difference | None:
    """Return how much more often boxes are right than the best centred box, in pairs.

    That box is the best on these very images, so the difference errs to the side of the box.

    Args:
        errors: wrong boxes of each image.
        truths: the images, as many.
        baselines: of the same images, as far as they have a size.
        bootstrap: how the interval is drawn.

    Returns:
        Accuracies of the box (`first`) and of the boxes (`second`); None without a baseline.
    """
    best = best_centred({name: baseline.accuracy for name, baseline in baselines.items()})
    if best is None:
        return None
    sized = np.array([truth.size is not None for truth in truths], np.bool_)
    right = Tally((errors.trials - errors.events)[sized], errors.trials[sized])
    strata = bootstrap.strata(truth for truth in truths if truth.size is not None)
    return paired_difference(baselines[best].tally, right, bootstrap, strata)


def right_sides(truth: Annotation) -> NDArray[np.bool_]:
    """Return for which true classes of an image each box of `SIDES` is right, (classes, sides).

    Example:
        >>> from camtool.structures import AnnotatedObject
        >>> cat = AnnotatedObject("cat", Box(0, 0, 300, 200))
        >>> right_sides(Annotation("a", (cat,), (300, 200))).tolist()
        [[True, True, True, False, False]]

    Args:
        truth: with its size, and a box of each of its classes that counts.
    """
    right, _ = _right([truth], Criterion(0.5), BoxComparison())
    return right


def _boxes(truth: Annotation) -> list[tuple[Box, ...]]:
    """Return the true boxes of each class that has any."""
    return [boxes for label in truth.labels if (boxes := truth.boxes(label))]


def _right(
    truths: Sequence[Annotation], known: Criterion, comparison: BoxComparison
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return which baselines are right for each pair of image and class, (pairs, baselines).

    Also the number of pairs of each image.
    """
    pairs = [(truth, boxes) for truth in truths for boxes in _boxes(truth)]
    numbers = np.array([len(_boxes(truth)) for truth in truths], np.int64)
    counting = [comparison.true_boxes.of(boxes) for _, boxes in pairs]
    true = np.array([box.xyxy for boxes in counting for box in boxes])  # (boxes, 4)
    of_pair = np.array([len(boxes) for boxes in counting])  # (pairs,)
    first = np.cumsum(of_pair) - of_pair
    sizes = np.repeat(np.array([truth.size for truth, _ in pairs], np.float64), of_pair, axis=0)
    right = []
    for side in SIDES.values():
        low, high = (1 - side) / 2, (1 + side) / 2
        boxes = np.concatenate((sizes * low, sizes * high), axis=1)
        overlaps = comparison.between(boxes, true, sizes)
        right.append(known.holds(np.maximum.reduceat(overlaps, first)))
    return np.stack(right, axis=1), numbers
