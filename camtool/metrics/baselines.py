"""Localization without a network: the whole image, and centred boxes.

A method that does not beat a centred box on the same images has not localized anything.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.geometry import iou
from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@functools.lru_cache(maxsize=4096)
def _boxes(size: tuple[int, int]) -> tuple[Box, ...]:
    return tuple(centred_box(size, side) for side in SIDES.values())


def score_baselines(
    truths: Iterable[Annotation], iou_threshold: float = 0.5
) -> dict[str, Baseline]:
    """Return the baselines on the images that have a size and a true box; empty if none has.

    A box is right for a class of an image when its intersection over union with any true box of
    this class is at least `iou_threshold`, as for the GT-known error.
    """
    right = [0] * len(SIDES)
    n = 0
    for truth in truths:
        if truth.size is None:
            continue
        for label in truth.labels:
            true_boxes = truth.boxes(label)
            n += bool(true_boxes)
            for i, box in enumerate(_boxes(truth.size)):
                right[i] += any(iou(box, true) >= iou_threshold for true in true_boxes)
    return {name: Baseline(right[i], n) for i, name in enumerate(SIDES)} if n else {}
