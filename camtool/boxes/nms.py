"""Non-maximum suppression: of boxes that overlap much, only the first is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["suppress"]


def suppress(boxes: NDArray[np.float64], iou: float, most: int) -> list[int]:
    """Return which boxes stay: each whose overlap with every kept one before it is at most `iou`.

    Args:
        boxes: x0, y0, x1, y1 of each, half-open, best first, shape (n, 4).
        iou: intersection over union above which a later box goes.
        most: how many boxes are kept at most.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        corner = np.minimum(boxes[first, 2:], boxes[left, 2:])
        sides = np.maximum(corner - np.maximum(boxes[first, :2], boxes[left, :2]), 0)
        common = sides.prod(1)
        left = left[common / (areas[first] + areas[left] - common) <= iou]
    return kept
