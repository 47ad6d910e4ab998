"""Which views of a picture the network sees, and how the maps of several views become one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.geometry import axis
from camtool.images.preprocess import Region, prepare, resample
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from camtool.images.preprocess import BasePreprocess
    from camtool.structures import InputSpec

_STRIDE = 32
"""What most networks reduce their input by: sides of scaled inputs are multiples of it."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One view of a picture.

    Attributes:
        pixels: the network's input, shape (3, h, w), float32.
        region: the part (x0, y0, x1, y1) of the picture that it shows, in pixels.
        mirrored: left and right are swapped.
    """

    pixels: NDArray[np.float32]
    region: Region
    mirrored: bool = False

    def mirror(self) -> View:
        """Return the same view with left and right swapped."""
        pixels = np.ascontiguousarray(self.pixels[:, :, ::-1])
        return View(pixels, self.region, not self.mirrored)


Merge = Literal["mean", "abs-sum"]


class BaseViews(Settings, ABC):
    """Base of the choices of views.

    Example:
        >>> from camtool.settings import members
        >>> [choice.model_fields["name"].default for choice in members(Views, BaseViews)]
        ['one', 'multi-scale', 'ten-crop', 'tiles']
    """

    summary: ClassVar[str]
    """What the views are, in a line."""
    paper: ClassVar[str]
    """Where they come from."""
    passes: ClassVar[str]
    """Forward passes that a picture costs."""

    @abstractmethod
    def of(
        self, image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[View, ...], Region]:
        """Return the views of a picture, and the region of the picture that they show together."""

    def input_sizes(
        self, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[int, int], ...]:
        """Return (width, height) of each size of input that the views have."""
        return (preprocess.input_size(spec),)


class _Merged(BaseViews):
    """How the maps of several views become one."""

    merge: Merge = "mean"
    """The mean over the views, or the sum of absolute values, as in the program that the authors of
    CAM released: it favours what more views show, which is the centre."""

    relu: bool = False
    """Set the negative part of each view's map to 0 before merging."""


@final
class One(BaseViews):
    """One view, as `localize.preprocess` makes it. There is nothing to merge.

    Example:
        >>> from camtool.images import Squeeze
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> One().input_sizes(Squeeze(), spec)
        ((224, 224),)
    """

    summary: ClassVar[str] = "the picture once"
    paper: ClassVar[str] = ""
    passes: ClassVar[str] = "1"
    merge: ClassVar[Literal["mean"]] = "mean"

    name: Literal["one"] = "one"

    relu: bool = False
    """Set the negative part of the map to 0."""

    def of(
        self, image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[View, ...], Region]:
        """Return the views of a picture, and the region of the picture that they show together."""
        pixels, region = prepare(image, preprocess, spec)
        return (View(pixels, region),), region


@final
class MultiScale(_Merged):
    """The same region at several input sizes, each plain and mirrored.

    Sides are the network's own times the scale, rounded to multiples of 32 (scale 1: as it is), so
    that the grid of features covers the input evenly. Maps are mirrored back and brought to the
    grid of the finest view by bilinear interpolation, and merged there; probabilities are the mean
    of the views' softmax outputs. The order of the scales does not matter.

    Example:
        >>> from camtool.images import Squeeze
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> MultiScale(scales=(1, 1.5)).input_sizes(Squeeze(), spec)
        ((224, 224), (320, 320))
    """

    summary: ClassVar[str] = "several input sizes, each plain and mirrored; maps put back in place"
    paper: ClassVar[str] = ""
    passes: ClassVar[str] = "1 a scale, 2 with flip; each costs the square of its scale"

    name: Literal["multi-scale"] = "multi-scale"

    scales: Annotated[
        tuple[Annotated[float, Field(ge=0.25, le=4)], ...],
        Field(strict=False, min_length=1, max_length=16),
    ] = (1.0, 1.5)
    """Sides of the inputs over the network's own."""

    flip: bool = True
    """See each view mirrored, too."""

    def of(
        self, image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[View, ...], Region]:
        """Return the views of a picture, and the region of the picture that they show together."""
        region = preprocess.region(image.size, spec)
        views = []
        for size in self.input_sizes(preprocess, spec):
            view = View(resample(image, region, size, spec), region)
            views += [view, view.mirror()] if self.flip else [view]
        return tuple(views), region

    def input_sizes(
        self, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[int, int], ...]:
        """Return (width, height) of the input at each scale."""
        width, height = preprocess.input_size(spec)
        return tuple((_scaled(width, factor), _scaled(height, factor)) for factor in self.scales)


@final
class TenCrop(_Merged):
    """The four corners and the centre of the squashed picture, each plain and mirrored.

    Zhou et al. 2016 and their released program: the picture is squashed to 256×256, ten crops of
    224×224; the mean of the ten softmax outputs; the maps put back in place. Here the crop is the
    network's input, whatever its size, out of a picture `ratio` times as large; what is squashed is
    what `localize.preprocess` shows, by default the whole picture. The merged map lies over all of
    it, on a grid as fine as that of a crop: 8×8 where a crop of 224 out of 256 has 7×7. In each
    cell of it a crop counts by the share of the cell that it shows.

    Example:
        >>> from PIL import Image
        >>> from camtool.images import Squeeze
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> views, region = TenCrop().of(Image.new("RGB", (300, 200)), Squeeze(), spec)
        >>> len(views), views[0].region, region
        (10, (0.0, 0.0, 262.5, 175.0), (0.0, 0.0, 300.0, 200.0))
    """

    summary: ClassVar[str] = "four corners and centre, plain and mirrored; maps put back in place"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016; github.com/zhoubolei/CAM"
    passes: ClassVar[str] = "10"

    name: Literal["ten-crop"] = "ten-crop"

    ratio: Annotated[float, Field(ge=1, le=2)] = 256 / 224
    """Side of the squashed picture over that of a crop; above 2 the crops would leave gaps."""

    def of(
        self, image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[View, ...], Region]:
        """Return the views of a picture, and the region of the picture that they show together."""
        region = preprocess.region(image.size, spec)
        width, height = preprocess.input_size(spec)
        whole = round(width * self.ratio), round(height * self.ratio)
        pixels = resample(image, region, whole, spec)
        right, low = whole[0] - width, whole[1] - height
        corners = (0, 0), (right, 0), (0, low), (right, low), (right // 2, low // 2)
        views = [
            View(
                np.ascontiguousarray(pixels[:, y : y + height, x : x + width]),
                _part(region, (x, y, x + width, y + height), whole),
            )
            for x, y in corners
        ]
        return (*views, *(view.mirror() for view in views)), region


@final
class Tiles(_Merged):
    """Square parts along the longer side, evenly spread: for very wide or very tall pictures.

    Squeezed to a square, a panorama of 8:1 shows its objects eight times too narrow. A part is as
    long as the picture is narrow, and longer where `count` of them would leave gaps; parts overlap
    where they are more than needed. What is cut into parts is what `localize.preprocess` shows.
    Probabilities are the mean of those of the parts, so a class that fills one of them loses.

    Example:
        >>> from PIL import Image
        >>> from camtool.images import Squeeze
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> views, _ = Tiles(count=3).of(Image.new("RGB", (500, 100)), Squeeze(), spec)
        >>> [view.region for view in views]
        [(0.0, 0.0, 166..., 100.0), (166..., 0.0, 333..., 100.0), (333..., 0.0, 500.0, 100.0)]
    """

    summary: ClassVar[str] = "square parts along the longer side; maps put back in place"
    paper: ClassVar[str] = ""
    passes: ClassVar[str] = "n (n = 4 parts)"

    name: Literal["tiles"] = "tiles"

    count: Annotated[int, Field(ge=2, le=64)] = 4
    """Number of parts of a picture; as many as its longer side has of its shorter one, or more."""

    def of(
        self, image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
    ) -> tuple[tuple[View, ...], Region]:
        """Return the views of a picture, and the region of the picture that they show together."""
        region = preprocess.region(image.size, spec)
        size = preprocess.input_size(spec)
        parts = _tiles(region, self.count)
        return tuple(View(resample(image, part, size, spec), part) for part in parts), region


def _tiles(region: Region, count: int) -> list[Region]:
    """Return parts of a region along its longer side, the first and the last at its ends."""
    x0, y0, x1, y1 = region
    wide = x1 - x0 >= y1 - y0
    start, stop, short = (x0, x1, y1 - y0) if wide else (y0, y1, x1 - x0)
    length = max(short, (stop - start) / count)
    step = (stop - start - length) / (count - 1)
    spans = [(start + k * step, start + k * step + length) for k in range(count - 1)]
    spans.append((stop - length, stop))
    return [(a, y0, b, y1) if wide else (x0, a, x1, b) for a, b in spans]


Views = Annotated[One | MultiScale | TenCrop | Tiles, Field(discriminator="name")]
"""Every choice of views."""


def _scaled(side: int, factor: float) -> int:
    if factor == 1:
        return side
    return max(_STRIDE, _STRIDE * round(side * factor / _STRIDE))


def _part(region: Region, crop: tuple[int, int, int, int], whole: tuple[int, int]) -> Region:
    """Return which part of the picture a crop shows.

    Args:
        region: the part of the picture that was resized.
        crop: x0, y0, x1, y1 in pixels of the resized part.
        whole: (width, height) of the resized part.
    """
    fx, fy = (region[2] - region[0]) / whole[0], (region[3] - region[1]) / whole[1]
    x0, y0, x1, y1 = crop
    return region[0] + x0 * fx, region[1] + y0 * fy, region[0] + x1 * fx, region[1] + y1 * fy


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
