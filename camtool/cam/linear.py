"""Maps that are linear in the features: no gradient, no hook, no second pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["Cam"]


@final
class Cam(Settings):
    """Class activation map: `M_c(x, y) = Σ_k w_ck f_k(x, y)`.

    Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative
    Localization, CVPR 2016, arXiv:1512.04150. With GAP the map's mean plus the bias is the class's
    logit; `camtool.models.heads` says what holds for other poolings.
    Needs a head that is linear in the pooled features; costs nothing beyond the forward pass.
    """

    paper: ClassVar[str] = "Zhou et al., CVPR 2016, arXiv:1512.04150"
    needs: ClassVar[str] = "linear head after global average pooling"
    passes: ClassVar[str] = "1 forward"

    name: Literal["cam"] = "cam"

    def maps(
        self,
        classifier: Classifier,
        images: Tensor,  # noqa: ARG002 (the methods' common signature)
        forward: Forward,
        classes: Tensor,
    ) -> Tensor:
        """Return the maps of some classes of each image.

        Args:
            classifier: the network.
            images: its input, shape (B, 3, H, W); not needed here.
            forward: what the network answered to `images`.
            classes: class indices, int64 of shape (B, n).

        Returns:
            Maps of shape (B, n, h, w), on the grid of the features, any range.
        """
        return classifier.head.class_maps(forward.features, classes)
