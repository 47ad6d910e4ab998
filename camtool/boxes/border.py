"""The area that the border of a component encloses, by following the border."""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import inlined

__all__ = ["border_area", "first_pixel"]

# Clockwise from the right (rows go down).
_DX = np.array((1, 1, 0, -1, -1, -1, 0, 1))
_DY = np.array((0, 1, 1, 1, 0, -1, -1, -1))


@inlined
def first_pixel(values: Any, start: int, level: int) -> Any:  # noqa: ANN401
    """Return the first pixel of the run of pixels > `level` that `start` lies in."""
    while values[start - 1] > level:
        start -= 1
    return start


@inlined
def border_area(values: Any, stride: int, first: int, level: int) -> Any:  # noqa: ANN401
    """Return twice the area of the polygon through the centres of a component's border pixels.

    Follows the outer border of an 8-connected component (Suzuki and Abe, "Topological structural
    analysis of digitized binary images by border following", CVGIP 1985). Holes count as filled.

    Args:
        values: flattened map within a frame that is lower than any level.
        stride: pixels in a row of the frame.
        first: place of the component's first pixel in raster order.
        level: the component is one of the pixels > `level`.
    """
    # All neighbours earlier in raster order are background, so the search starts behind them.
    direction = 0
    while direction < 4 and values[first + _DX[direction] + stride * _DY[direction]] <= level:
        direction += 1
    if direction == 4:
        return 0
    # The border is closed where it would leave its first pixel the same way again.
    leaving, place, x, y, area = direction, first, 0, 0, 0
    while True:
        dx, dy = _DX[direction], _DY[direction]
        area += x * dy - y * dx
        place, x, y = place + dx + stride * dy, x + dx, y + dy
        # Back to the pixel before the one come from, then clockwise.
        direction = (direction + 5) & 7
        while values[place + _DX[direction] + stride * _DY[direction]] <= level:
            direction = (direction + 1) & 7
        if place == first and direction == leaving:
            return abs(area)
