"""Counting by level: at which levels of a map a box overlaps enough, and how many pixels lie there.

Both kernels have a plain twin that takes about a millisecond, so many calls are plain before they
are compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.kernels.compiled import compiled, inlined, with_plain

if TYPE_CHECKING:
    from numpy.typing import NDArray


@compiled
def _hits(boxes, levels, others, ious):
    hits = np.zeros((len(ious), 256), np.bool_)
    lowest = ious.min()
    for i in range(len(boxes)):
        best = _best(boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], others)
        if best < lowest:
            continue
        for k in range(len(ious)):
            if best >= ious[k]:
                hits[k, levels[i, 0] : levels[i, 1] + 1] = True
    return hits


@inlined
def _best(x0, y0, x1, y1, others):
    """The best intersection over union of an inclusive box with any other."""
    best = 0.0
    for i in range(len(others)):
        a, b, c, d = others[i, 0], others[i, 1], others[i, 2], others[i, 3]
        inter = max(0, min(x1, c) - max(x0, a) + 1) * max(0, min(y1, d) - max(y0, b) + 1)
        union = (x1 - x0 + 1) * (y1 - y0 + 1) + (c - a + 1) * (d - b + 1) - inter
        best = max(best, inter / union)
    return best


def _levels_of_each(
    boxes: NDArray[np.int32],
    levels: NDArray[np.int32],
    others: NDArray[np.int64],
    ious: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Do the same as `levels_with_overlap` by numpy."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    inter = (high - low + 1).clip(0).prod(2)
    areas, of_others = ((b[:, 2:] - b[:, :2] + 1).prod(1) for b in (boxes, others))
    best = (inter / (areas[:, None] + of_others - inter)).max(1, initial=0.0)
    right = best[:, None] >= ious
    hits = np.zeros((len(ious), 256), np.bool_)
    for (first, last), of_box in zip(levels.tolist(), right, strict=True):
        hits[:, first : last + 1] |= of_box[:, None]
    return hits


@with_plain(_levels_of_each, last=_hits, calls=256)
def levels_with_overlap(
    boxes: NDArray[np.int32],
    levels: NDArray[np.int32],
    others: NDArray[np.int64],
    ious: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Tell at which of 256 levels a box overlaps enough with any of others.

    Example:
        >>> boxes = np.array([[0, 0, 9, 9], [0, 0, 4, 9]], np.int32)
        >>> levels = np.array([[0, 99], [100, 199]], np.int32)
        >>> others = np.array([[0, 0, 9, 9]])
        >>> levels_with_overlap(boxes, levels, others, np.array([0.5, 0.7])).sum(1).tolist()
        [200, 100]

    Args:
        boxes: inclusive corners x0, y0, x1, y1 in pixels, int32 of shape (n, 4).
        levels: first and last level at which each box is there, int32 of shape (n, 2).
        others: inclusive corners, int64 of shape (m, 4).
        ious: intersections over union, counted in pixels, from which on the overlap is enough;
            positive, shape (k,).

    Returns:
        bool of shape (k, 256).
    """
    hits: NDArray[np.bool_] = _hits(boxes, levels, others, ious)
    return hits


@compiled
def _count(values, groups, edges, steps, counts):
    """Count values in [edge, next edge), the two groups apart."""
    last = counts.shape[1] - 1
    for i in range(len(values)):
        if groups[i] > 1:
            continue
        place = min(int(values[i] * steps), last)
        # The product may round over an edge, which is the double nearest to its fraction.
        while place > 0 and values[i] < edges[place]:
            place -= 1
        while place < last and values[i] >= edges[place + 1]:
            place += 1
        counts[groups[i], place] += 1


def _histogram_by_search(
    values: NDArray[np.floating[Any]],
    groups: NDArray[np.uint8],
    edges: NDArray[np.float64],
    steps: int,  # noqa: ARG001 (the kernel's argument)
) -> NDArray[np.int64]:
    """Do the same as `grouped_histogram` by numpy."""
    places = np.searchsorted(edges, values.astype(np.float64), side="right") - 1
    bins = len(edges) - 1
    return np.stack([np.bincount(places[groups == group], minlength=bins) for group in (0, 1)])


@with_plain(_histogram_by_search, last=_count, calls=256)
def grouped_histogram(
    values: NDArray[np.floating[Any]],
    groups: NDArray[np.uint8],
    edges: NDArray[np.float64],
    steps: int,
) -> NDArray[np.int64]:
    """Count the values of two groups by the bins that they lie in.

    Example:
        >>> values, groups = np.array([0.1, 0.5, 0.9, 0.9]), np.array([0, 1, 1, 255], np.uint8)
        >>> grouped_histogram(values, groups, np.array([0, 0.5, 1]), steps=2).tolist()
        [[1, 0], [0, 2]]

    Args:
        values: within the edges, any shape.
        groups: 0 or 1; values of any other group do not count; uint8 of the same shape.
        edges: of the bins, ascending from 0, float64 of shape (n + 1,).
        steps: how many of the bins lie in [0, 1): edge `k` is about `k / steps`.

    Returns:
        int64 of shape (2, n).
    """
    counts = np.zeros((2, len(edges) - 1), np.int64)
    _count(np.ravel(values).astype(np.float64), np.ravel(groups), edges, steps, counts)
    return counts
