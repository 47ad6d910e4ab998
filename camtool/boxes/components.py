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

from camtool.boxes.compiled import compiled
from camtool.boxes.union_find import root_of
from camtool.geometry import Axis, axis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["Components", "components"]


class Components(NamedTuple):
    """The 8-connected components of the pixels above a threshold, in order of their first pixel.

    Attributes:
        boxes: x0, y0, x1, y1 of each, half-open, int64 of shape (n, 4).
        areas: number of pixels of each, int64 of shape (n,).
        peaks: the map's maximum in each, float64 of shape (n,).
        low: minimum of the map at image size.
        high: maximum of the map at image size.
    """

    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    peaks: NDArray[np.float64]
    low: float
    high: float


def components(score_map: ScoreMap, share: float, *, of_range: bool = False) -> Components:
    """Find the components of `map > threshold` at image size.

    Args:
        score_map: the map; finite.
        share: the threshold as a share of the map's maximum at image size, or, with `of_range`,
            of the way from its minimum to its maximum.
        of_range: see `share`.

    Returns:
        The components; none where the map has no positive maximum (with `of_range`: is flat), or
        covers no pixel's centre. Pixels that the map does not cover belong to none.
    """
    (height, width), (x0, y0, x1, y1) = score_map.values.shape, score_map.region
    rows = axis(height, y0, y1, score_map.size[1])
    columns = axis(width, x0, x1, score_map.size[0])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        none = np.zeros(0)
        return Components(np.zeros((0, 4), np.int64), none.astype(np.int64), none, 0.0, 0.0)
    values = score_map.values.astype(np.float64)
    return Components(*_components(values, rows, columns, share, of_range))


@compiled
def _pieces(columns: Axis) -> Any:  # noqa: ANN401
    """First columns of the stretches of pixels that lie over the same cells, and the last's end."""
    firsts = [columns.start]
    for column in range(columns.start + 1, columns.stop):
        if columns.cell[column] != columns.cell[column - 1]:
            firsts.append(column)
    firsts.append(columns.stop)
    return np.array(firsts)


@compiled
def _row(values: Any, rows: Axis, y: int, out: Any) -> None:  # noqa: ANN401
    """The map interpolated at one image row, at its own columns."""
    low = rows.cell[y]
    high = min(low + 1, values.shape[0] - 1)
    for k in range(values.shape[1]):
        out[k] = values[low, k] + rows.fraction[y] * (values[high, k] - values[low, k])


@compiled
def _extremes(values: Any, rows: Axis, columns: Axis, firsts: Any) -> tuple[float, float]:  # noqa: ANN401
    """Minimum and maximum of the map at image size."""
    row = np.empty(values.shape[1])
    low, high = np.inf, -np.inf
    for y in range(rows.start, rows.stop):
        _row(values, rows, y, row)
        for i in range(len(firsts) - 1):
            cell = columns.cell[firsts[i]]
            start = row[cell]
            slope = row[min(cell + 1, len(row) - 1)] - start
            a = start + columns.fraction[firsts[i]] * slope
            b = start + columns.fraction[firsts[i + 1] - 1] * slope
            low, high = min(low, a, b), max(high, a, b)
    return low, high


@compiled
def _crossing(start: float, slope: float, fraction: Any, first: int, last: int, t: float) -> int:  # noqa: ANN401
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
def _join_rows(parents: Any, starts: Any, stops: Any, above: int, here: int, end: int) -> None:  # noqa: ANN401
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
def _components(values: Any, rows: Axis, columns: Axis, share: float, of_range: bool) -> Any:  # noqa: ANN401
    firsts = _pieces(columns)
    low, high = _extremes(values, rows, columns, firsts)
    base = low if of_range else 0.0
    threshold = base + share * (high - base)
    most = (rows.stop - rows.start) * (len(firsts) - 1) if high > base else 0
    starts, stops = np.empty(most, np.int64), np.empty(most, np.int64)
    lines, parents = np.empty(most, np.int64), np.empty(most, np.int64)
    tops = np.empty(most)
    row = np.empty(values.shape[1])
    runs = above = 0
    for y in range(rows.start, rows.stop if most else rows.start):
        _row(values, rows, y, row)
        here = runs
        for i in range(len(firsts) - 1):
            first, last = firsts[i], firsts[i + 1]
            cell = columns.cell[first]
            start = row[cell]
            slope = row[min(cell + 1, len(row) - 1)] - start
            crossing = _crossing(start, slope, columns.fraction, first, last, threshold)
            peak = start + columns.fraction[first] * slope
            if peak > threshold:
                last = crossing
            else:
                first = crossing
            if first >= last:
                continue
            peak = max(peak, start + columns.fraction[last - 1] * slope)
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
def _collect(
    parents: Any,  # noqa: ANN401
    starts: Any,  # noqa: ANN401
    stops: Any,  # noqa: ANN401
    lines: Any,  # noqa: ANN401
    tops: Any,  # noqa: ANN401
    low: float,
    high: float,
) -> Any:  # noqa: ANN401
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
