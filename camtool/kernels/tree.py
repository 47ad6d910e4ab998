"""The connected components of an 8-bit map at every threshold, in one sweep.

The threshold sinks from the highest value to the lowest. Only pixels that start a component, join
several, or may move a side of a box are looked at (see `camtool.kernels.neighbourhoods`). Which
component such a pixel belongs to, its way upwards tells: from pixel to higher pixel until a peak,
whose component is known by union–find (Najman and Couprie, "Building the component tree in
quasi-linear time", IEEE Transactions on Image Processing 2006). Ways are remembered, so no pixel
is passed twice.

Components that grow and join are kept by union–find with boxes. The functions for it share their
arrays: the flattened `masks` and `labels` of the pixels, the tables `close` and `ways` over masks
(`near` and `links` of `Neighbourhoods` as distances), the `nodes`, the stretches `found`, the
`fresh` nodes (those that changed at the present value) and the `counts` of nodes, fresh nodes and
stretches.
"""

from __future__ import annotations

import numpy as np

from camtool.kernels.compiled import compiled, inlined
from camtool.kernels.neighbourhoods import JOINS, MOVES_BOX, STARTS

OUTSIDE = 1
"""The node of the frame around the map; 0 among the labels means not known yet."""

NODES, FRESH, STRETCHES = 0, 1, 2
"""Places among the counts."""

_BOX = [("x0", np.int32), ("y0", np.int32), ("x1", np.int32), ("y1", np.int32)]
"""Fields of an inclusive box."""

PLACE = np.dtype([("place", np.int32), ("x", np.int32), ("y", np.int32)])
"""A pixel: its place in the flattened frame, and where it is in the map."""

_INTERVAL = 8

_NODE = np.dtype(
    [*_BOX, ("start", np.int32), ("parent", np.int32), ("changed", np.int32), ("stretch", np.int32)]
)
"""A component while it grows: `parent` makes the union–find forest, `changed` is the value of the
pixels at which it changed last, `stretch` the last one that it began, or -1."""

STRETCH = np.dtype(
    [*_BOX, ("start", np.int32), ("low", np.int32), ("high", np.int32), ("before", np.int32)]
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
def no_nodes(most):
    """Room for `most` nodes, each a component of its own without any pixel."""
    nodes = np.empty(most, _NODE)
    for i in range(most):
        node = nodes[i]
        node.x0 = node.y0 = node.start = np.iinfo(np.int32).max
        node.x1 = node.y1 = node.stretch = -1
        node.parent, node.changed = i, 0
    return nodes


@inlined
def _root(nodes, i):
    while nodes[i].parent != i:
        nodes[i].parent = nodes[nodes[i].parent].parent
        i = nodes[i].parent
    return i


@inlined
def node_of(place, masks, close, ways, labels, nodes, counts):
    """The node whose component a pixel belongs to; its peak becomes a node if it is none yet."""
    label, mask = labels[place], masks[place]
    # Most often the pixel continues a ridge, of which a neighbour is already known.
    k = 0
    while not label and close[mask, k]:
        label = labels[place + close[mask, k]]
        k += 1
    if label:
        labels[place] = label
    else:
        _climb(place, masks, ways, labels, counts)
    return _root(nodes, labels[place])


@inlined
def _climb(place, masks, ways, labels, counts):
    """Label a pixel by going upwards until a label is known, or a peak reached."""
    top, passed = place, 0
    while not labels[top]:
        way = ways[masks[top], 0]
        if not way:
            labels[top] = counts[NODES]
            counts[NODES] += 1
        top += way
        passed += 1
    label = labels[top]
    labels[place] = label
    # Marks at intervals are enough to keep others from going the same way again.
    if passed >= _INTERVAL:
        for i in range(passed - 1):
            place += ways[masks[place], 0]
            if i % _INTERVAL == 0:
                labels[place] = label


@inlined
def meet(place, value, masks, close, ways, labels, nodes, found, fresh, counts):
    """Join the components that meet at a pixel."""
    mask = masks[place]
    root = node_of(place + ways[mask, 0], masks, close, ways, labels, nodes, counts)
    k = 1
    while ways[mask, k]:
        side = place + ways[mask, k]
        other = node_of(side, masks, close, ways, labels, nodes, counts)
        if other != root:
            root = _join(root, other, value, nodes, found, fresh, counts)
        k += 1


@inlined
def _change(root, value, nodes, found, fresh, counts):
    """End the stretch of a component that is about to change, once a value."""
    node = nodes[root]
    if node.changed == value:
        return
    node.changed = value
    if node.stretch >= 0:
        found[node.stretch].low = value
    fresh[counts[FRESH]] = root
    counts[FRESH] += 1


@inlined
def _join(a, b, value, nodes, found, fresh, counts):
    """Join two components; the one with the wider box lives on, the outside in any case."""
    wider = nodes[b].x1 - nodes[b].x0 > nodes[a].x1 - nodes[a].x0
    if b == OUTSIDE or (wider and a != OUTSIDE):
        a, b = b, a
    _change(b, value, nodes, found, fresh, counts)
    kept, gone = nodes[a], nodes[b]
    gone.parent = a
    if a != OUTSIDE:
        _change(a, value, nodes, found, fresh, counts)
        kept.x0, kept.y0 = min(kept.x0, gone.x0), min(kept.y0, gone.y0)
        kept.x1, kept.y1 = max(kept.x1, gone.x1), max(kept.y1, gone.y1)
        kept.start = min(kept.start, gone.start)
    return a


@inlined
def move_box(root, pixel, value, nodes, found, fresh, counts):
    """Stretch the box of a component to a pixel."""
    x, y = pixel.x, pixel.y
    node = nodes[root]
    inside = node.x0 <= x <= node.x1 and y <= node.y1
    # A start further left in the same row moves no side, but is where the border begins.
    if inside and pixel.place >= node.start:
        return
    _change(root, value, nodes, found, fresh, counts)
    node.x0, node.y0 = min(node.x0, x), min(node.y0, y)
    node.x1, node.y1 = max(node.x1, x), max(node.y1, y)
    node.start = min(node.start, pixel.place)


@compiled
def sweep(frame, masks, roles, links, near, reverse):
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
def _sorted_places(frame, masks, roles, reverse):
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
def _some_places(masks, roles):
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
def _no_labels(frame):
    """The node of each pixel: unknown but for the frame; flattened."""
    height, stride = frame.shape
    labels = np.zeros((height, stride), np.int32)
    labels[0], labels[height - 1] = OUTSIDE, OUTSIDE
    labels[:, 0], labels[:, stride - 1] = OUTSIDE, OUTSIDE
    return labels.ravel()


@compiled
def _distances(directions, stride):
    """Directions (clockwise from the upper left) as distances in the flattened frame; 0 is none."""
    around = (-stride - 1, -stride, -stride + 1, 1, stride + 1, stride, stride - 1, -1)
    distances = np.zeros(directions.shape, np.int32)
    for mask in range(directions.shape[0]):
        for k in range(directions.shape[1]):
            if directions[mask, k] >= 0:
                distances[mask, k] = around[directions[mask, k]]
    return distances


@inlined
def _begin_stretches(value, nodes, found, fresh, counts):
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
