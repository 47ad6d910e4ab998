"""Localization without a network: the whole image, and centred boxes.

A method that does not beat a centred box on the same images has not localized anything.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camtool.metrics.confidence import Bootstrap
from camtool.metrics.marks import image_marks
from camtool.metrics.resampling import by_stratum
from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Rate
    from camtool.metrics.marks import Mark
    from camtool.structures import Annotation

__all__ = ["SIDES", "Baseline", "best_centred", "centred_box", "score_baselines"]

SIDES = {
    "whole_image": 1.0,
    "centred_0.9": 0.9,
    "centred_0.8": 0.8,
    "centred_0.7": 0.7,
    "centred_0.6": 0.6,
}
"""Side of the box as a fraction of the side of the image, by the name of the baseline."""

_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Baseline:
    """GT-known localization with one box for all images.

    Attributes:
        right: number of pairs of image and true class whose box is right.
        rate: GT-known accuracy with its interval; of as many pairs, one an image where images have
            one class.
    """

    right: int
    rate: Rate

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
    iou_threshold: float = 0.5,
    bootstrap: Bootstrap | None = None,
    judge: Callable[[Box, Sequence[Box], tuple[int, int]], bool] | None = None,
) -> dict[str, Baseline]:
    """Return the baselines on the images that have a size and a true box; empty if none has.

    A box is right for a class of an image when its intersection over union with any true box of
    this class is at least `iou_threshold`, as for the GT-known error.

    Args:
        truths: the images.
        iou_threshold: see above.
        bootstrap: how the intervals are drawn.
        judge: tells whether a box is right, from the box, the true boxes of the class and the size
            (width, height) of the image; for protocols with another rule than that above.
    """
    bootstrap = bootstrap or Bootstrap()
    counting = (truth for truth in truths if truth.size is not None and any(_boxes(truth)))
    strata: list[Hashable] = []
    marks: dict[str, list[Mark]] = {name: [] for name in SIDES}
    while chunk := list(itertools.islice(counting, _CHUNK)):
        boxes = [_boxes(truth) for truth in chunk]
        classes = [len(of_image) for of_image in boxes]
        sized = zip((truth.size for truth in chunk if truth.size), boxes, strict=True)
        pairs = [(size, of_class) for size, of_image in sized for of_class in of_image]
        right = _right(pairs, iou_threshold) if judge is None else _judged(pairs, judge)
        for column, name in enumerate(SIDES):
            marks[name] += image_marks(right[:, column, None], classes)
        strata += bootstrap.strata(chunk) or []
    return {
        name: Baseline(
            sum(right for right, _ in of_images),
            bootstrap.rate(*by_stratum(of_images, strata or None)),
        )
        for name, of_images in marks.items()
        if of_images
    }


def _boxes(truth: Annotation) -> list[tuple[Box, ...]]:
    """Return the true boxes of each class that has any."""
    return [boxes for label in truth.labels if (boxes := truth.boxes(label))]


def _judged(
    pairs: Sequence[tuple[tuple[int, int], tuple[Box, ...]]],
    judge: Callable[[Box, Sequence[Box], tuple[int, int]], bool],
) -> NDArray[np.bool_]:
    """Tell the same as `_right` by a rule of any kind, box by box."""
    return np.array(
        [
            [judge(centred_box(size, side), boxes, size) for side in SIDES.values()]
            for size, boxes in pairs
        ],
        np.bool_,
    )


def _right(
    pairs: Sequence[tuple[tuple[int, int], tuple[Box, ...]]], iou_threshold: float
) -> NDArray[np.bool_]:
    """Tell for each pair which baselines get it right, bool of shape (pairs, baselines).

    The same arithmetic as `geometry.iou` on `centred_box`, for all pairs at once.
    """
    true = np.array([box.xyxy for _, boxes in pairs for box in boxes])  # (boxes, 4)
    number = np.array([len(boxes) for _, boxes in pairs])  # (pairs,)
    size = np.repeat(np.array([size for size, _ in pairs], np.float64), number, axis=0)
    first = np.cumsum(number) - number
    true_area = (true[:, 2:] - true[:, :2]).prod(axis=1)
    right = []
    for side in SIDES.values():
        near, far = size * ((1 - side) / 2), size * ((1 + side) / 2)  # (boxes, 2) each
        common = np.minimum(far, true[:, 2:]) - np.maximum(near, true[:, :2])
        intersection = np.maximum(common, 0).prod(axis=1)
        union = (far - near).prod(axis=1) + true_area - intersection
        hit = intersection / union >= iou_threshold
        right.append(np.logical_or.reduceat(hit, first))
    return np.stack(right, axis=1)
