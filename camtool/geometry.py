"""Pixel geometry. The convention of the whole program is stated and decided here.

Boxes are half-open, `[x0, x1) × [y0, y1)`, in pixels of the original image: pixel column `i`
covers `[i, i+1)` and its centre lies at `i + 0.5`. The width of a box is `x1 - x0`, without any
`+ 1`.
An inclusive box of integer corners (ImageNet, PASCAL VOC) is `[xmin, xmax+1) × [ymin, ymax+1)`,
which makes the plain intersection over union equal to the official one (ILSVRC devkit).

`size` is `(width, height)`, `shape` is `(height, width)`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open box `[x0, x1) × [y0, y1)` in pixels of the original image, never empty.

    Example:
        >>> Box.from_inclusive(10, 20, 39, 24)
        Box(x0=10, y0=20, x1=40, y1=25)
        >>> Box.from_xywh(10, 20, 30, 5).area
        150
        >>> iou(Box(0, 0, 10, 10), Box(5, 0, 10, 10))
        0.5

    Raises:
        ValueError: a corner is not finite, or `x0 >= x1`, or `y0 >= y1`.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        """Check the corners."""
        # Comparisons with NaN are false, and infinite sides fail the subtraction: one test for all.
        if not (0 < self.x1 - self.x0 < math.inf and 0 < self.y1 - self.y0 < math.inf):
            msg = f"not a box: x0={self.x0}, y0={self.y0}, x1={self.x1}, y1={self.y1}"
            raise ValueError(msg)

    @classmethod
    def from_inclusive(cls, xmin: float, ymin: float, xmax: float, ymax: float) -> Self:
        """From 0-based corners that both belong to the box (ILSVRC, Tiny ImageNet, WSOL lists)."""
        return cls(xmin, ymin, xmax + 1, ymax + 1)

    @classmethod
    def from_one_based(cls, xmin: float, ymin: float, xmax: float, ymax: float) -> Self:
        """From 1-based corners that both belong to the box (PASCAL VOC)."""
        return cls(xmin - 1, ymin - 1, xmax, ymax)

    @classmethod
    def from_xywh(cls, x: float, y: float, width: float, height: float) -> Self:
        """From the upper left corner, width and height (COCO, CUB)."""
        return cls(x, y, x + width, y + height)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """The corners (x0, y0, x1, y1)."""
        return self.x0, self.y0, self.x1, self.y1

    @property
    def area(self) -> float:
        """Number of pixels covered."""
        return (self.x1 - self.x0) * (self.y1 - self.y0)

    def to_inclusive(self) -> tuple[float, float, float, float]:
        """Return 0-based corners (xmin, ymin, xmax, ymax) that both belong to the box."""
        return self.x0, self.y0, self.x1 - 1, self.y1 - 1


def iou(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes, `|A ∩ B| / |A ∪ B|`, in [0, 1].

    For integer boxes the result is the correctly rounded quotient of two exact integers, so an
    intersection over union of exactly one half compares equal to 0.5.
    """
    w = min(a.x1, b.x1) - max(a.x0, b.x0)
    h = min(a.y1, b.y1) - max(a.y0, b.y0)
    if w <= 0 or h <= 0:
        return 0.0
    inter = w * h
    return inter / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - inter)


def ious(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of many boxes at once, the same numbers as `iou`.

    Args:
        a: corners x0, y0, x1, y1, half-open, float64 of shape (…, 4); a box whose corners are not
            in order holds no pixel, and overlaps nothing.
        b: likewise; both shapes are broadcast.
    """
    common = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    inter = np.maximum(common, 0).prod(-1)
    areas = [np.maximum(box[..., 2:] - box[..., :2], 0).prod(-1) for box in (a, b)]
    union = areas[0] + areas[1] - inter
    result: NDArray[np.float64] = inter / np.where(union > 0, union, 1)
    return result


def clip(box: Box, size: tuple[int, int]) -> Box | None:
    """Return the part of `box` inside an image of `size` (width, height); None where none is."""
    x0, y0 = max(box.x0, 0), max(box.y0, 0)
    x1, y1 = min(box.x1, size[0]), min(box.y1, size[1])
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def scale(box: Box, source: tuple[int, int], target: tuple[int, int]) -> Box:
    """Bring `box` from an image of size `source` to the same image at size `target`."""
    if source == target:
        return box
    fx, fy = target[0] / source[0], target[1] / source[1]
    return Box(box.x0 * fx, box.y0 * fy, box.x1 * fx, box.y1 * fy)


class Axis(NamedTuple):
    """How `cells` of a map lie under the pixels of one image axis, for bilinear interpolation.

    The value at pixel i is `low + fraction[i] * (high - low)` of the cells `low = cell[i]` and
    `high = min(cell[i] + 1, cells - 1)`. Half-pixel centres, edge cells continued to the border:
    what OpenCV and torch (`align_corners=False`) do where the cells cover the whole image.

    Attributes:
        cell: lower cell of each pixel, int64 of shape (pixels,), never decreasing.
        fraction: share of the upper cell, float64 in [0, 1] of shape (pixels,).
        start: first pixel whose centre the cells cover.
        stop: one past the last.
    """

    cell: NDArray[np.int64]
    fraction: NDArray[np.float64]
    start: int
    stop: int


@functools.lru_cache(maxsize=256)
def axis(cells: int, start: float, stop: float, pixels: int) -> Axis:
    """Lay `cells` of a map on the part [start, stop) of an image axis of `pixels` pixels."""
    centres = np.arange(pixels) + 0.5
    u = np.clip((centres - start) * (cells / (stop - start)) - 0.5, 0, cells - 1)
    cell = np.minimum(u.astype(np.int64), max(cells - 2, 0))
    fraction = u - cell
    for array in (cell, fraction):
        array.setflags(write=False)
    first, last = np.searchsorted(centres, (start, stop))
    return Axis(cell, fraction, int(first), int(last))


def resize_map(
    values: NDArray[np.floating[Any]],
    region: tuple[float, float, float, float],
    size: tuple[int, int],
    outside: float = 0.0,
) -> NDArray[np.float64]:
    """Bring a low-resolution map to image size by bilinear interpolation.

    Args:
        values: map, shape (h, w).
        region: the part (x0, y0, x1, y1) of the image, in pixels, that the map covers.
        size: (width, height) of the image.
        outside: value of the pixels whose centre lies outside `region`.

    Returns:
        Array of shape (height, width), float64.
    """
    x0, y0, x1, y1 = region
    columns = axis(values.shape[1], x0, x1, size[0])
    rows = axis(values.shape[0], y0, y1, size[1])
    result = _interpolate(_interpolate(values.astype(np.float64), rows).T, columns).T
    result[: rows.start] = result[rows.stop :] = outside
    result[:, : columns.start] = result[:, columns.stop :] = outside
    return result


def _interpolate(values: NDArray[np.float64], along: Axis) -> NDArray[np.float64]:
    """Interpolate along the first axis."""
    low = values[along.cell]
    high = values[np.minimum(along.cell + 1, len(values) - 1)]
    result: NDArray[np.float64] = low + along.fraction[:, None] * (high - low)
    return result


SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""


def turn_box(box: Box, size: tuple[int, int], orientation: int) -> Box:
    """Return a box of an image when that is turned as an EXIF orientation says.

    Example:
        >>> turn_box(Box(0, 0, 10, 20), (90, 60), 6)
        Box(x0=40, y0=0, x1=60, y1=10)

    Args:
        box: in pixels of the image before.
        size: (width, height) of the image before.
        orientation: one of `SIDEWAYS`, as EXIF defines them.

    Raises:
        ValueError: another orientation.
    """
    width, height = size
    ways = {
        5: (box.y0, box.x0, box.y1, box.x1),
        6: (height - box.y1, box.x0, height - box.y0, box.x1),
        7: (height - box.y1, width - box.x1, height - box.y0, width - box.x0),
        8: (box.y0, width - box.x1, box.y1, width - box.x0),
    }
    if orientation not in ways:
        raise ValueError(f"orientation {orientation} swaps no sides")
    return Box(*ways[orientation])
