"""Components that grow and join while the threshold of a sweep passes: union–find with boxes.

The functions are parts of `camtool.boxes.component_tree`, compiled into it. They share its arrays:
the flattened `masks` and `labels` of the pixels, the tables `close` and `ways` over masks (`near`
and `links` of `Neighbourhoods` as distances), the `nodes`, the stretches `found`, the `fresh` nodes
(those that changed at the present value) and the `counts` of nodes, fresh nodes and stretches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import compiled, inlined

__all__ = [
    "BOX",
    "FRESH",
    "NODES",
    "OUTSIDE",
    "PLACE",
    "STRETCHES",
    "meet",
    "move_box",
    "no_nodes",
    "node_of",
]

OUTSIDE = 1
"""The node of the frame around the map; 0 among the labels means not known yet."""

NODES, FRESH, STRETCHES = 0, 1, 2
"""Places among the counts."""

BOX = [("x0", np.int32), ("y0", np.int32), ("x1", np.int32), ("y1", np.int32)]
"""Fields of an inclusive box."""

PLACE = np.dtype([("place", np.int32), ("x", np.int32), ("y", np.int32)])
"""A pixel: its place in the flattened frame, and where it is in the map."""

_INTERVAL = 8

_NODE = np.dtype(
    [
        *BOX,
        ("start", np.int32),
        ("parent", np.int32),
        ("changed", np.int32),
        ("stretch", np.int32),
    ]
)
"""A component while it grows: `parent` makes the union–find forest, `changed` is the value of the
pixels at which it changed last, `stretch` the last one that it began, or -1."""


@compiled
def no_nodes(most: int) -> Any:  # noqa: ANN401
    """Room for `most` nodes, each a component of its own without any pixel."""
    nodes = np.empty(most, _NODE)
    for i in range(most):
        node = nodes[i]
        node.x0 = node.y0 = node.start = np.iinfo(np.int32).max
        node.x1 = node.y1 = node.stretch = -1
        node.parent, node.changed = i, 0
    return nodes


@inlined
def _root(nodes: Any, i: int) -> Any:  # noqa: ANN401
    while nodes[i].parent != i:
        nodes[i].parent = nodes[nodes[i].parent].parent
        i = nodes[i].parent
    return i


@inlined
def node_of(
    place: int,
    masks: Any,  # noqa: ANN401
    close: Any,  # noqa: ANN401
    ways: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    nodes: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
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
def _climb(place: int, masks: Any, ways: Any, labels: Any, counts: Any) -> None:  # noqa: ANN401
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
def meet(
    place: int,
    value: int,
    masks: Any,  # noqa: ANN401
    close: Any,  # noqa: ANN401
    ways: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    nodes: Any,  # noqa: ANN401
    found: Any,  # noqa: ANN401
    fresh: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> None:
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
def _change(root: int, value: int, nodes: Any, found: Any, fresh: Any, counts: Any) -> None:  # noqa: ANN401
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
def _join(a: int, b: int, value: int, nodes: Any, found: Any, fresh: Any, counts: Any) -> Any:  # noqa: ANN401
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
def move_box(
    root: int,
    pixel: Any,  # noqa: ANN401
    value: int,
    nodes: Any,  # noqa: ANN401
    found: Any,  # noqa: ANN401
    fresh: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> None:
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
