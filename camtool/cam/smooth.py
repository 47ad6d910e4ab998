"""Smooth Grad-CAM++: derivatives averaged over noisy copies of the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.gradient import ratio
from camtool.cam.method import LayerMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.capture import Capture
    from camtool.models.classifier import Classifier, Forward

__all__ = ["SmoothGradCamPlusPlus"]


@final
class SmoothGradCamPlusPlus(LayerMethod):
    """Smooth Grad-CAM++: Grad-CAM++ with the means of the derivatives over n noisy images.

    With `D^p` the mean of `g^p` over the copies and `A_k` the features of the image itself,
    `α_k = D¹_k / (2 D²_k + (Σ_ab A_k) D³_k)`, 0 where `D¹_k` is 0, `w_k = Σ_xy α_k ReLU(D¹_k)`
    and `M_c = ReLU(Σ_k w_k A_k)`. Omeiza, Speakman, Cintas, Weldermariam: Smooth Grad-CAM++,
    IntelliSys 2019, arXiv:1908.01224, which puts the first derivative into the numerator where
    Grad-CAM++ has the second; `numerator` chooses.
    """

    paper: ClassVar[str] = "Omeiza et al., IntelliSys 2019, arXiv:1908.01224"
    needs: ClassVar[str] = "gradient, layer"
    passes: ClassVar[str] = "1 (+1) + n forward, n backward a class (n = 8 samples)"
    gradients: ClassVar[bool] = True

    name: Literal["smooth-grad-cam++"] = "smooth-grad-cam++"

    samples: Annotated[int, Field(ge=1, le=1000)] = 8
    """Noisy copies n of an image."""

    sigma: Annotated[float, Field(ge=0)] = 0.3
    """Standard deviation of the noise, in units of the normalised input."""

    numerator: Literal["first", "second"] = "first"
    """Power of the derivative in the numerator of α: as the paper prints it (`first`), or as
    Grad-CAM++ has it (`second`)."""

    relu: bool = True
    """Keep what speaks for the class only, as the paper does."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the noise, which is the same for every image."""

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.capture import capture

        check_call(classifier, images, classes)
        with capture(classifier, self.layers) as captured:
            captured.scores(images, forward)
            (features,) = captured.grids()
            powers = self._powers(captured, images, classes)
        total = features.sum((2, 3), keepdim=True)
        maps = [self._map(features, total, *p) for p in powers]
        return torch.stack(maps, 1)

    def _powers(
        self, captured: Capture, images: Tensor, classes: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Means of g, g² and g³ over the copies, for each class; one copy at a time is held."""
        from camtool.cam.noise import noisy

        sums: list[tuple[Tensor, Tensor, Tensor]] = []
        for copy in noisy(images, self.samples, self.sigma, self.seed):
            captured.scores(copy)
            new = []
            for column in classes.unbind(1):
                (g,) = captured.gradients(column)
                new.append((g, g**2, g**3))
            sums = _added(sums, new) if sums else new
        n = self.samples
        return [(a / n, b / n, c / n) for a, b, c in sums]

    def _map(
        self, features: Tensor, total: Tensor, first: Tensor, second: Tensor, third: Tensor
    ) -> Tensor:
        numerator = first if self.numerator == "first" else second
        alpha = ratio(numerator, 2 * second + total * third).masked_fill(first == 0, 0)
        weights = (alpha * first.relu()).sum((2, 3), keepdim=True)
        maps = (weights * features).sum(1)
        return maps.relu() if self.relu else maps


def _added(
    sums: list[tuple[Tensor, Tensor, Tensor]], new: list[tuple[Tensor, Tensor, Tensor]]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(sums, new, strict=True)]
