"""The box of the paper's rule at many thresholds by OpenCV, one mask after the other.

Slower than `camtool.boxes.every_threshold` by a factor of some hundred, but nothing has to be
compiled: right for a handful of small images, and an independent reference for the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["boxes_at_plain"]


def boxes_at_plain(
    score_map: ScoreMap, shares: NDArray[np.float64], *, of_range: bool = False
) -> NDArray[np.int64]:
    """Return the box of a map's largest component at each threshold; see `boxes_at`."""
    boxes = np.zeros((len(shares), 4), np.int64)
    pixels = score_map.at_image_size(outside=-np.inf)
    covered = pixels[pixels > -np.inf]
    if not np.isfinite(score_map.values).all() or not covered.size:
        return boxes
    base, high = covered.min() if of_range else 0.0, covered.max()
    for i, share in enumerate(shares):
        if high > base:
            boxes[i] = _largest(pixels > base + share * (high - base))
    return boxes


def _largest(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return the box of the largest component, the first in raster order among equals."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return 0, 0, 0, 0
    # Only where several are largest, their order matters, which OpenCV does not promise.
    best = np.flatnonzero(areas == areas.max()) + 1
    label = best[0] if len(best) == 1 else labels.ravel()[np.isin(labels, best).ravel().argmax()]
    x, y, w, h, _ = stats[label].tolist()
    return x, y, x + w, y + h
