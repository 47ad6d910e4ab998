"""The connected components of an 8-bit map at every threshold, in one sweep.

The threshold sinks from the highest value to the lowest. Only pixels that start a component, join
several, or may move a side of a box are looked at (see `camtool.boxes.neighbourhoods`). Which
component such a pixel belongs to, its way upwards tells: from pixel to higher pixel until a peak,
whose component is known by union–find (Najman and Couprie, "Building the component tree in
quasi-linear time", IEEE Transactions on Image Processing 2006). Ways are remembered, so no pixel
is passed twice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import compiled, inlined
from camtool.boxes.growth import (
    BOX,
    FRESH,
    OUTSIDE,
    PLACE,
    STRETCHES,
    meet,
    move_box,
    no_nodes,
    node_of,
)
from camtool.boxes.neighbourhoods import JOINS, MOVES_BOX, STARTS

__all__ = ["STRETCH", "sweep"]

STRETCH = np.dtype(
    [*BOX, ("start", np.int32), ("low", np.int32), ("high", np.int32), ("before", np.int32)]
)
"""A component over a stretch of thresholds at which its box stays the same.

Thresholds are counted in the order of the sweep: for the foreground `t` stands for the pixels > t,
for the background for the pixels < 255 - t.

- `x0`, `y0`, `x1`, `y1`: the box, inclusive;
- `start`: place in the flattened frame of a pixel of the box's first row, in the leftmost run of
  the component there;
- `low`, `high`: lowest and highest threshold of the stretch;
- `before`: an earlier stretch of a component that is a part of this one, or -1.
"""

# Arrays are handed to compiled functions one by one. Taken out of a tuple, each would be counted as
# one more reference, which costs more than the work itself; and a class of this package in a
# signature would make compiled code of another version, kept on disk, unreadable.


@compiled
def sweep(
    frame: Any,  # noqa: ANN401
    masks: Any,  # noqa: ANN401
    roles: Any,  # noqa: ANN401
    links: Any,  # noqa: ANN401
    near: Any,  # noqa: ANN401
    reverse: bool,
) -> Any:  # noqa: ANN401
    """Find the components at all thresholds 0 to 254.

    Args:
        frame: the map within a frame of -1, int16 of shape (height + 2, width + 2).
        masks: the higher neighbours of each pixel, uint8 of the same shape.
        roles: of each mask, as in `Neighbourhoods`.
        links: of each mask, as in `Neighbourhoods`.
        near: of each mask, as in `Neighbourhoods`.
        reverse: sweep from the lowest value to the highest, over the background; what is
            connected to the frame is then left out.

    Returns:
        Array of `STRETCH`, whose `high` never increases from one to the next.
    """
    stride = frame.shape[1]
    places, ends = _sorted_places(frame, masks, roles, reverse)
    flat, labels = masks.ravel(), _no_labels(frame)
    ways, close = _distances(links, stride), _distances(near, stride)
    peaks = 0
    for i in range(len(places)):
        peaks += roles[flat[places[i].place]] & STARTS
    nodes = no_nodes(peaks + 2)
    fresh = np.empty(peaks + 2, np.int32)
    # A pixel begins at most one stretch.
    found = np.empty(len(places), STRETCH)
    counts = np.array((OUTSIDE + 1, 0, 0))
    for value in range(255, 0, -1):
        for i in range(ends[value + 1], ends[value]):
            place = places[i].place
            role = roles[flat[place]]
            if role & JOINS:
                meet(place, value, flat, close, ways, labels, nodes, found, fresh, counts)
            if role & MOVES_BOX:
                root = node_of(place, flat, close, ways, labels, nodes, counts)
                if root != OUTSIDE:
                    move_box(root, places[i], value, nodes, found, fresh, counts)
        _begin_stretches(value, nodes, found, fresh, counts)
    return found[: counts[STRETCHES]]


@compiled
def _sorted_places(frame: Any, masks: Any, roles: Any, reverse: bool) -> Any:  # noqa: ANN401
    """The pixels with a role, the first to enter first, and how many enter at a value or before."""
    height, stride = frame.shape
    some, rows = _some_places(masks, roles)
    values, flat = np.empty(len(some), np.uint8), frame.ravel()
    ends = np.zeros(257, np.int64)
    for i in range(len(some)):
        value = flat[some[i]]
        values[i] = 255 - value if reverse else value
        ends[values[i]] += 1
    for value in range(255, -1, -1):
        ends[value] += ends[value + 1]
    places, filled = np.empty(len(some), PLACE), ends[1:].copy()
    for y in range(height - 2):
        left = (y + 1) * stride + 1
        for i in range(rows[y], rows[y + 1]):
            found = places[filled[values[i]]]
            filled[values[i]] += 1
            found.place, found.x, found.y = some[i], some[i] - left, y
    return places, ends


@compiled
def _some_places(masks: Any, roles: Any) -> Any:  # noqa: ANN401
    """The places of the pixels with a role in raster order, and where each row of them begins."""
    height, stride = masks.shape
    some, rows = np.empty(masks.size, np.int32), np.empty(height - 1, np.int64)
    count = 0
    for y in range(1, height - 1):
        rows[y - 1] = count
        row, left = masks[y, 1:-1], y * stride + 1
        for x in range(len(row)):
            # Written always and kept sometimes: a branch that none can foresee costs more.
            some[count] = left + x
            count += roles[row[x]] != 0
    rows[height - 2] = count
    return some[:count], rows


@compiled
def _no_labels(frame: Any) -> Any:  # noqa: ANN401
    """The node of each pixel: unknown but for the frame; flattened."""
    height, stride = frame.shape
    labels = np.zeros((height, stride), np.int32)
    labels[0], labels[height - 1] = OUTSIDE, OUTSIDE
    labels[:, 0], labels[:, stride - 1] = OUTSIDE, OUTSIDE
    return labels.ravel()


@compiled
def _distances(directions: Any, stride: int) -> Any:  # noqa: ANN401
    """Directions (clockwise from the upper left) as distances in the flattened frame; 0 is none."""
    around = (-stride - 1, -stride, -stride + 1, 1, stride + 1, stride, stride - 1, -1)
    distances = np.zeros(directions.shape, np.int32)
    for mask in range(directions.shape[0]):
        for k in range(directions.shape[1]):
            if directions[mask, k] >= 0:
                distances[mask, k] = around[directions[mask, k]]
    return distances


@inlined
def _begin_stretches(value: int, nodes: Any, found: Any, fresh: Any, counts: Any) -> None:  # noqa: ANN401
    """Begin a stretch for each component that changed at `value`."""
    for i in range(counts[FRESH]):
        node = nodes[fresh[i]]
        if node.parent != fresh[i]:
            continue
        n = counts[STRETCHES]
        stretch = found[n]
        stretch.x0, stretch.y0, stretch.x1, stretch.y1 = node.x0, node.y0, node.x1, node.y1
        stretch.start, stretch.before = node.start, node.stretch
        stretch.low, stretch.high = 0, value - 1
        node.stretch = n
        counts[STRETCHES] += 1
    counts[FRESH] = 0
