"""Maps from the gradient of the class score at a layer: the Grad-CAM family.

Written `A_k` for the features of a layer, `g_k = ∂S_c / ∂A_k` for their gradient, `S_c` for the
class score before softmax. All but Layer-CAM look at one layer.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.method import LayerMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["GradCam", "GradCamPlusPlus", "GradientMap", "HiResCam", "XGradCam", "ratio"]


class GradientMap(LayerMethod):
    """A map that one layer's features and gradients give."""

    needs: ClassVar[str] = "gradient, layer"
    passes: ClassVar[str] = "1 (+1) forward, 1 backward a class"
    gradients: ClassVar[bool] = True

    @abstractmethod
    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return maps, shape (B, h, w), of features and gradients of shape (B, K, h, w)."""

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
            maps = [self.weighted(features, *captured.gradients(c)) for c in classes.unbind(1)]
        return torch.stack(maps, 1)


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return the quotient, 0 where the denominator is 0."""
    zero = denominator == 0
    return (numerator / denominator.masked_fill(zero, 1)).masked_fill(zero, 0)


@final
class GradCam(GradientMap):
    """Grad-CAM: `M_c = ReLU(Σ_k α_k A_k)` with `α_k = mean_xy g_k`.

    Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: Grad-CAM: Visual Explanations from Deep
    Networks via Gradient-based Localization, ICCV 2017, arXiv:1610.02391. On a network that ends
    in global average pooling and a linear layer, `h·w` times the map before ReLU is CAM.
    """

    paper: ClassVar[str] = "Selvaraju et al., ICCV 2017, arXiv:1610.02391"

    name: Literal["grad-cam"] = "grad-cam"

    relu: bool = True
    """Keep what speaks for the class only, as the paper does."""

    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps of one class."""
        maps = (gradients.mean((2, 3), keepdim=True) * features).sum(1)
        return maps.relu() if self.relu else maps


@final
class GradCamPlusPlus(GradientMap):
    """Grad-CAM++: `M_c = ReLU(Σ_k w_k A_k)` with `w_k = Σ_xy α_k ReLU(g_k)`.

    There `α_k = g_k² / (2 g_k² + (Σ_ab A_k) g_k³)`, 0 where `g_k` is 0. The paper's score is
    `exp(S_c)`; its derivatives are `exp(S_c)` times powers of `g_k`, and that factor, one number
    an image and class, is left out. Chattopadhay, Sarkar, Howlader, Balasubramanian: Grad-CAM++,
    WACV 2018, arXiv:1710.11063, equations 10 to 19.
    """

    paper: ClassVar[str] = "Chattopadhay et al., WACV 2018, arXiv:1710.11063"

    name: Literal["grad-cam++"] = "grad-cam++"

    relu: bool = True
    """Keep what speaks for the class only, as the paper does."""

    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps of one class."""
        # Both sides of the quotient by g²: gradients are small, and their squares vanish.
        total = features.sum((2, 3), keepdim=True)
        alpha = ratio(gradients.new_ones(()), 2 + total * gradients)
        weights = (alpha * gradients.relu()).sum((2, 3), keepdim=True)
        maps = (weights * features).sum(1)
        return maps.relu() if self.relu else maps


@final
class XGradCam(GradientMap):
    """XGrad-CAM: `M_c = ReLU(Σ_k α_k A_k)` with `α_k = Σ_xy g_k A_k / Σ_xy A_k`.

    Fu, Hu, Dong, Guo, Gao, Li: Axiom-based Grad-CAM, BMVC 2020, arXiv:2008.02312. A channel whose
    features add up to 0 has weight 0.
    """

    paper: ClassVar[str] = "Fu et al., BMVC 2020, arXiv:2008.02312"

    name: Literal["xgrad-cam"] = "xgrad-cam"

    relu: bool = True
    """Keep what speaks for the class only, as the paper's program does."""

    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps of one class."""
        product = (gradients * features).sum((2, 3), keepdim=True)
        alpha = ratio(product, features.sum((2, 3), keepdim=True))
        maps = (alpha * features).sum(1)
        return maps.relu() if self.relu else maps


@final
class HiResCam(GradientMap):
    """HiResCAM: `M_c = Σ_k g_k ⊙ A_k`, without averaging and without ReLU.

    Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional
    neural networks, 2020, arXiv:2011.08891. Equal to Grad-CAM before its ReLU on a network that
    ends in global average pooling and a linear layer.
    """

    paper: ClassVar[str] = "Draelos, Carin, 2020, arXiv:2011.08891"

    name: Literal["hires-cam"] = "hires-cam"

    relu: bool = False
    """Keep what speaks for the class only."""

    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps of one class."""
        maps = (gradients * features).sum(1)
        return maps.relu() if self.relu else maps
