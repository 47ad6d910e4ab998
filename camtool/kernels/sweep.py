"""The box of the best component of a map at many thresholds at once, from the low-resolution map.

The threshold sinks from the highest to the lowest. At each one some pieces of image rows begin to
touch, and some grow (`camtool.kernels.runs`): a union–find over some thousand pieces knows the
components of all thresholds, whatever the size of the image. Components that did not change cannot
overtake the best one, so only those that changed are compared.

The plain twins take one mask after the other, with OpenCV. They are slower by a factor of some
hundred, but nothing has to be compiled: right for a handful of small images, and an independent
reference for the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import cv2
import numpy as np

from camtool.kernels.compiled import compiled, inlined, with_plain
from camtool.kernels.runs import (
    covered_pixels,
    cut,
    end_levels,
    extremes,
    laid,
    origins,
    root_of,
    touching,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.kernels.runs import Cells

    Order = Literal["area", "peak", "peak, area"]

BINS: Final = 256
"""Levels of a map's histogram."""

_NONE: Final = np.iinfo(np.int64).max
_SMALL: Final = 1 << 18
"""Pixels up to which a handful of maps is scored quicker than a kernel is compiled."""
_AREA, _PEAK, _PEAK_AREA = 0, 1, 2
_ORDERS: Final = {"area": _AREA, "peak": _PEAK, "peak, area": _PEAK_AREA}
"""What makes a component better than another, in this order; then the first in raster order."""


@compiled
def _count(runs, begins, ends, counts):
    for level in range(len(counts)):
        for i in range(begins[level], ends[level]):
            counts[level] += runs[i].right - runs[i].left


@compiled
def _by_level(touches, number):
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
def _sweep(runs, begins, ends, touches, peaks, width, order, smallest):
    """Return the box of the best component at each threshold; see `boxes_at_thresholds`."""
    number = len(begins) - 2
    sorted_touches, touch_begins = _by_level(touches, number)
    parents = np.arange(len(peaks)).astype(np.int32)
    areas, seen = np.zeros(len(peaks), np.int64), np.zeros(len(peaks), np.int32)
    sides = np.empty((len(peaks), 5), np.int64)  # x0, y0, x1, y1, first pixel in raster order
    sides[:, :2], sides[:, 2:4], sides[:, 4] = _NONE, 0, _NONE
    changed = np.empty(len(peaks), np.int64)
    boxes = np.zeros((number, 4), np.int64)
    best = -1
    for level in range(number, 0, -1):
        for k in range(touch_begins[level], touch_begins[level + 1]):
            touch = touches[sorted_touches[k]]
            _join(touch.piece, touch.other, parents, areas, sides, peaks)
        count = 0
        for k in range(begins[level], ends[level]):
            root = root_of(parents, runs[k].piece)
            _grow(root, runs[k], width, areas, sides)
            if seen[root] != level:
                seen[root] = level
                changed[count] = root
                count += 1
        best = _best(best, changed[:count], parents, areas, sides, peaks, order, smallest)
        if best >= 0:
            boxes[level - 1] = sides[best, :4]
    return boxes


@inlined
def _join(a, b, parents, areas, sides, peaks):
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
def _grow(root, run, width, areas, sides):
    """Add a run to a component."""
    areas[root] += run.right - run.left
    sides[root, 0] = min(sides[root, 0], run.left)
    sides[root, 1] = min(sides[root, 1], run.y)
    sides[root, 2] = max(sides[root, 2], run.right)
    sides[root, 3] = max(sides[root, 3], run.y + 1)
    sides[root, 4] = min(sides[root, 4], run.y * width + run.left)


@inlined
def _best(best, changed, parents, areas, sides, peaks, order, smallest):
    """Return the best of the changed components and the last best one; -1 if there is none."""
    if best >= 0:
        best = root_of(parents, best)
    for root in changed:
        if areas[root] >= smallest and (
            best < 0 or _better(root, best, areas, sides, peaks, order)
        ):
            best = root
    return best


@inlined
def _better(a, b, areas, sides, peaks, order):
    """Return whether one component goes before another."""
    if order != _AREA and peaks[a] != peaks[b]:
        return peaks[a] > peaks[b]
    if order != _PEAK and areas[a] != areas[b]:
        return areas[a] > areas[b]
    return sides[a, 4] < sides[b, 4]


def _is_small(
    values: NDArray[np.floating[Any]],  # noqa: ARG001 (the arguments of the kernels)
    rows: Cells,
    columns: Cells,
    *_: object,
    **_options: object,
) -> bool:
    """Tell whether an image is so small that few of them are not worth compiling for."""
    return len(rows[0]) * len(columns[0]) <= _SMALL


def _checked(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    if (np.diff(shares) < 0).any():
        raise ValueError("thresholds must ascend")
    return shares


def _boxes_one_by_one(
    values: NDArray[np.floating[Any]],
    rows: Cells,
    columns: Cells,
    shares: NDArray[np.float64],
    *,
    of_range: bool = False,
    order: Order = "area",
    smallest: float = 0,
) -> NDArray[np.int64]:
    """Do the same as `boxes_at_thresholds` by OpenCV, on the map at image size."""
    boxes = np.zeros((len(_checked(shares)), 4), np.int64)
    if not np.isfinite(values).all():
        return boxes
    pixels = covered_pixels(values, rows, columns)
    base = pixels.min(initial=np.inf) if of_range else 0.0
    high = pixels.max(initial=-np.inf)
    if high <= base:
        return boxes
    scores = (pixels - base) / (high - base)
    for i, share in enumerate(shares):
        mask = pixels > base + share * (high - base)
        boxes[i] = _best_in_mask(mask, scores, order, smallest)
    boxes[boxes[:, 2] > 0] += (columns[2], rows[2]) * 2
    return boxes


def _best_in_mask(
    mask: NDArray[np.bool_], scores: NDArray[np.float64], order: Order, smallest: float
) -> tuple[int, int, int, int]:
    """Return the box of the best component of a mask; zeros where there is none."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    (best,) = np.nonzero((np.arange(len(areas)) > 0) & (areas >= smallest))
    if order != "area" and len(best):
        inside = np.isin(labels, best)
        best = np.unique(labels[inside & (scores == scores[inside].max())])
    if order != "peak":
        best = best[areas[best] == areas[best].max(initial=0)]
    if not len(best):
        return 0, 0, 0, 0
    # Only where several are equally good, their order matters, which OpenCV does not promise.
    label = best[0] if len(best) == 1 else labels.ravel()[np.isin(labels, best).ravel().argmax()]
    x, y, w, h, _ = stats[label].tolist()
    return x, y, x + w, y + h


@with_plain(_boxes_one_by_one, last=_sweep, small=_is_small)
def boxes_at_thresholds(
    values: NDArray[np.floating[Any]],
    rows: Cells,
    columns: Cells,
    shares: NDArray[np.float64],
    *,
    of_range: bool = False,
    order: Order = "area",
    smallest: float = 0,
) -> NDArray[np.int64]:
    """Return the bounding box of a map's best component at each threshold.

    Equal to what `components_above` finds at each of the thresholds by itself.

    Example:
        >>> cells = np.array([[0.3, 0.5, 1, 0, 0.5]], np.float32)
        >>> one_to_one = [(np.arange(n), np.zeros(n), 0, n) for n in cells.shape]
        >>> boxes_at_thresholds(cells, *one_to_one, shares=np.array([0.2, 0.4, 0.9])).tolist()
        [[0, 0, 3, 1], [1, 0, 3, 1], [2, 0, 3, 1]]

    Args:
        values: the map, shape (h, w); any values.
        rows: how its cells lie under the image's rows: lower cell of each row, share of the upper
            cell, first row that the map covers, and one past the last.
        columns: the same of the image's columns.
        shares: thresholds as shares of the map's maximum at image size, or, with `of_range`, of
            the way from its minimum to its maximum; in [0, 1), ascending, shape (n,).
        of_range: see `shares`.
        order: what makes a component the best: its number of pixels, or its maximum, or its maximum
            and among equals its number of pixels; in the end the first in raster order.
        smallest: components of fewer pixels do not count.

    Returns:
        x0, y0, x1, y1 at each threshold, half-open, int64 of shape (n, 4); zeros where there is no
        box: where no component counts, or the map is not finite, or has no positive maximum (with
        `of_range`: is flat), or covers no pixel's centre.

    Raises:
        ValueError: the shares do not ascend.
    """
    none = np.zeros((len(_checked(shares)), 4), np.int64)
    grid = laid(values, rows, columns) if np.isfinite(values).all() else None
    if grid is None:
        return none
    low, high = extremes(*grid)
    base = low if of_range else 0.0
    if high <= base:
        return none
    thresholds = base + shares * (high - base)
    levels, ends = end_levels(*grid, thresholds)
    runs = cut(*grid, *origins(columns, grid.cells, values.shape[1]), thresholds, levels)
    touches = touching(*grid, thresholds, levels, ends)
    peaks = (ends.max(2).ravel() - base) / (high - base)
    width = len(columns[0])
    result: NDArray[np.int64] = _sweep(
        *runs, touches, peaks, width, _ORDERS[order], float(smallest)
    )
    return result


def _histogram_of_pixels(
    values: NDArray[np.floating[Any]], rows: Cells, columns: Cells, *, of_range: bool = False
) -> NDArray[np.int64]:
    """Do the same as `level_histogram` by numpy, on the map at image size."""
    counts = np.zeros(BINS, np.int64)
    if not np.isfinite(values).all():
        return counts
    pixels = covered_pixels(values, rows, columns).ravel()
    base, high = pixels.min(initial=np.inf) if of_range else 0.0, pixels.max(initial=-np.inf)
    if high <= base:
        return counts
    thresholds = base + np.arange(1, BINS) / BINS * (high - base)
    return np.bincount(np.searchsorted(thresholds, pixels), minlength=BINS)


@with_plain(_histogram_of_pixels, last=_count, small=_is_small)
def level_histogram(
    values: NDArray[np.floating[Any]], rows: Cells, columns: Cells, *, of_range: bool = False
) -> NDArray[np.int64]:
    """Return how many of the map's pixels at image size lie at each of `BINS` levels.

    Level `k` holds the values above the share `k / 256` of the maximum (with `of_range`: of the
    range from minimum to maximum) and up to the share `(k + 1) / 256`; level 0 all lower ones too.

    Example:
        >>> cells = np.array([[0.25, 0.5, 1, 0, 0.5]], np.float32)
        >>> one_to_one = [(np.arange(n), np.zeros(n), 0, n) for n in cells.shape]
        >>> counts = level_histogram(cells, *one_to_one)
        >>> counts[0], counts[63], counts[127], counts[255]
        (np.int64(1), np.int64(1), np.int64(2), np.int64(1))

    Args:
        values: the map; see `boxes_at_thresholds`, for this and the following.
        rows: how it lies under the image's rows.
        columns: how it lies under the image's columns.
        of_range: levels are shares of the range.

    Returns:
        int64 of shape (256,); zeros where the map has no positive maximum (with `of_range`: is
        flat), is not finite, or covers no pixel's centre.
    """
    counts = np.zeros(BINS, np.int64)
    grid = laid(values, rows, columns) if np.isfinite(values).all() else None
    if grid is None:
        return counts
    low, high = extremes(*grid)
    base = low if of_range else 0.0
    if high <= base:
        return counts
    thresholds = base + np.arange(1, BINS) / BINS * (high - base)
    levels, _ = end_levels(*grid, thresholds)
    where = origins(columns, grid.cells, values.shape[1])
    _count(*cut(*grid, *where, thresholds, levels), counts)
    (top, bottom), firsts = grid.rows, grid.firsts
    counts[0] = (bottom - top) * (firsts[-1] - firsts[0]) - counts.sum()
    return counts
