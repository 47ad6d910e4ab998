"""A map at image size as runs of equal level, for many thresholds at once.

The *level* of a pixel is how many of the thresholds its value exceeds: the mask of threshold `i` is
`level > i`. Between two neighbouring cell centres an image row of a bilinearly enlarged map is
monotone. Such a *piece* is a short list of runs of equal level, and what of it lies in a mask is
one run, at one of its ends. So it is whole pieces that touch, from some level downwards.

Every end of a run is decided by the same arithmetic as in `camtool.geometry.resize_map`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camtool.kernels.compiled import compiled, inlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Cells = tuple[NDArray[np.int64], NDArray[np.float64], int, int]
    """How the cells of a map lie under the pixels of one image axis: lower cell of each pixel,
    share of the upper one, first pixel that the cells cover, and one past the last."""

RUN = np.dtype([("piece", np.int32), ("y", np.int32), ("left", np.int32), ("right", np.int32)])
"""Pixels [left, right) of image row `y`, in a piece, all of one level."""

TOUCH = np.dtype([("piece", np.int32), ("other", np.int32), ("level", np.int32)])
"""Two pieces, and the highest level at which pixels of both touch (8-connected)."""


class Grid(NamedTuple):
    """A map laid on an image, for compiled functions.

    Attributes:
        values: the map, float64 of shape (h, w).
        below: lower cell of each image row.
        row_shares: share of the upper cell in each image row.
        rows: first image row that the map covers, and one past the last.
        shares: share of the right cell in each image column.
        firsts: first column of each piece, and one past the last piece's end.
        cells: left cell of each piece.
    """

    values: NDArray[np.float64]
    below: NDArray[np.int64]
    row_shares: NDArray[np.float64]
    rows: tuple[int, int]
    shares: NDArray[np.float64]
    firsts: NDArray[np.int64]
    cells: NDArray[np.int64]


def laid(values: NDArray[np.floating[Any]], rows: Cells, columns: Cells) -> Grid | None:
    """Lay a map on its image; None where it covers no pixel's centre."""
    if rows[2] >= rows[3] or columns[2] >= columns[3]:
        return None
    covered = columns[0][columns[2] : columns[3]]
    places = np.flatnonzero(np.diff(covered, prepend=-1))
    firsts = np.append(places, len(covered)) + columns[2]
    span = (rows[2], rows[3])
    doubles = values.astype(np.float64)
    return Grid(doubles, rows[0], rows[1], span, columns[1], firsts, covered[places])


def origins(columns: Cells, cells: NDArray[np.int64], width: int) -> tuple[NDArray[Any], float]:
    """Return where the share of the right cell would be 0, and how far it is from cell to cell.

    Args:
        columns: how the map's cells lie under the image's columns.
        cells: the cells that are asked for, shape (n,).
        width: number of cells in a row of the map.

    Returns:
        Columns as real numbers, shape (n,), and a number of columns. They are where the search
        for a column begins, no more: rounding does not matter, nor does what is returned where
        each cell has one column at most.
    """
    places = columns[0] + columns[1]
    # At the borders all pixels stay at the centre of the outermost cell.
    inside = np.flatnonzero((places > 0) & (places < width - 1))
    if len(inside) < 2:
        return cells.astype(np.float64), 1.0
    first, last = inside[0], inside[-1]
    step = float((last - first) / (places[last] - places[first]))
    return first + (cells - places[first]) * step, step


def covered_pixels(
    values: NDArray[np.floating[Any]], rows: Cells, columns: Cells
) -> NDArray[np.float64]:
    """Return the part of the image that a map covers, made pixel by pixel: for plain twins."""
    lines = _interpolated(values.astype(np.float64), rows)
    return np.ascontiguousarray(_interpolated(lines.T, columns).T)


def _interpolated(values: NDArray[np.float64], along: Cells) -> NDArray[np.float64]:
    """Interpolate along the first axis."""
    cell, share, start, stop = along
    low = values[cell[start:stop]]
    high = values[np.minimum(cell[start:stop] + 1, len(values) - 1)]
    result: NDArray[np.float64] = low + share[start:stop, None] * (high - low)
    return result


# Arrays are handed to compiled functions one by one: a class of this package in a signature would
# make compiled code of another version, kept on disk, unreadable.


@inlined
def interpolate(values, below, shares, y, out):
    """Interpolate the map at image row `y`, at its own columns."""
    low = below[y]
    high = min(low + 1, values.shape[0] - 1)
    for k in range(values.shape[1]):
        out[k] = values[low, k] + shares[y] * (values[high, k] - values[low, k])


@inlined
def value_at(row, cell, share):
    """The map's value where the right cell has this share."""
    return row[cell] + share * (row[min(cell + 1, len(row) - 1)] - row[cell])


@inlined
def level_of(value, thresholds, near):
    """How many thresholds a value exceeds, looked for from a guess on."""
    while near < len(thresholds) and value > thresholds[near]:
        near += 1
    while near > 0 and value <= thresholds[near - 1]:
        near -= 1
    return near


@compiled
def extremes(values, below, row_shares, rows, shares, firsts, cells):
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
def end_levels(values, below, row_shares, rows, shares, firsts, cells, thresholds):
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
def cut(values, below, row_shares, rows, shares, firsts, cells, origins, step, thresholds, levels):
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
def _add(runs, filled, level, piece, y, left, right):
    """Add a run behind the others of its level, unless it is empty."""
    if level and right > left:
        run = runs[filled[level]]
        run.piece, run.y, run.left, run.right = piece, y, left, right
        filled[level] += 1


@compiled
def _room(levels, number):
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


@inlined
def root_of(parents, i):
    """Return the root of a set, and halve the way to it for the next time."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@compiled
def touching(values, below, row_shares, rows, shares, firsts, cells, thresholds, levels, ends):
    """Find all pairs of pieces that touch at a level above 0.

    Two pixels in pieces that touch anyway, by a way of no lower level, are left out.

    Args:
        values: see `Grid`, for this and the following.
        below: see `Grid`.
        row_shares: see `Grid`.
        rows: see `Grid`.
        shares: see `Grid`.
        firsts: see `Grid`.
        cells: see `Grid`.
        thresholds: ascending, shape (n,).
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
def _note(found, count, piece, other, level):
    """Note that two pieces touch, if they do; returns how many pairs there are."""
    if not level:
        return count
    pair = found[count]
    pair.piece, pair.other, pair.level = piece, other, level
    return count + 1


@inlined
def _corners(found, count, piece, up, levels, y, i):
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
def _opposite(here, above):
    """Return whether one piece rises and the other falls; else their best pixels are at one end."""
    return (here[1] > here[0] and above[1] < above[0]) or (
        here[1] < here[0] and above[1] > above[0]
    )


@inlined
def _meeting(row, above, cell, shares, first, last, thresholds, ends):
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
