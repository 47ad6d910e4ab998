"""The box of the paper's rule at many thresholds at once, from the low-resolution map.

The threshold sinks from the highest to the lowest. At each one some pieces of image rows begin to
touch, and some grow (`camtool.boxes.level_runs`): a union–find over some thousand pieces knows the
components of all thresholds, whatever the size of the image. Components that did not change cannot
overtake the best one, so only those that changed are compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from camtool.boxes.compiled import compiled, inlined
from camtool.boxes.level_runs import cut, end_levels, extremes
from camtool.boxes.touching import touching
from camtool.boxes.union_find import root_of
from camtool.geometry import axis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["BINS", "boxes_at", "level_histogram", "level_histogram_plain"]

BINS: Final = 256
"""Levels of the map that Otsu's rule and percentiles are taken from."""

_NONE: Final = np.iinfo(np.int64).max


def boxes_at(
    score_map: ScoreMap,
    shares: NDArray[np.float64],
    *,
    of_range: bool = False,
    smallest: float | None = None,
) -> NDArray[np.int64]:
    """Return the box of a map's largest component at each threshold.

    Equal to what `camtool.boxes.components` finds at each of the thresholds by itself.

    Args:
        score_map: the map; any values.
        shares: thresholds as shares of the map's maximum at image size, or, with `of_range`, of
            the way from its minimum to its maximum; in [0, 1), ascending, shape (n,).
        of_range: see `shares`.
        smallest: if given, the box is that of the strongest component (highest maximum, among
            equals the first in raster order) of so many pixels or more, instead of the largest.

    Returns:
        x0, y0, x1, y1 at each threshold, half-open, int64 of shape (n, 4); zeros where there is no
        box.

    Raises:
        ValueError: the shares do not ascend.
    """
    if (np.diff(shares) < 0).any():
        raise ValueError("thresholds must ascend")
    laid = _laid(score_map)
    if laid is None:
        return np.zeros((len(shares), 4), np.int64)
    grid, origins, step = laid
    low, high = extremes(*grid)
    base = low if of_range else 0.0
    if high <= base:
        return np.zeros((len(shares), 4), np.int64)
    thresholds = base + shares * (high - base)
    levels, ends = end_levels(*grid, thresholds)
    runs = cut(*grid, origins, step, thresholds, levels)
    touches = touching(*grid, thresholds, levels, ends)
    peaks = (ends.max(2).ravel() - base) / (high - base)
    result: NDArray[np.int64] = _sweep(
        *runs,
        touches,
        peaks,
        score_map.size[0],
        -1.0 if smallest is None else float(smallest),
    )
    return result


def level_histogram(score_map: ScoreMap, *, of_range: bool = False) -> NDArray[np.int64]:
    """Return how many of the map's pixels at image size lie at each of `BINS` levels.

    Level `k` holds the values above the share `k / 256` of the maximum (with `of_range`: of the
    range from minimum to maximum) and up to the share `(k + 1) / 256`; level 0 all lower ones too.

    Returns:
        int64 of shape (256,); zeros where the map has no positive maximum (with `of_range`: is
        flat), is not finite, or covers no pixel's centre.
    """
    counts = np.zeros(BINS, np.int64)
    laid = _laid(score_map)
    if laid is None:
        return counts
    grid, origins, step = laid
    low, high = extremes(*grid)
    base = low if of_range else 0.0
    if high <= base:
        return counts
    thresholds = base + np.arange(1, BINS) / BINS * (high - base)
    levels, _ = end_levels(*grid, thresholds)
    _count(*cut(*grid, origins, step, thresholds, levels), counts)
    (top, bottom), firsts = grid[3], grid[5]
    counts[0] = (bottom - top) * (firsts[-1] - firsts[0]) - counts.sum()
    return counts


def level_histogram_plain(score_map: ScoreMap, *, of_range: bool = False) -> NDArray[np.int64]:
    """Do the same as `level_histogram` without compiled code, on the map at image size."""
    pixels = score_map.at_image_size(outside=np.nan)
    pixels = pixels[~np.isnan(pixels)]
    base = pixels.min(initial=np.inf) if of_range else 0.0
    if not np.isfinite(score_map.values).all() or pixels.max(initial=-np.inf) <= base:
        return np.zeros(BINS, np.int64)
    thresholds = base + np.arange(1, BINS) / BINS * (pixels.max() - base)
    return np.bincount(np.searchsorted(thresholds, pixels), minlength=BINS)


def _laid(score_map: ScoreMap) -> tuple[tuple[Any, ...], NDArray[np.float64], float] | None:
    """Lay a map on its image, for compiled functions; None where nothing of it can be used.

    Returns:
        The grid: values (h, w); lower cell of each image row and the share of the upper one; first
        covered row and one past the last; the share of the right cell of each column; the first
        column of each piece and one past the last; the left cell of each piece. Then the column, as
        a real number, where each piece's share is 0, and the columns from cell to cell.
    """
    if not np.isfinite(score_map.values).all():
        return None
    (height, width), (x0, y0, x1, y1) = score_map.values.shape, score_map.region
    rows = axis(height, y0, y1, score_map.size[1])
    columns = axis(width, x0, x1, score_map.size[0])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    covered = columns.cell[columns.start : columns.stop]
    places = np.flatnonzero(np.diff(covered, prepend=-1))
    firsts = np.append(places, len(covered)) + columns.start
    cells = covered[places]
    step = (x1 - x0) / width
    values = score_map.values.astype(np.float64)
    span = (rows.start, rows.stop)
    grid = (values, rows.cell, rows.fraction, span, columns.fraction, firsts, cells)
    return grid, (cells + 0.5) * step + (x0 - 0.5), step


@compiled
def _count(runs: Any, begins: Any, ends: Any, counts: Any) -> None:  # noqa: ANN401
    for level in range(len(counts)):
        for i in range(begins[level], ends[level]):
            counts[level] += runs[i].right - runs[i].left


@compiled
def _by_level(touches: Any, number: int) -> Any:  # noqa: ANN401
    """Places of touches in order of their level, and where each level begins."""
    begins = np.zeros(number + 2, np.int64)
    for i in range(len(touches)):
        begins[touches[i].level + 1] += 1
    for level in range(number + 1):
        begins[level + 1] += begins[level]
    order, filled = np.empty(len(touches), np.int32), begins.copy()
    for i in range(len(touches)):
        order[filled[touches[i].level]] = i
        filled[touches[i].level] += 1
    return order, begins


@compiled
def _sweep(
    runs: Any,  # noqa: ANN401
    begins: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
    touches: Any,  # noqa: ANN401
    peaks: Any,  # noqa: ANN401
    width: int,
    smallest: float,
) -> Any:  # noqa: ANN401
    """Return the box of the best component at each threshold; see `boxes_at`."""
    number = len(begins) - 2
    order, touch_begins = _by_level(touches, number)
    parents = np.arange(len(peaks)).astype(np.int32)
    areas, seen = np.zeros(len(peaks), np.int64), np.zeros(len(peaks), np.int32)
    sides = np.empty((len(peaks), 5), np.int64)  # x0, y0, x1, y1, first pixel in raster order
    sides[:, :2], sides[:, 2:4], sides[:, 4] = _NONE, 0, _NONE
    changed = np.empty(len(peaks), np.int64)
    boxes = np.zeros((number, 4), np.int64)
    best = -1
    for level in range(number, 0, -1):
        for k in range(touch_begins[level], touch_begins[level + 1]):
            touch = touches[order[k]]
            _join(touch.piece, touch.other, parents, areas, sides, peaks)
        count = 0
        for k in range(begins[level], ends[level]):
            root = root_of(parents, runs[k].piece)
            _grow(root, runs[k], width, areas, sides)
            if seen[root] != level:
                seen[root] = level
                changed[count] = root
                count += 1
        best = _best(best, changed[:count], parents, areas, sides, peaks, smallest)
        if best >= 0:
            boxes[level - 1] = sides[best, :4]
    return boxes


@inlined
def _join(a: int, b: int, parents: Any, areas: Any, sides: Any, peaks: Any) -> None:  # noqa: ANN401
    """Join the components of two pieces; the larger lives on."""
    a, b = root_of(parents, a), root_of(parents, b)
    if a == b:
        return
    if areas[b] > areas[a]:
        a, b = b, a
    parents[b] = a
    areas[a] += areas[b]
    peaks[a] = max(peaks[a], peaks[b])
    for k in range(2):
        sides[a, k] = min(sides[a, k], sides[b, k])
        sides[a, k + 2] = max(sides[a, k + 2], sides[b, k + 2])
    sides[a, 4] = min(sides[a, 4], sides[b, 4])


@inlined
def _grow(root: int, run: Any, width: int, areas: Any, sides: Any) -> None:  # noqa: ANN401
    """Add a run to a component."""
    areas[root] += run.right - run.left
    sides[root, 0] = min(sides[root, 0], run.left)
    sides[root, 1] = min(sides[root, 1], run.y)
    sides[root, 2] = max(sides[root, 2], run.right)
    sides[root, 3] = max(sides[root, 3], run.y + 1)
    sides[root, 4] = min(sides[root, 4], run.y * width + run.left)


@inlined
def _best(
    best: int,
    changed: Any,  # noqa: ANN401
    parents: Any,  # noqa: ANN401
    areas: Any,  # noqa: ANN401
    sides: Any,  # noqa: ANN401
    peaks: Any,  # noqa: ANN401
    smallest: float,
) -> Any:  # noqa: ANN401
    """Return the best of the changed components and the last best one; -1 if there is none."""
    if best >= 0:
        best = root_of(parents, best)
    for root in changed:
        if areas[root] >= smallest and (
            best < 0 or _better(root, best, areas, sides, peaks, smallest >= 0)
        ):
            best = root
    return best


@inlined
def _better(a: int, b: int, areas: Any, sides: Any, peaks: Any, by_peak: bool) -> Any:  # noqa: ANN401
    """Return whether one component goes before another."""
    if by_peak:
        if peaks[a] != peaks[b]:
            return peaks[a] > peaks[b]
    elif areas[a] != areas[b]:
        return areas[a] > areas[b]
    return sides[a, 4] < sides[b, 4]
