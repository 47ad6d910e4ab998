"""The rectangles of the program that the authors of CAM released for their boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Rectangle", "rectangles", "survivors"]

_MARGIN = 5
"""Pixels at the right and the lower border that no rectangle reaches into."""


class Rectangle(NamedTuple):
    """A rectangle `[x, x + w) × [y, y + h)` in pixels; may have no area."""

    x: int
    y: int
    w: int
    h: int

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return self.w * self.h

    def common(self, other: Rectangle) -> int:
        """The number of pixels in both."""
        w = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        h = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        return max(w, 0) * max(h, 0)


def rectangles(levels: NDArray[np.uint8], thresholds: Sequence[int]) -> list[Rectangle]:
    """Return the rectangles of all contours at all thresholds, largest first, before the walk.

    Among equally large ones: by threshold in the given order, then by y, x, width and height. (The
    released program leaves their order to its sort.)

    Args:
        levels: map at image size, shape (height, width).
        thresholds: levels that a pixel must exceed.
    """
    found = [
        (place, rectangle)
        for place, threshold in enumerate(thresholds)
        for rectangle in _contours(_core(levels > threshold))
    ]
    found.sort(key=lambda f: (-f[1].area, f[0], f[1].y, *f[1]))
    return [rectangle for _, rectangle in found]


def survivors(ordered: Sequence[Rectangle]) -> list[Rectangle]:
    """Return what is left when each rectangle has deleted later ones that it has in common.

    Rectangle j goes when it shares more than half of the larger area, rounded down, with an earlier
    one i. As in the released program, the walk steps on after a deletion: the element that slid
    into the place is not compared with i.
    """
    left = list(ordered)
    i = 0
    while i < len(left):
        j = i + 1
        while j < len(left):
            if left[i].common(left[j]) > max(left[i].area, left[j].area) // 2:
                del left[j]
            j += 1
        i += 1
    return left


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that lie deep inside it; a mask without an edge as it is.

    Depth is the exact Euclidean distance to the nearest pixel outside the mask, within the image;
    kept is what is above 10 when the depths of all pixels, from 0 to the deepest, become 0 to 255.
    """
    if mask.all() or not mask.any():
        return mask
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares are whole numbers: the comparison is exact (for depths of up to 2,047 pixels).
    squared = np.rint(np.square(depth, dtype=np.float64))
    kept: NDArray[np.bool_] = squared * 255**2 > 10**2 * squared.max()
    return kept


def _contours(mask: NDArray[np.bool_]) -> Iterator[Rectangle]:
    """Yield the clamped bounding rectangle of each contour, those of holes among them."""
    height, width = mask.shape
    found, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for contour in found:
        x, y, w, h = cv2.boundingRect(contour)
        yield Rectangle(
            _clamped(x, width - _MARGIN),
            _clamped(y, height - _MARGIN),
            # By the place before it was clamped, as the program has it.
            _clamped(w, width - x - _MARGIN),
            _clamped(h, height - y - _MARGIN),
        )


def _clamped(value: int, most: int) -> int:
    return max(0, min(value, most))
