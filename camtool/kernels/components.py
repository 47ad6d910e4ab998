"""Connected components of a thresholded map at image size, without making the map that large.

Between two neighbouring cell centres an image row of a bilinearly enlarged map is monotone, so the
pixels above a threshold are one run there, whose end a binary search finds; and the row's extremes
lie at the ends of these pieces. A map of 7×7 cells on a 12-megapixel photo takes some ten thousand
steps instead of twelve million, and every pixel is decided by the same arithmetic as in
`camtool.geometry.resize_map`: the components are those of the enlarged map exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from camtool.kernels.compiled import compiled
from camtool.kernels.runs import extremes, interpolate, laid, root_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.kernels.runs import Cells


class Components(NamedTuple):
    """The 8-connected components of the pixels above a threshold, in order of their first pixel.

    Attributes:
        boxes: x0, y0, x1, y1 of each, half-open, int64 of shape (n, 4).
        areas: number of pixels of each, int64 of shape (n,).
        peaks: the map's maximum in each, float64 of shape (n,).
        low: minimum of the map at image size.
        high: maximum of the map at image size.

    Example:
        See `components_above`:

        >>> none = np.zeros(0)
        >>> len(Components(none.reshape(0, 4), none, none, 0.0, 1.0).areas)
        0
    """

    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    peaks: NDArray[np.float64]
    low: float
    high: float


def components_above(
    values: NDArray[np.floating[Any]],
    rows: Cells,
    columns: Cells,
    share: float,
    *,
    of_range: bool = False,
) -> Components:
    """Find the 8-connected components of `map > threshold` at image size.

    Example:
        >>> cells = np.array([[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]], np.float32)
        >>> one_to_one = [(np.arange(n), np.zeros(n), 0, n) for n in cells.shape]
        >>> found = components_above(cells, *one_to_one, share=0.5)
        >>> found.boxes.tolist(), found.areas.tolist()
        ([[1, 0, 3, 1], [4, 1, 5, 2]], [2, 1])

    Args:
        values: the map, shape (h, w); finite.
        rows: how its cells lie under the image's rows: lower cell of each row, share of the upper
            cell, first row that the map covers, and one past the last.
        columns: the same of the image's columns.
        share: the threshold as a share of the map's maximum at image size, or, with `of_range`,
            of the way from its minimum to its maximum.
        of_range: see `share`.

    Returns:
        The components; none where the map has no positive maximum (with `of_range`: is flat), or
        covers no pixel's centre. Pixels that the map does not cover belong to none.
    """
    grid = laid(values, rows, columns)
    if grid is None:
        none = np.zeros(0)
        return Components(np.zeros((0, 4), np.int64), none.astype(np.int64), none, 0.0, 0.0)
    return Components(*_components(*grid, share, of_range))


@compiled
def _crossing(start, slope, fraction, first, last, t):
    """First column of [first, last) on the other side of threshold `t` than column `first`."""
    above = start + fraction[first] * slope > t
    while first < last:
        middle = (first + last) // 2
        if (start + fraction[middle] * slope > t) == above:
            first = middle + 1
        else:
            last = middle
    return first


@compiled
def _join_rows(parents, starts, stops, above, here, end):
    """Join the runs [here, end) of one row with the touching ones [above, here) of the last."""
    i, j = above, here
    while i < here and j < end:
        # 8-connected: runs touch at a corner too, so one pixel of gap is none.
        if starts[j] <= stops[i] and starts[i] <= stops[j]:
            a, b = root_of(parents, i), root_of(parents, j)
            parents[max(a, b)] = min(a, b)
        if stops[i] < stops[j]:
            i += 1
        else:
            j += 1


@compiled
def _components(values, below, row_shares, rows, shares, firsts, cells, share, of_range):
    low, high = extremes(values, below, row_shares, rows, shares, firsts, cells)
    base = low if of_range else 0.0
    threshold = base + share * (high - base)
    most = (rows[1] - rows[0]) * len(cells) if high > base else 0
    starts, stops = np.empty(most, np.int64), np.empty(most, np.int64)
    lines, parents = np.empty(most, np.int64), np.empty(most, np.int64)
    tops = np.empty(most)
    row = np.empty(values.shape[1])
    runs = above = 0
    for y in range(rows[0], rows[1] if most else rows[0]):
        interpolate(values, below, row_shares, y, row)
        here = runs
        for i in range(len(cells)):
            first, last = firsts[i], firsts[i + 1]
            cell = cells[i]
            start = row[cell]
            slope = row[min(cell + 1, len(row) - 1)] - start
            crossing = _crossing(start, slope, shares, first, last, threshold)
            peak = start + shares[first] * slope
            if peak > threshold:
                last = crossing
            else:
                first = crossing
            if first >= last:
                continue
            peak = max(peak, start + shares[last - 1] * slope)
            if runs > here and stops[runs - 1] == first:
                stops[runs - 1] = last
                tops[runs - 1] = max(tops[runs - 1], peak)
            else:
                starts[runs], stops[runs], lines[runs] = first, last, y
                tops[runs], parents[runs] = peak, runs
                runs += 1
        _join_rows(parents, starts, stops, above, here, runs)
        above = here
    return _collect(parents[:runs], starts, stops, lines, tops, low, high)


@compiled
def _collect(parents, starts, stops, lines, tops, low, high):
    """Sum up the runs of each component; roots come first in raster order, so does the result."""
    places = np.empty(len(parents), np.int64)
    count = 0
    boxes = np.empty((len(parents), 4), np.int64)
    areas, peaks = np.zeros(len(parents), np.int64), np.empty(len(parents))
    for i in range(len(parents)):
        root = root_of(parents, i)
        if root == i:
            places[i] = count
            boxes[count] = np.array((starts[i], lines[i], stops[i], lines[i] + 1))
            peaks[count] = tops[i]
            count += 1
        n = places[root]
        boxes[n, 0] = min(boxes[n, 0], starts[i])
        boxes[n, 2] = max(boxes[n, 2], stops[i])
        boxes[n, 3] = lines[i] + 1
        areas[n] += stops[i] - starts[i]
        peaks[n] = max(peaks[n], tops[i])
    return boxes[:count], areas[:count], peaks[:count], low, high
