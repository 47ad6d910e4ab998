"""Augmentation: how a training image is varied each time it is seen.

The transforms are torchvision's. Each image has a seed of its own, made of the run's seed, the
epoch and the image's place, so that nothing depends on the number of workers or on a resume.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Transform = Callable[[Tensor], Tensor]


_Share = Annotated[float, Field(gt=0, le=1)]
_Range = tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(gt=0, le=100)]]


class BaseAugmentation(Settings):
    """Base of the augmentations."""

    summary: ClassVar[str]

    mirror: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Probability of a mirrored image."""

    colour: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Strength of random brightness, contrast and saturation; 0: none."""

    @abstractmethod
    def fit(self, size: tuple[int, int], interpolation: str) -> list[Transform]:
        """Return the transforms that bring an image to `size` (width, height)."""

    def transform(self, size: tuple[int, int], interpolation: str) -> Transform:
        """Return the whole augmentation.

        Args:
            size: (width, height) of the network's input.
            interpolation: name of the resampling filter.

        Returns:
            A function from an image, uint8 of shape (3, H, W), to one of shape (3, height, width).
            It draws from torch's global generator.
        """
        from torchvision.transforms import v2

        steps = self.fit(size, interpolation)
        if self.mirror:
            steps.append(v2.RandomHorizontalFlip(self.mirror))
        if self.colour:
            steps.append(v2.ColorJitter(self.colour, self.colour, self.colour))
        composed: Transform = v2.Compose(steps)
        return composed


@final
class RandomResizedCrop(BaseAugmentation):
    """A random part of random size and shape, resized to the input (Szegedy et al. 2015)."""

    summary: ClassVar[str] = "a random part of the image, resized to the input"

    name: Literal["random-resized-crop"] = "random-resized-crop"

    scale: tuple[_Share, _Share] = (0.25, 1.0)
    """Smallest and largest area of the part, as a share of the image."""

    ratio: _Range = (0.75, 4 / 3)
    """Smallest and largest aspect ratio of the part."""

    @model_validator(mode="after")
    def _in_order(self) -> RandomResizedCrop:
        for key in ("scale", "ratio"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: the smallest ({low:g}) is above the largest ({high:g})")
        return self

    def fit(self, size: tuple[int, int], interpolation: str) -> list[Transform]:
        """Return the crop."""
        from torchvision.transforms import v2

        shape = size[1], size[0]
        mode = _mode(interpolation)
        return [v2.RandomResizedCrop(shape, self.scale, self.ratio, mode, antialias=True)]


@final
class ResizeCrop(BaseAugmentation):
    """The whole image squeezed to a larger square, of which a random crop is taken.

    What the CAM paper's networks were trained with: 256×256, crops of 224.
    """

    summary: ClassVar[str] = "squeezed to a larger size, then a random crop (the CAM paper's)"

    name: Literal["resize-crop"] = "resize-crop"

    margin: Annotated[float, Field(ge=1, le=4)] = 256 / 224
    """Size before the crop over size of the input."""

    def fit(self, size: tuple[int, int], interpolation: str) -> list[Transform]:
        """Return the resize and the crop."""
        from torchvision.transforms import v2

        larger = [round(size[1] * self.margin), round(size[0] * self.margin)]
        resize = v2.Resize(larger, _mode(interpolation), antialias=True)
        return [resize, v2.RandomCrop([size[1], size[0]])]


@final
class ResizeOnly(BaseAugmentation):
    """The whole image squeezed to the input; only mirrored."""

    summary: ClassVar[str] = "squeezed to the input, nothing cut off"

    name: Literal["resize"] = "resize"

    def fit(self, size: tuple[int, int], interpolation: str) -> list[Transform]:
        """Return the resize."""
        from torchvision.transforms import v2

        return [v2.Resize([size[1], size[0]], _mode(interpolation), antialias=True)]


def _mode(interpolation: str) -> object:
    from torchvision.transforms import InterpolationMode

    return InterpolationMode(interpolation)


Augmentation = Annotated[RandomResizedCrop | ResizeCrop | ResizeOnly, Field(discriminator="name")]
"""Every way to vary a training image."""
