"""A class map as one with a cell a pixel, for rules that follow another interpolation.

Between cells that are pixels there is nothing to interpolate: what works on any map
(`camtool.boxes.components`, `camtool.boxes.every_threshold`) works on this one, exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.boxes.enlarged import enlarge, reduced
from camtool.structures import ScoreMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.boxes.enlarged import Interpolation

__all__ = ["by_pixel", "whole_pixels"]

_MAX_SIDE: Final = 2048
"""Larger pictures are worked on at this longer side, which bounds memory and time."""
_RANGE: Final = np.finfo(np.float32)


def by_pixel(score_map: ScoreMap, interpolation: Interpolation) -> ScoreMap:
    """Return the map that a box rule looks at.

    Returns:
        With `bilinear` the map itself, which is worked on without making it large. With `bicubic`
        its covered pixels as cells, of a picture of at most 2,048 pixels along its longer side; a
        map that is not finite, or covers no pixel's centre, as it is.
    """
    if interpolation == "bilinear" or not np.isfinite(score_map.values).all():
        return score_map
    worked = reduced(score_map, _MAX_SIDE)
    pixels = enlarge(worked, interpolation)
    covered = ~np.isnan(pixels)
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    if not rows.size:
        return score_map
    x0, y0, x1, y1 = (int(n) for n in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    # Between far values the cubic goes beyond them.
    values = np.clip(pixels[y0:y1, x0:x1], _RANGE.min, _RANGE.max).astype(np.float32)
    return ScoreMap(values, (float(x0), float(y0), float(x1), float(y1)), worked.size)


def whole_pixels(
    boxes: NDArray[np.int64], worked: ScoreMap, score_map: ScoreMap
) -> NDArray[np.int64]:
    """Bring boxes (n, 4) of the map that was worked on to whole pixels of the picture."""
    if worked.size == score_map.size:
        return boxes
    factors = np.tile(np.divide(score_map.size, worked.size), 2)
    result: NDArray[np.int64] = np.rint(boxes * factors).astype(np.int64)
    return result
