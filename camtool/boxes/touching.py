"""At which level pieces touch; see `camtool.boxes.level_runs` for pieces and levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from camtool.boxes.compiled import compiled, inlined
from camtool.boxes.level_runs import interpolate, value_at

__all__ = ["TOUCH", "touching"]

TOUCH = np.dtype([("piece", np.int32), ("other", np.int32), ("level", np.int32)])
"""Two pieces, and the highest level at which pixels of both touch (8-connected)."""


@compiled
def touching(
    values: Any,  # noqa: ANN401
    below: Any,  # noqa: ANN401
    row_shares: Any,  # noqa: ANN401
    rows: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    firsts: Any,  # noqa: ANN401
    cells: Any,  # noqa: ANN401
    thresholds: Any,  # noqa: ANN401
    levels: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Find all pairs of pieces that touch at a level above 0.

    Two pixels in pieces that touch anyway, by a way of no lower level, are left out.

    Args:
        values: the map, and the following as in `camtool.boxes.level_runs`.
        below: see `values`.
        row_shares: see `values`.
        rows: see `values`.
        shares: see `values`.
        firsts: see `values`.
        cells: see `values`.
        thresholds: see `values`.
        levels: levels at both ends of each piece, shape (rows, pieces, 2).
        ends: values there.

    Returns:
        Array of `TOUCH`.
    """
    row, above = np.empty(values.shape[1]), np.empty(values.shape[1])
    # One in the row, one above, two over corners.
    found = np.empty(4 * levels.shape[0] * len(cells), TOUCH)
    count = 0
    for y in range(len(levels)):
        row, above = above, row
        interpolate(values, below, row_shares, rows[0] + y, row)
        for i in range(len(cells)):
            piece, up = y * len(cells) + i, (y - 1) * len(cells) + i
            if i:
                level = min(levels[y, i - 1, 1], levels[y, i, 0])
                count = _note(found, count, piece, piece - 1, level)
            if y and _opposite(ends[y, i], ends[y - 1, i]):
                level = _meeting(
                    row, above, cells[i], shares, firsts[i], firsts[i + 1], thresholds, ends[y, i]
                )
                count = _note(found, count, piece, up, level)
            elif y:
                level = max(
                    min(levels[y, i, 0], levels[y - 1, i, 0]),
                    min(levels[y, i, 1], levels[y - 1, i, 1]),
                )
                count = _note(found, count, piece, up, level)
            if y and i:
                count = _corners(found, count, piece, up, levels, y, i)
    return found[:count]


@inlined
def _note(found: Any, count: int, piece: int, other: int, level: int) -> Any:  # noqa: ANN401
    """Note that two pieces touch, if they do; returns how many pairs there are."""
    if not level:
        return count
    pair = found[count]
    pair.piece, pair.other, pair.level = piece, other, level
    return count + 1


@inlined
def _corners(found: Any, count: int, piece: int, up: int, levels: Any, y: int, i: int) -> Any:  # noqa: ANN401
    """Note which pieces touch over the corner where four of them meet, and in no better way."""
    left, left_up = levels[y, i - 1, 1], levels[y - 1, i - 1, 1]
    here, here_up = levels[y, i, 0], levels[y - 1, i, 0]
    corner = min(here, left_up)
    if max(left, here_up) < corner:
        count = _note(found, count, piece, up - 1, corner)
    corner = min(left, here_up)
    if max(here, left_up) < corner:
        count = _note(found, count, piece - 1, up, corner)
    return count


@inlined
def _opposite(here: Any, above: Any) -> Any:  # noqa: ANN401
    """Return whether one piece rises and the other falls; else their best pixels are at one end."""
    return (here[1] > here[0] and above[1] < above[0]) or (
        here[1] < here[0] and above[1] > above[0]
    )


@inlined
def _meeting(
    row: Any,  # noqa: ANN401
    above: Any,  # noqa: ANN401
    cell: int,
    shares: Any,  # noqa: ANN401
    first: int,
    last: int,
    thresholds: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """The highest level at which a rising and a falling piece of two rows touch.

    Both have at least two pixels. The best pair lies over a corner, the pixel of the falling piece
    left of the other, where one stops to be the lower of the two and the other begins to be.
    """
    rising, falling = (row, above) if ends[1] > ends[0] else (above, row)
    low, high = first + 1, last
    while low < high:
        middle = (low + high) // 2
        if value_at(rising, cell, shares[middle]) < value_at(falling, cell, shares[middle - 1]):
            low = middle + 1
        else:
            high = middle
    best = -np.inf
    if low < last:
        best = value_at(falling, cell, shares[low - 1])
    if low > first + 1:
        best = max(best, value_at(rising, cell, shares[low - 1]))
    return np.searchsorted(thresholds, best)
