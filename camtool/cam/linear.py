"""Maps that are linear in the features: no gradient, no hook, no second pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.method import MapMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["Cam"]


@final
class Cam(MapMethod):
    """Class activation map: `M_c(x, y) = Σ_k w_ck f_k(x, y)`.

    Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative
    Localization, CVPR 2016, arXiv:1512.04150. With GAP the map's mean plus the bias is the class's
    logit; `camtool.models.heads` says what holds for other poolings.
    Needs a head that is linear in the pooled features; costs nothing beyond the forward pass.
    """

    paper: ClassVar[str] = "Zhou et al., CVPR 2016, arXiv:1512.04150"
    needs: ClassVar[str] = "linear head on pooled features, or maps of classes that are pooled"
    passes: ClassVar[str] = "1 forward"

    name: Literal["cam"] = "cam"

    def check(self, classifier: Classifier) -> None:
        """Refuse a network whose scores are not linear in pooled features."""
        from camtool.cam.layers import check_linear

        check_linear(classifier)

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        check_call(classifier, images, classes)
        with torch.no_grad():
            return classifier.head.class_maps(forward.features, classes).float()
