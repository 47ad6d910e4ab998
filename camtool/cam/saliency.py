"""Saliency: the gradient of a class score at the pixels themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.method import MapMethod, check_call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward


@final
class Backprop(MapMethod):
    """Saliency by backprop: `M_c(x, y) = max over colours of |∂S_c / ∂I(x, y)|`.

    Simonyan, Vedaldi, Zisserman: Deep Inside Convolutional Networks, ICLR 2014 workshop,
    https://arxiv.org/abs/1312.6034; the `backprop` rows of the CAM paper. `samples` above 1 is
    SmoothGrad (Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, https://arxiv.org/abs/1706.03825):
    the mean of the maps of noisy copies. `guided` lets only positive gradients through ReLUs
    (Springenberg et al. 2015, https://arxiv.org/abs/1412.6806).

    Needs: gradient; ReLUs if guided. Cost: 1 + n forward, n backward a class (n = 1 sample).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> method = Backprop(samples=2)
        >>> maps = method.maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 64, 96])
    """

    paper: ClassVar[str] = "Simonyan et al., ICLR workshop 2014, arXiv:1312.6034"
    needs: ClassVar[str] = "gradient; ReLUs if guided"
    passes: ClassVar[str] = "1 + n forward, n backward a class (n = 1 sample)"
    gradients: ClassVar[bool] = True

    name: Literal["backprop"] = "backprop"

    guided: bool = False
    """Guided backprop: a ReLU passes a gradient only where it is positive, too."""

    samples: Annotated[int, Field(ge=1, le=1000)] = 1
    """Copies of the image; more than one are noisy, and their maps averaged (SmoothGrad)."""

    noise: Annotated[float, Field(ge=0)] = 0.15
    """With several copies, standard deviation of the noise over the range of the input."""

    colours: Literal["max", "sum"] = "max"
    """From the three colours to one value: the largest magnitude, or the sum of magnitudes."""

    stride: Annotated[int, Field(ge=1, le=64)] = 1
    """Side of the square of pixels whose mean is one value of the map; 1: a map of full size."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the noise, which is the same for every image up to its range."""

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.passes import noisy, pooled
        from camtool.cam.pixel_gradients import pixel_gradients

        del forward
        check_call(classifier, images, classes)
        copies: Iterable[Tensor] = (images,)
        if self.samples > 1:
            spread = images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True)
            copies = noisy(images, self.samples, self.noise * spread, self.seed)
        maps = images.new_zeros(*classes.shape, *images.shape[2:], dtype=torch.float32)
        for copy in copies:
            gradients = pixel_gradients(classifier, copy, classes, guided=self.guided).abs()
            maps = maps + (gradients.amax(2) if self.colours == "max" else gradients.sum(2))
        maps = maps / self.samples
        return pooled(maps, self.stride)
