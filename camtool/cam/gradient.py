"""Maps from the gradient of the class score at a layer: the Grad-CAM family.

Written `A_k` for the features of a layer, `g_k = ∂S_c / ∂A_k` for their gradient, `S_c` for the
class score before softmax. All but Layer-CAM look at one layer.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.method import LayerMethod, MapMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.capture import Capture
    from camtool.models.classifier import Classifier, Forward


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
    Networks via Gradient-based Localization, ICCV 2017, https://arxiv.org/abs/1610.02391. On a
    network that ends in global average pooling and a linear layer, `h·w` times the map before ReLU
    is CAM.

    Needs: gradient, layer. Cost: 1 (+1) forward, 1 backward a class.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> forward, classes = network(images), torch.tensor([[3, 7]])
        >>> maps = GradCam(relu=False).maps(network, images, forward, classes)
        >>> cam, (h, w) = network.head.class_maps(forward.features, classes), maps.shape[2:]
        >>> torch.allclose(h * w * maps, cam, atol=1e-5)
        True
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
    `exp(S_c)`; its derivatives are `exp(S_c)` times powers of `g_k`, and that factor, one number an
    image and class, is left out. Chattopadhay, Sarkar, Howlader, Balasubramanian: Grad-CAM++, WACV
    2018, https://arxiv.org/abs/1710.11063, equations 10 to 19.

    Needs: gradient, layer. Cost: 1 (+1) forward, 1 backward a class.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = GradCamPlusPlus().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
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

    Fu, Hu, Dong, Guo, Gao, Li: Axiom-based Grad-CAM, BMVC 2020, https://arxiv.org/abs/2008.02312. A
    channel whose features add up to 0 has weight 0.

    Needs: gradient, layer. Cost: 1 (+1) forward, 1 backward a class.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = XGradCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
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
    neural networks, 2020, https://arxiv.org/abs/2011.08891. Equal to Grad-CAM before its ReLU on a
    network that ends in global average pooling and a linear layer.

    Needs: gradient, layer. Cost: 1 (+1) forward, 1 backward a class.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> forward, classes = network(images), torch.tensor([[3, 7]])
        >>> maps = HiResCam().maps(network, images, forward, classes)
        >>> twin = GradCam(relu=False).maps(network, images, forward, classes)
        >>> torch.allclose(maps, twin, atol=1e-5)
        True
    """

    paper: ClassVar[str] = "Draelos, Carin, 2020, arXiv:2011.08891"

    name: Literal["hires-cam"] = "hires-cam"

    relu: bool = False
    """Keep what speaks for the class only."""

    def weighted(self, features: Tensor, gradients: Tensor) -> Tensor:
        """Return the maps of one class."""
        maps = (gradients * features).sum(1)
        return maps.relu() if self.relu else maps


@final
class LayerCam(MapMethod):
    """Layer-CAM: `M_c = ReLU(Σ_k ReLU(g_k) ⊙ A_k)`, `g_k` the gradient of the class score.

    Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization, IEEE Transactions on Image Processing 2021,
    https://doi.org/10.1109/TIP.2021.3089943. With several layers, each map is divided by its
    maximum, all but that of the last layer become `tanh(γ M / max M)`, and on the finest grid the
    largest value of all is taken, as the paper does.

    Needs: gradient, one or several layers. Cost: 1 (+1) forward, 1 backward a class.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> method = LayerCam(layers=("layer3", "layer4"))
        >>> maps = method.maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 4, 6])
    """

    paper: ClassVar[str] = "Jiang et al., TIP 2021, doi:10.1109/TIP.2021.3089943"
    needs: ClassVar[str] = "gradient, one or several layers"
    passes: ClassVar[str] = "1 (+1) forward, 1 backward a class"
    gradients: ClassVar[bool] = True

    name: Literal["layer-cam"] = "layer-cam"

    layers: tuple[str, ...] = ()
    """Layers from first to last, as the network's code names them; by default the last one with a
    grid."""

    gamma: Annotated[float, Field(gt=0)] = 2.0
    """Strength γ of the tanh that lifts the maps of earlier layers."""

    def check(self, classifier: Classifier) -> None:
        """Refuse a network without such layers."""
        from camtool.cam.capture import check_layers

        check_layers(classifier, self.layers)

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.capture import capture

        check_call(classifier, images, classes)
        with capture(classifier, self.layers) as captured:
            captured.scores(images, forward)
            grids = captured.grids()
            maps = []
            for column in classes.unbind(1):
                pairs = zip(grids, captured.gradients(column), strict=True)
                maps.append(self._fused([(g.relu() * a).sum(1).relu() for a, g in pairs]))
        return torch.stack(maps, 1)

    def _fused(self, maps: list[Tensor]) -> Tensor:
        """One map of those of all layers, each (B, h, w) on a grid of its own."""
        import torch
        import torch.nn.functional as F

        if len(maps) == 1:
            return maps[0]
        finest = max((m.shape[1:] for m in maps), key=lambda shape: shape[0] * shape[1])
        scaled = [ratio(m, m.amax((1, 2), keepdim=True)) for m in maps]
        lifted = [torch.tanh(self.gamma * m) for m in scaled[:-1]] + scaled[-1:]
        resized = [F.interpolate(m[:, None], finest, mode="bilinear")[:, 0] for m in lifted]
        return torch.stack(resized).amax(0)


@final
class SmoothGradCamPlusPlus(LayerMethod):
    """Smooth Grad-CAM++: Grad-CAM++ with the means of the derivatives over n noisy images.

    With `D^p` the mean of `g^p` over the copies and `A_k` the features of the image itself,
    `α_k = D¹_k / (2 D²_k + (Σ_ab A_k) D³_k)`, 0 where `D¹_k` is 0, `w_k = Σ_xy α_k ReLU(D¹_k)` and
    `M_c = ReLU(Σ_k w_k A_k)`. Omeiza, Speakman, Cintas, Weldermariam: Smooth Grad-CAM++, IntelliSys
    2019, https://arxiv.org/abs/1908.01224, which puts the first derivative into the numerator where
    Grad-CAM++ has the second; `numerator` chooses.

    Needs: gradient, layer. Cost: 1 (+1) + n forward, n backward a class (n = 8 samples).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> method = SmoothGradCamPlusPlus(samples=2)
        >>> maps = method.maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
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
        from camtool.cam.passes import noisy

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
