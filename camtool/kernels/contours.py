"""The contours of an 8-bit map at every threshold, as `cv2.findContours` gives them.

For a mask `map > level` the border-following algorithm of Suzuki and Abe (1985), with tree
retrieval, gives an outer contour for each 8-connected component and a contour for each hole, which
is a 4-connected component of the background that does not reach the frame. The contour of a hole
runs through the pixels around it, so its bounding box is the hole's grown by one pixel.

Everything compiled is exact and for all 256 masks at once; OpenCV is not used. The plain twins take
one mask after the other, with OpenCV. They are slower by a factor of some ten, but nothing has to
be compiled: right for a handful of maps, and an independent reference for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from camtool.kernels.compiled import compiled, inlined, with_plain
from camtool.kernels.neighbourhoods import BACKGROUND, FOREGROUND, higher_neighbours, padded
from camtool.kernels.tree import sweep

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVELS = 255
"""Number of levels: `map > level` has pixels at levels 0 to 254 only."""

# Clockwise from the right (rows go down).
_DX = np.array((1, 1, 0, -1, -1, -1, 0, 1))
_DY = np.array((0, 1, 1, 1, 0, -1, -1, -1))


class Contours(NamedTuple):
    """Contours, each over the levels at which its bounding box is the same.

    Attributes:
        boxes: half-open x0, y0, x1, y1 in pixels, int32 of shape (n, 4).
        levels: lowest and highest level (both inclusive), int32 of shape (n, 2).

    Example:
        >>> found = Contours(np.array([[0, 0, 9, 9], [2, 2, 5, 7]]), np.array([[0, 99], [50, 99]]))
        >>> found.at(70).tolist(), found.at(20).tolist()
        ([[0, 0, 9, 9], [2, 2, 5, 7]], [[0, 0, 9, 9]])
    """

    boxes: NDArray[np.int32]
    levels: NDArray[np.int32]

    def at(self, level: int) -> NDArray[np.int32]:
        """Return the boxes of all contours of the mask `map > level`, in no particular order."""
        here = (self.levels[:, 0] <= level) & (level <= self.levels[:, 1])
        return self.boxes[here]


@inlined
def first_pixel(values, start, level):
    """Return the first pixel of the run of pixels > `level` that `start` lies in."""
    while values[start - 1] > level:
        start -= 1
    return start


@inlined
def border_area(values, stride, first, level):
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


@compiled
def _joined(outer, holes):
    """Boxes and levels of the outer contours and of those of the holes."""
    boxes = np.empty((len(outer) + len(holes), 4), np.int32)
    levels = np.empty((len(boxes), 2), np.int32)
    for i in range(len(outer)):
        _put_box(outer[i], 0, boxes, i)
        levels[i, 0], levels[i, 1] = outer[i].low, outer[i].high
    for i in range(len(holes)):
        n = len(outer) + i
        _put_box(holes[i], 1, boxes, n)
        # The pixels < 255 - t, which the sweep counts by t, are the background of level 254 - t.
        levels[n, 0], levels[n, 1] = 254 - holes[i].high, 254 - holes[i].low
    return boxes, levels


@inlined
def _put_box(stretch, margin, boxes, i):
    """Write the half-open box of a stretch, grown by `margin` pixels."""
    boxes[i, 0], boxes[i, 1] = stretch.x0 - margin, stretch.y0 - margin
    boxes[i, 2], boxes[i, 3] = stretch.x1 + margin + 1, stretch.y1 + margin + 1


@compiled
def _selected(found, largest):
    """Boxes and levels of the stretches that are largest at some level."""
    boxes, levels = np.empty((LEVELS, 4), np.int32), np.empty((LEVELS, 2), np.int32)
    count = 0
    for level in range(LEVELS - 1, -1, -1):
        n = largest[level]
        if n < 0:
            continue
        if level + 1 == LEVELS or n != largest[level + 1]:
            _put_box(found[n], 0, boxes, count)
            levels[count, 1] = level
            count += 1
        levels[count - 1, 0] = level
    return boxes[:count], levels[:count]


@compiled
def _largest(frame, found):
    """The stretch of the largest contour at each level, or -1."""
    largest = np.full(LEVELS, -1)
    values, stride = frame.ravel(), frame.shape[1]
    present = np.empty(len(found), np.int32)
    least = np.zeros(len(found), np.int64)
    count = entered = 0
    for level in range(LEVELS - 1, -1, -1):
        kept = 0
        for i in range(count):
            if found[present[i]].low <= level:
                present[kept] = present[i]
                kept += 1
        count = kept
        while entered < len(found) and found[entered].high == level:
            if found[entered].before >= 0:
                least[entered] = least[found[entered].before]
            present[count] = entered
            count, entered = count + 1, entered + 1
        if count:
            largest[level] = _choose(values, stride, found, present, count, least, level)
    return largest


@inlined
def _bound(stretch):
    """Twice the area of the box through the outermost pixel centres: no border encloses more."""
    return 2 * (stretch.x1 - stretch.x0) * (stretch.y1 - stretch.y0)


@inlined
def _widest(found, present, count):
    """The stretch of the largest bound, and the largest bound among the others."""
    best, most, second = -1, -1, -1
    for i in range(count):
        bound = _bound(found[present[i]])
        if bound > most:
            best, most, second = present[i], bound, most
        elif bound > second:
            second = bound
    return best, second


@inlined
def _choose(values, stride, found, present, count, least, level):
    """The largest contour among the `count` present at a level.

    A border is followed only where bounds leave the choice open. `least` holds the area that each
    component had when its border was followed last: it has grown since.
    """
    widest, second = _widest(found, present, count)
    if least[widest] > second:
        return widest
    first = first_pixel(values, found[widest].start, level)
    least[widest] = area = border_area(values, stride, first, level)
    best = widest
    for i in range(count if second >= area else 0):
        n = present[i]
        if n == widest or _bound(found[n]) < area:
            continue
        other_first = first_pixel(values, found[n].start, level)
        least[n] = other = border_area(values, stride, other_first, level)
        if (other, other_first) > (area, first):
            best, area, first = n, other, other_first
    return best


def _checked(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if values.ndim != 2 or values.dtype != np.uint8 or not values.size:
        raise ValueError(f"not an 8-bit map: {values.dtype} of shape {values.shape}")
    return np.ascontiguousarray(values)


def _contours_of_masks(values: NDArray[np.uint8], *, largest: bool) -> Contours:
    """Return the contours of one mask after the other by OpenCV; each has one level only."""
    values = _checked(values)
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


def _all_of_masks(values: NDArray[np.uint8]) -> Contours:
    return _contours_of_masks(values, largest=False)


def _largest_of_masks(values: NDArray[np.uint8]) -> Contours:
    return _contours_of_masks(values, largest=True)


@with_plain(_all_of_masks, last=_joined)
def all_contours(values: NDArray[np.uint8]) -> Contours:
    """Return all contours, of components and of holes, at all levels.

    Example:
        >>> ring = np.full((5, 6), 9, np.uint8)
        >>> ring[2, 3] = 0
        >>> sorted(all_contours(ring).at(8).tolist())
        [[0, 0, 6, 5], [2, 1, 5, 4]]

    Args:
        values: map, uint8 of shape (height, width).

    Raises:
        ValueError: not such a map.
    """
    # One compiled function for all would be slower: the first two lose their vector instructions.
    frame = padded(_checked(values))
    masks = higher_neighbours(frame)
    outer = sweep(frame, masks, *FOREGROUND, False)
    holes = sweep(frame, masks, *BACKGROUND, True)
    return Contours(*_joined(outer, holes))


@with_plain(_largest_of_masks, last=_selected)
def largest_contours(values: NDArray[np.uint8]) -> Contours:
    """Return the contour of largest area at each level: at most one a level.

    The area is that of the polygon through the centres of the border pixels (`cv2.contourArea`).
    Among equals it is the contour of a whole component, and the one whose first pixel comes last
    in raster order: `findContours` lists the last found first, but the contour of a component
    before those inside it, none of which is larger; and `max` takes the first.

    Example:
        >>> squares = np.zeros((4, 9), np.uint8)
        >>> squares[1:3, 1:3], squares[0:4, 5:9] = 200, 100
        >>> found = largest_contours(squares)
        >>> found.at(50).tolist(), found.at(150).tolist()
        ([[5, 0, 9, 4]], [[1, 1, 3, 3]])

    Args:
        values: map, uint8 of shape (height, width).

    Raises:
        ValueError: not such a map.
    """
    frame = padded(_checked(values))
    outer = sweep(frame, higher_neighbours(frame), *FOREGROUND, False)
    return Contours(*_selected(outer, _largest(frame, outer)))
