"""Localization without a network: the whole image, and centred boxes.

A method that does not beat a centred box on the same images has not localized anything.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.structures import Annotation

__all__ = ["SIDES", "Baseline", "centred_box", "score_baselines"]

SIDES = {
    "whole_image": 1.0,
    "centred_0.9": 0.9,
    "centred_0.8": 0.8,
    "centred_0.7": 0.7,
    "centred_0.6": 0.6,
}
"""Side of the box as a fraction of the side of the image, by the name of the baseline."""

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Baseline:
    """GT-known localization with one box for all images.

    Attributes:
        right: number of pairs of image and true class whose box is right.
        n: number of pairs; one an image where images have one class.
    """

    right: int
    n: int

    @property
    def accuracy(self) -> float:
        """GT-known accuracy in percent."""
        return 100 * self.right / self.n

    @property
    def error(self) -> float:
        """GT-known error in percent."""
        return 100 * (self.n - self.right) / self.n


def centred_box(size: tuple[int, int], side: float) -> Box:
    """Return `[W(1-f)/2, W(1+f)/2) × [H(1-f)/2, H(1+f)/2)`; `size` is (W, H), `side` is f."""
    width, height = size
    low, high = (1 - side) / 2, (1 + side) / 2
    return Box(width * low, height * low, width * high, height * high)


def score_baselines(
    truths: Iterable[Annotation], iou_threshold: float = 0.5
) -> dict[str, Baseline]:
    """Return the baselines on the images that have a size and a true box; empty if none has.

    A box is right for a class of an image when its intersection over union with any true box of
    this class is at least `iou_threshold`, as for the GT-known error.
    """
    right = np.zeros(len(SIDES), np.int64)
    n = 0
    pairs = _pairs(truths)
    while chunk := list(itertools.islice(pairs, _CHUNK)):
        right += _right(chunk, iou_threshold)
        n += len(chunk)
    return {name: Baseline(int(right[i]), n) for i, name in enumerate(SIDES)} if n else {}


def _pairs(truths: Iterable[Annotation]) -> Iterator[tuple[tuple[int, int], tuple[Box, ...]]]:
    """Yield image size and true boxes for each pair of image and class that has both."""
    for truth in truths:
        if truth.size is not None:
            for label in truth.labels:
                if true_boxes := truth.boxes(label):
                    yield truth.size, true_boxes


def _right(
    pairs: Sequence[tuple[tuple[int, int], tuple[Box, ...]]], iou_threshold: float
) -> NDArray[np.int64]:
    """Count the pairs that each baseline gets right, array of shape (baselines,).

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
        right.append(int(np.logical_or.reduceat(hit, first).sum()))
    return np.array(right, np.int64)
