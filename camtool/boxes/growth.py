"""Components that grow and join while the threshold of a sweep passes: union–find with boxes.

The functions are parts of `camtool.boxes.component_tree`, compiled into it. They share its arrays:
the flattened `masks` and `labels` of the pixels, the tables `near`, `around` and `ways` over masks
and directions, the `nodes`, the stretches `found`, the `fresh` nodes (those that changed at the
present value) and the `counts` of nodes, fresh nodes and stretches.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import compiled

__all__ = [
    "BOX",
    "FRESH",
    "NODES",
    "OUTSIDE",
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


@compiled
def _root(nodes: Any, i: int) -> Any:  # noqa: ANN401
    while nodes[i].parent != i:
        nodes[i].parent = nodes[nodes[i].parent].parent
        i = nodes[i].parent
    return i


@compiled
def node_of(
    place: int,
    masks: Any,  # noqa: ANN401
    near: Any,  # noqa: ANN401
    around: Any,  # noqa: ANN401
    ways: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    nodes: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """The node whose component a pixel belongs to; its peak becomes a node if it is none yet."""
    label = labels[place]
    # Most often the pixel continues a ridge, of which a neighbour is already known.
    k = 0
    while not label and k < 8:
        if near[masks[place]] >> k & 1:
            label = labels[place + around[k]]
        k += 1
    if label:
        labels[place] = label
        return _root(nodes, label)
    top = place
    while not labels[top]:
        way = ways[masks[top], 0]
        if not way:
            labels[top] = counts[NODES]
            counts[NODES] += 1
        top += way
    label = labels[top]
    while place != top:
        labels[place] = label
        place += ways[masks[place], 0]
    return _root(nodes, label)


@compiled
def meet(
    place: int,
    value: int,
    masks: Any,  # noqa: ANN401
    near: Any,  # noqa: ANN401
    around: Any,  # noqa: ANN401
    ways: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    nodes: Any,  # noqa: ANN401
    found: Any,  # noqa: ANN401
    fresh: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> None:
    """Join the components that meet at a pixel."""
    mask = masks[place]
    root = node_of(place + ways[mask, 0], masks, near, around, ways, labels, nodes, counts)
    k = 1
    while ways[mask, k]:
        side = place + ways[mask, k]
        other = node_of(side, masks, near, around, ways, labels, nodes, counts)
        if other != root:
            root = _join(root, other, value, nodes, found, fresh, counts)
        k += 1


@compiled
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


@compiled
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


@compiled
def move_box(
    root: int,
    place: int,
    value: int,
    stride: int,
    nodes: Any,  # noqa: ANN401
    found: Any,  # noqa: ANN401
    fresh: Any,  # noqa: ANN401
    counts: Any,  # noqa: ANN401
) -> None:
    """Stretch the box of a component to a pixel."""
    x, y = place % stride - 1, place // stride - 1
    node = nodes[root]
    inside = node.x0 <= x <= node.x1 and y <= node.y1
    # A start further left in the same row moves no side, but is where the border begins.
    if inside and place >= node.start:
        return
    _change(root, value, nodes, found, fresh, counts)
    node.x0, node.y0 = min(node.x0, x), min(node.y0, y)
    node.x1, node.y1 = max(node.x1, x), max(node.y1, y)
    node.start = min(node.start, place)
