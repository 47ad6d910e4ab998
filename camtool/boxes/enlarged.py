"""A class map at image size, for rules that look at every pixel: bilinear or bicubic, in 8 bits.

Large pictures are worked on at a smaller size, and rows in bands, so that memory stays bounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np

from camtool.geometry import axis, scale
from camtool.structures import ScoreMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from camtool.structures import Box

Interpolation = Literal["bilinear", "bicubic"]
Scale = Literal["max", "min-max"]

_BAND: Final = 1 << 20
"""Pixels that are interpolated at a time."""
_SHARPNESS: Final = -0.75
"""The parameter of the cubic kernel that OpenCV and torch have."""
_BY_PIXEL_SIDE: Final = 2048
"""Larger pictures are worked on at this longer side, which bounds memory and time."""
_RANGE: Final = np.finfo(np.float32)


class _Taps(NamedTuple):
    """Which cells make a pixel of one axis: indices and weights, both of shape (pixels, taps)."""

    cells: NDArray[np.int64]
    weights: NDArray[np.float64]
    start: int
    stop: int


def reduced_size(size: tuple[int, int], max_side: int) -> tuple[int, int]:
    """Return the size (width, height) at which a picture of `size` is worked on."""
    longer = max(size)
    if longer <= max_side:
        return size
    return max(1, round(size[0] * max_side / longer)), max(1, round(size[1] * max_side / longer))


def reduced(score_map: ScoreMap, max_side: int) -> ScoreMap:
    """Return the same map over the picture at `reduced_size`."""
    size = reduced_size(score_map.size, max_side)
    if size == score_map.size:
        return score_map
    fx, fy = size[0] / score_map.size[0], size[1] / score_map.size[1]
    x0, y0, x1, y1 = score_map.region
    return ScoreMap(score_map.values, (x0 * fx, y0 * fy, x1 * fx, y1 * fy), size)


def restored(box: Box, worked: ScoreMap, score_map: ScoreMap) -> Box:
    """Bring a box from the size of `worked`, see `reduced`, to that of the original picture."""
    return scale(box, worked.size, score_map.size)


def enlarge(score_map: ScoreMap, interpolation: Interpolation) -> NDArray[np.float64]:
    """Return the map at image size; pixels that it does not cover are NaN.

    Half-pixel centres, edge cells continued: what OpenCV's `INTER_LINEAR` and `INTER_CUBIC`, and
    torch with `align_corners=False` do where the map covers the whole image.

    Args:
        score_map: the map.
        interpolation: bilinear, or bicubic, which may leave the map's range by some percent.

    Returns:
        Array of shape (height, width), float64.
    """
    width, height = score_map.size
    result = np.full((height, width), np.nan)
    for rows, columns, band in _bands(score_map, interpolation):
        result[rows, columns] = band
    return result


def eight_bit(
    score_map: ScoreMap, scale: Scale, interpolation: Interpolation
) -> NDArray[np.uint8] | None:
    """Return the map at image size in 8 bits.

    `min-max`: the covered pixels' range becomes 0 to 255. `max`: 0 to the maximum becomes 0 to 255,
    and negative values 0. Rounded to the nearest level; pixels that the map does not cover are 0.

    Returns:
        Array of shape (height, width); None for a map that has no range (with `max`: no positive
        maximum), has a value that is not finite, or covers no pixel's centre.
    """
    if not np.isfinite(score_map.values).all():
        return None
    extremes = [(b.min(), b.max()) for _, _, b in _bands(score_map, interpolation) if b.size]
    if not extremes:
        return None
    low = float(min(e[0] for e in extremes)) if scale == "min-max" else 0.0
    high = float(max(e[1] for e in extremes))
    if high <= low:
        return None
    result = np.zeros(score_map.size[::-1], np.uint8)
    for rows, columns, band in _bands(score_map, interpolation):
        result[rows, columns] = np.rint(np.clip((band - low) / (high - low), 0, 1) * 255)
    return result


def by_pixel(score_map: ScoreMap, interpolation: Interpolation) -> ScoreMap:
    """Return the map that a box rule looks at.

    Returns:
        With `bilinear` the map itself, which is worked on without making it large. With `bicubic`
        its covered pixels as cells, of a picture of at most 2,048 pixels along its longer side; a
        map that is not finite, or covers no pixel's centre, as it is.
    """
    if interpolation == "bilinear" or not np.isfinite(score_map.values).all():
        return score_map
    worked = reduced(score_map, _BY_PIXEL_SIDE)
    pixels = enlarge(worked, interpolation)
    covered = ~np.isnan(pixels)
    rows, columns = np.flatnonzero(covered.any(1)), np.flatnonzero(covered.any(0))
    if not rows.size:
        return score_map
    x0, y0, x1, y1 = (int(n) for n in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    # Between far values the cubic goes beyond them.
    values = np.clip(pixels[y0:y1, x0:x1], _RANGE.min, _RANGE.max).astype(np.float32)
    return ScoreMap(values, (float(x0), float(y0), float(x1), float(y1)), worked.size)


def whole_pixels(
    boxes: NDArray[np.int64], worked: ScoreMap, score_map: ScoreMap
) -> NDArray[np.int64]:
    """Bring boxes (n, 4) of the map that was worked on to whole pixels of the picture."""
    if worked.size == score_map.size:
        return boxes
    factors = np.tile(np.divide(score_map.size, worked.size), 2)
    result: NDArray[np.int64] = np.rint(boxes * factors).astype(np.int64)
    return result


def _bands(
    score_map: ScoreMap, interpolation: Interpolation
) -> Iterator[tuple[slice, slice, NDArray[np.float64]]]:
    """Yield the covered part of the image in bands of rows: where each lies, and its values."""
    (height, width), (x0, y0, x1, y1) = score_map.values.shape, score_map.region
    columns = _taps(width, x0, x1, score_map.size[0], interpolation)
    rows = _taps(height, y0, y1, score_map.size[1], interpolation)
    across = slice(columns.start, columns.stop)
    values = score_map.values.astype(np.float64)
    # Weights add up to 1 but for rounding: with the least value taken off, a flat map stays flat.
    values -= (least := values.min())
    step = max(1, _BAND // max(score_map.size[0], 1))
    for first in range(rows.start, rows.stop, step):
        down = slice(first, min(first + step, rows.stop))
        yield down, across, _mixed(_mixed(values, rows, down).T, columns, across).T + least


def _mixed(values: NDArray[np.float64], taps: _Taps, pixels: slice) -> NDArray[np.float64]:
    """Interpolate along the first axis, at some of its pixels."""
    result: NDArray[np.float64] = np.einsum(
        "ptk,pt->pk", values[taps.cells[pixels]], taps.weights[pixels]
    )
    return result


@lru_cache(maxsize=64)
def _taps(
    cells: int, start: float, stop: float, pixels: int, interpolation: Interpolation
) -> _Taps:
    if interpolation == "bilinear":
        laid = axis(cells, start, stop, pixels)
        pair = np.stack([laid.cell, np.minimum(laid.cell + 1, cells - 1)], 1)
        return _Taps(pair, np.stack([1 - laid.fraction, laid.fraction], 1), laid.start, laid.stop)
    centres = np.arange(pixels) + 0.5
    place = (centres - start) * (cells / (stop - start)) - 0.5
    lower = np.floor(place)
    offsets = np.arange(-1, 3)
    weights = _cubic((place - lower)[:, None] - offsets)
    near = np.clip(lower[:, None].astype(np.int64) + offsets, 0, cells - 1)
    first, last = np.searchsorted(centres, (start, stop))
    return _Taps(near, weights, int(first), int(last))


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel (Keys, IEEE TASSP 1981) at distances of up to two cells."""
    x, a = np.abs(distance), _SHARPNESS
    inner = ((a + 2) * x - (a + 3)) * x * x + 1
    outer = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))
