"""The contours of an 8-bit map at every level by OpenCV, one mask after the other.

Slower than `camtool.boxes.contours` by a factor of some ten, but nothing has to be compiled: right
for a handful of maps, and an independent reference for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from camtool.boxes.contours import LEVELS, Contours

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["plain_contours"]


def plain_contours(values: NDArray[np.uint8], *, largest: bool = False) -> Contours:
    """Return all contours at all levels, or with `largest` only the largest at each level.

    Equal to `contours` and `largest_contours`, but each contour has one level only.

    Args:
        values: map, uint8 of shape (height, width).
        largest: see above.
    """
    boxes: list[tuple[int, int, int, int]] = []
    levels: list[tuple[int, int]] = []
    for level in range(min(int(values.max()), LEVELS)):
        mask = (values > level).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        for contour in [max(found, key=cv2.contourArea)] if largest else found:
            x, y, w, h = cv2.boundingRect(contour)
            boxes.append((x, y, x + w, y + h))
            levels.append((level, level))
    return Contours(
        np.array(boxes, np.int32).reshape(-1, 4), np.array(levels, np.int32).reshape(-1, 2)
    )
