"""Pixel geometry. The convention of the whole program is stated and decided here.

Boxes are half-open, `[x0, x1) × [y0, y1)`, in pixels of the original image: pixel column `i`
covers `[i, i+1)` and its centre lies at `i + 0.5`. The width of a box is `x1 - x0`, without any
`+ 1`.
An inclusive box of integer corners (ImageNet, PASCAL VOC) is `[xmin, xmax+1) × [ymin, ymax+1)` here,
which makes the plain intersection over union equal to the official one (ILSVRC devkit).

`size` is `(width, height)`, `shape` is `(height, width)`.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import Box

__all__ = ["clip", "iou", "resize_map", "scale"]


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, in [0, 1].

    For integer boxes the result is the correctly rounded quotient of two exact integers, so an
    intersection over union of exactly one half compares equal to 0.5.
    """
    w = min(a.x1, b.x1) - max(a.x0, b.x0)
    h = min(a.y1, b.y1) - max(a.y0, b.y0)
    if w <= 0 or h <= 0:
        return 0.0
    inter = w * h
    return inter / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - inter)


def clip(box: Box, size: tuple[int, int]) -> Box | None:
    """Return the part of `box` inside an image of `size` (width, height); None where none is."""
    x0, y0 = max(box.x0, 0), max(box.y0, 0)
    x1, y1 = min(box.x1, size[0]), min(box.y1, size[1])
    return type(box)(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def scale(box: Box, source: tuple[int, int], target: tuple[int, int]) -> Box:
    """Bring `box` from an image of size `source` to the same image at size `target`."""
    if source == target:
        return box
    fx, fy = target[0] / source[0], target[1] / source[1]
    return type(box)(box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy)


@functools.lru_cache(maxsize=256)
def _interpolation(cells: int, start: float, stop: float, pixels: int) -> NDArray[np.float32]:
    """Weights, shape (pixels, cells), that sample `cells` lying on [start, stop) at pixel centres.

    Bilinear, half-pixel centres, edge cells continued to the border: what OpenCV and torch
    (`align_corners=False`) do where the cells cover the whole image. Rows of pixels whose centre
    lies outside [start, stop) are zero.
    """
    centres = np.arange(pixels) + 0.5
    u = (centres - start) * (cells / (stop - start)) - 0.5
    inside = (centres >= start) & (centres < stop)
    u = np.clip(u, 0, cells - 1)
    low = np.minimum(u.astype(np.int64), max(cells - 2, 0))
    high = np.minimum(low + 1, cells - 1)
    fraction = u - low
    weights = np.zeros((pixels, cells), np.float64)
    rows = np.arange(pixels)
    np.add.at(weights, (rows, low), (1 - fraction) * inside)
    np.add.at(weights, (rows, high), fraction * inside)
    result = weights.astype(np.float32)
    result.setflags(write=False)
    return result


def resize_map(
    values: NDArray[np.float32],
    region: tuple[float, float, float, float],
    size: tuple[int, int],
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Bring a low-resolution map to image size by bilinear interpolation.

    Args:
        values: map, shape (h, w), float32.
        region: the part (x0, y0, x1, y1) of the image, in pixels, that the map covers.
        size: (width, height) of the image.
        outside: value of the pixels whose centre lies outside `region`.

    Returns:
        Array of shape (height, width), float32.
    """
    x0, y0, x1, y1 = region
    columns = _interpolation(values.shape[1], x0, x1, size[0])
    rows = _interpolation(values.shape[0], y0, y1, size[1])
    result: NDArray[np.float32] = rows @ (values @ columns.T)
    if outside != 0.0 and (x0 > 0.5 or y0 > 0.5 or x1 < size[0] - 0.5 or y1 < size[1] - 0.5):
        result[rows.sum(1) == 0, :] = outside
        result[:, columns.sum(1) == 0] = outside
    return result
