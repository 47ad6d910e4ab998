"""Layer-CAM: gradients pixel by pixel, from one layer or from several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.gradient import ratio
from camtool.cam.method import MapMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["LayerCam"]


@final
class LayerCam(MapMethod):
    """Layer-CAM: `M_c = ReLU(Σ_k ReLU(g_k) ⊙ A_k)`, `g_k` the gradient of the class score.

    Jiang, Zhang, Hou, Cheng, Wei: LayerCAM: Exploring Hierarchical Class Activation Maps for
    Localization, IEEE Transactions on Image Processing 2021. With several layers, each map is
    divided by its maximum, all but that of the last layer become `tanh(γ M / max M)`, and on the
    finest grid the largest value of all is taken, as the paper does.
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
        from camtool.cam.layers import check_layers

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
