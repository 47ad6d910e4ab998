"""The maps of several views of a picture, put back in place and merged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from camtool.geometry import axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.images.preprocess import Region
    from camtool.images.views import Merge, View

__all__ = ["merge_maps"]


def merge_maps(
    maps: Sequence[NDArray[np.float32]],
    views: Sequence[View],
    region: Region,
    *,
    merge: Merge = "mean",
    relu: bool = False,
) -> NDArray[np.float32]:
    """Return one map a class of the maps that a network gives of several views.

    The grid of the result lies over `region` and is as fine as the finest view's. In each cell a
    view counts by the share of the cell that it shows, with its map's value at the cell's centre
    (bilinear, edge cells continued).

    Args:
        maps: of each view, shape (n, h, w); as seen, so those of mirrored views are mirrored.
        views: the views.
        region: the part (x0, y0, x1, y1) of the picture that they show together.
        merge: the mean over the views, or the sum of absolute values.
        relu: negative values count as 0.

    Returns:
        Array of shape (n, H, W), float32; of one plain view its own maps, on their own grid.
    """
    if len(views) == 1 and not views[0].mirrored:
        return _signed(maps[0], merge, relu)
    size = _finest(maps, views, region)
    total = np.zeros((len(maps[0]), size[1], size[0]))
    number = np.zeros(size[::-1])
    for seen, view in zip(maps, views, strict=True):
        values = _signed(seen[..., ::-1] if view.mirrored else seen, merge, relu)
        x0, y0, x1, y1 = _in_grid(view.region, region, size)
        rows, down = _laid(values.shape[1], y0, y1, size[1])
        columns, across = _laid(values.shape[2], x0, x1, size[0])
        shown = np.outer(down, across)
        total += shown * (rows @ values @ columns.T)
        number += shown
    return (total / number if merge == "mean" else total).astype(np.float32)


def _signed(values: NDArray[np.float32], merge: Merge, relu: bool) -> NDArray[np.float32]:
    values = np.maximum(values, 0) if relu else values
    return np.abs(values) if merge == "abs-sum" else values


def _laid(
    cells: int, start: float, stop: float, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay the cells of a view on one axis of the grid.

    Returns:
        Weights that make the value of each grid cell, shape (length, cells); and the share of each
        grid cell that the view shows, shape (length,).
    """
    along = axis(cells, start, stop, length)
    weights, places = np.zeros((length, cells)), np.arange(length)
    weights[places, along.cell] = 1 - along.fraction
    weights[places, np.minimum(along.cell + 1, cells - 1)] += along.fraction
    return weights, np.clip(np.minimum(places + 1, stop) - np.maximum(places, start), 0, 1)


def _finest(
    maps: Sequence[NDArray[np.float32]], views: Sequence[View], region: Region
) -> tuple[int, int]:
    """Return (columns, rows) of a grid over `region` whose cells are as small as the smallest."""
    x0, y0, x1, y1 = region
    pairs = list(zip(maps, views, strict=True))
    columns = max(m.shape[2] * (x1 - x0) / (v.region[2] - v.region[0]) for m, v in pairs)
    rows = max(m.shape[1] * (y1 - y0) / (v.region[3] - v.region[1]) for m, v in pairs)
    return round(columns), round(rows)


def _in_grid(part: Region, region: Region, size: tuple[int, int]) -> Region:
    """Return `part` of the picture in cells of a grid of `size` over `region`.

    A part that is the region itself lies exactly on the grid.
    """
    fx, fy = size[0] / (region[2] - region[0]), size[1] / (region[3] - region[1])
    left, upper = (part[0] - region[0]) * fx, (part[1] - region[1]) * fy
    right = size[0] if part[2] == region[2] else (part[2] - region[0]) * fx
    lower = size[1] if part[3] == region[3] else (part[3] - region[1]) * fy
    return left, upper, right, lower
