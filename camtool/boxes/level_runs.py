"""A map at image size as runs of equal level, for many thresholds at once.

The *level* of a pixel is how many of the thresholds its value exceeds: the mask of threshold `i` is
`level > i`. Between two neighbouring cell centres an image row of a bilinearly enlarged map is
monotone. Such a *piece* is a short list of runs of equal level, and what of it lies in a mask is
one run, at one of its ends. So it is whole pieces that touch, from some level downwards.

Every end of a run is decided by the same arithmetic as in `camtool.geometry.resize_map`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import compiled, inlined

__all__ = ["RUN", "cut", "end_levels", "extremes", "interpolate", "value_at"]

RUN = np.dtype([("piece", np.int32), ("y", np.int32), ("left", np.int32), ("right", np.int32)])
"""Pixels [left, right) of image row `y`, in a piece, all of one level."""

# Arrays are handed to compiled functions one by one: a class of this package in a signature would
# make compiled code of another version, kept on disk, unreadable.


@inlined
def interpolate(values: Any, below: Any, shares: Any, y: int, out: Any) -> None:  # noqa: ANN401
    """Interpolate the map at image row `y`, at its own columns."""
    low = below[y]
    high = min(low + 1, values.shape[0] - 1)
    for k in range(values.shape[1]):
        out[k] = values[low, k] + shares[y] * (values[high, k] - values[low, k])


@inlined
def value_at(row: Any, cell: int, share: float) -> Any:  # noqa: ANN401
    """The map's value where the right cell has this share."""
    return row[cell] + share * (row[min(cell + 1, len(row) - 1)] - row[cell])


@inlined
def level_of(value: float, thresholds: Any, near: int) -> Any:  # noqa: ANN401
    """How many thresholds a value exceeds, looked for from a guess on."""
    while near < len(thresholds) and value > thresholds[near]:
        near += 1
    while near > 0 and value <= thresholds[near - 1]:
        near -= 1
    return near


@compiled
def extremes(
    values: Any,  # noqa: ANN401
    below: Any,  # noqa: ANN401
    row_shares: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    firsts: Any,  # noqa: ANN401
    cells: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Minimum and maximum of the map at image size: they lie at ends of pieces."""
    row = np.empty(values.shape[1])
    low, high = np.inf, -np.inf
    for y in range(rows[0], rows[1]):
        interpolate(values, below, row_shares, y, row)
        for i in range(len(cells)):
            a = value_at(row, cells[i], shares[firsts[i]])
            b = value_at(row, cells[i], shares[firsts[i + 1] - 1])
            low, high = min(low, a, b), max(high, a, b)
    return low, high


@compiled
def end_levels(
    values: Any,  # noqa: ANN401
    below: Any,  # noqa: ANN401
    row_shares: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    firsts: Any,  # noqa: ANN401
    cells: Any,  # noqa: ANN401
    thresholds: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return levels, int32, and values at both ends of each piece, of shape (rows, pieces, 2)."""
    row = np.empty(values.shape[1])
    levels = np.empty((rows[1] - rows[0], len(cells), 2), np.int32)
    ends = np.empty(levels.shape)
    level = 0
    for y in range(rows[1] - rows[0]):
        interpolate(values, below, row_shares, rows[0] + y, row)
        # From piece to piece the level changes little, and from row to row.
        if y:
            level = levels[y - 1, 0, 0]
        for i in range(len(cells)):
            for k in range(2):
                ends[y, i, k] = value_at(row, cells[i], shares[firsts[i + k] - k])
                level = level_of(ends[y, i, k], thresholds, level)
                levels[y, i, k] = level
    return levels, ends


@compiled
def cut(
    values: Any,  # noqa: ANN401
    below: Any,  # noqa: ANN401
    row_shares: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    firsts: Any,  # noqa: ANN401
    cells: Any,  # noqa: ANN401
    origins: Any,  # noqa: ANN401
    step: float,
    thresholds: Any,  # noqa: ANN401
    levels: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Cut every piece into runs.

    Returns:
        Array of `RUN`, in order of their level, with gaps; and for each level 0 to n where its runs
        begin and where they end. Level 0 has none.
    """
    begins = _room(levels, len(thresholds))
    runs, filled = np.empty(begins[-1], RUN), begins.copy()
    row = np.empty(values.shape[1])
    for y in range(len(levels)):
        interpolate(values, below, row_shares, rows[0] + y, row)
        for i in range(len(cells)):
            level, left = levels[y, i, 0], firsts[i]
            end, last = levels[y, i, 1], firsts[i + 1]
            piece, rises = y * len(cells) + i, end > level
            base = row[cells[i]]
            slope = row[min(cells[i] + 1, len(row) - 1)] - base
            scale = step / slope if level != end else 0.0
            while level != end:
                # The threshold between this level and the next one on the way.
                threshold = thresholds[level if rises else level - 1]
                column = int(origins[i] + (threshold - base) * scale) + 1
                column = min(max(column, left), last - 1)
                while column > left and (base + shares[column - 1] * slope > threshold) == rises:
                    column -= 1
                while (base + shares[column] * slope > threshold) != rises:
                    column += 1
                _add(runs, filled, level, piece, rows[0] + y, left, column)
                left = column
                level += 1 if rises else -1
            _add(runs, filled, level, piece, rows[0] + y, left, last)
    return runs, begins, filled


@inlined
def _add(
    runs: Any,  # noqa: ANN401
    filled: Any,  # noqa: ANN401
    level: int,
    piece: int,
    y: int,
    left: int,
    right: int,
) -> None:
    """Add a run behind the others of its level, unless it is empty."""
    if level and right > left:
        run = runs[filled[level]]
        run.piece, run.y, run.left, run.right = piece, y, left, right
        filled[level] += 1


@compiled
def _room(levels: Any, number: int) -> Any:  # noqa: ANN401
    """Where the runs of each level begin, when every piece has one at each level on its way."""
    begins = np.zeros(number + 2, np.int64)
    for y in range(levels.shape[0]):
        for i in range(levels.shape[1]):
            low, high = levels[y, i, 0], levels[y, i, 1]
            # A piece of level 0 alone takes back what it adds.
            begins[max(min(low, high), 1)] += 1
            begins[max(low, high) + 1] -= 1
    pieces = total = 0
    for level in range(number + 2):
        pieces += begins[level]
        begins[level] = total
        total += pieces
    return begins
