"""From a picture to a network's input, keeping the way back to the picture's pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from PIL import Image
from pydantic import Field

from camtool.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import InputSpec

Region = tuple[float, float, float, float]

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def normalise(image: Image.Image, spec: InputSpec) -> NDArray[np.float32]:
    """Return the picture as the network's input, shape (3, height, width), float32."""
    values = np.asarray(image, np.float32) / np.float32(255)
    values -= np.asarray(spec.mean, np.float32)
    values /= np.asarray(spec.std, np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1))


class BasePreprocess(Settings, ABC):
    """Base of the ways to fit a picture into a network's input.

    Example:
        >>> from camtool.settings import members
        >>> [way.model_fields["name"].default for way in members(Preprocess, BasePreprocess)]
        ['squeeze', 'center-crop']
    """

    summary: ClassVar[str]
    """What is done, in a line."""

    @abstractmethod
    def region(self, size: tuple[int, int], spec: InputSpec) -> Region:
        """Return the part (x0, y0, x1, y1) of a picture of `size` that the network sees."""

    @abstractmethod
    def input_size(self, spec: InputSpec) -> tuple[int, int]:
        """Return (width, height) of the network's input."""


@final
class Squeeze(BasePreprocess):
    """The whole picture squeezed to the input size: nothing is cut off, the aspect ratio is lost.

    What the CAM paper does, and what localization is scored on: an object at the border stays.

    Example:
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> Squeeze().region((500, 375), spec), Squeeze().input_size(spec)
        ((0.0, 0.0, 500.0, 375.0), (224, 224))
    """

    summary: ClassVar[str] = "whole picture squeezed to the input size; nothing is cut off"

    name: Literal["squeeze"] = "squeeze"

    size: Annotated[int, Field(ge=32, le=4096)] | None = None
    """Side of the square input in pixels; the network's own by default."""

    def region(self, size: tuple[int, int], spec: InputSpec) -> Region:  # noqa: ARG002
        """Return the part (x0, y0, x1, y1) of a picture of `size` that the network sees."""
        return 0.0, 0.0, float(size[0]), float(size[1])

    def input_size(self, spec: InputSpec) -> tuple[int, int]:
        """Return (width, height) of the network's input."""
        return spec.size if self.size is None else (self.size, self.size)


@final
class CenterCrop(BasePreprocess):
    """The shorter side resized, the centre cut out: how classifiers are commonly evaluated.

    The map covers the cut-out part only; it is put back in place, and what was cut off can be in
    no box.

    Example:
        >>> from camtool.structures import InputSpec
        >>> spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.875)
        >>> CenterCrop().region((512, 256), spec)
        (144.0, 16.0, 368.0, 240.0)
    """

    summary: ClassVar[str] = "shorter side resized, centre cut out; the map is put back in place"

    name: Literal["center-crop"] = "center-crop"

    size: Annotated[int, Field(ge=32, le=4096)] | None = None
    """Side of the square input in pixels; the network's own by default."""

    crop_fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    """Side of the crop over the shorter side it is cut from; the network's own by default."""

    def region(self, size: tuple[int, int], spec: InputSpec) -> Region:
        """Return the part (x0, y0, x1, y1) of a picture of `size` that the network sees.

        Sizes and offsets are rounded as torchvision's Resize and CenterCrop round them.
        """
        side = self.input_size(spec)[0]
        short = int(side / (self.crop_fraction or spec.crop_fraction))
        width, height = size
        if width <= height:
            resized = short, int(short * height / width)
        else:
            resized = int(short * width / height), short
        left = round((resized[0] - side) / 2.0)
        top = round((resized[1] - side) / 2.0)
        fx, fy = width / resized[0], height / resized[1]
        return left * fx, top * fy, (left + side) * fx, (top + side) * fy

    def input_size(self, spec: InputSpec) -> tuple[int, int]:
        """Return (width, height) of the network's input."""
        side = self.size or spec.size[0]
        return side, side


Preprocess = Annotated[Squeeze | CenterCrop, Field(discriminator="name")]
"""Every way to fit a picture into a network's input."""


def prepare(
    image: Image.Image, preprocess: BasePreprocess, spec: InputSpec
) -> tuple[NDArray[np.float32], Region]:
    """Return a picture as network input, shape (3, h, w) float32, and the region it shows.

    The region is resampled straight from the picture, so a strip of 1×2000 pixels never grows to
    the millions of pixels that resizing its shorter side first would take.
    """
    region = preprocess.region(image.size, spec)
    return resample(image, region, preprocess.input_size(spec), spec), region


def resample(
    image: Image.Image, region: Region, size: tuple[int, int], spec: InputSpec
) -> NDArray[np.float32]:
    """Return a region (x0, y0, x1, y1) of a picture as network input of `size` (width, height)."""
    return normalise(image.resize(size, _RESAMPLING[spec.interpolation], box=region), spec)
