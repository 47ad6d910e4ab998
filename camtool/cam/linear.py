"""Maps that are linear in the features: no gradient, no hook, no second pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.method import MapMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward


@final
class Cam(MapMethod):
    """Class activation map: `M_c(x, y) = Σ_k w_ck f_k(x, y)`.

    Zhou, Khosla, Lapedriza, Oliva, Torralba: Learning Deep Features for Discriminative
    Localization, CVPR 2016, https://arxiv.org/abs/1512.04150. With GAP the map's mean plus the bias
    is the class's logit; `camtool.models.heads` says what holds for other poolings.

    Needs: linear head on pooled features, or maps of classes that are pooled. Cost: 1 forward.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> forward = network(images)
        >>> maps = Cam().maps(network, images, forward, torch.tensor([[3, 7]]))
        >>> scores = maps.mean((2, 3)) + network.head.bias()[[3, 7]]
        >>> torch.allclose(scores, forward.logits[:, [3, 7]], atol=1e-5)
        True
    """

    paper: ClassVar[str] = "Zhou et al., CVPR 2016, arXiv:1512.04150"
    needs: ClassVar[str] = "linear head on pooled features, or maps of classes that are pooled"
    passes: ClassVar[str] = "1 forward"

    name: Literal["cam"] = "cam"

    def check(self, classifier: Classifier) -> None:
        """Refuse a network whose scores are not linear in pooled features."""
        from camtool.cam.capture import check_linear

        check_linear(classifier)

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        check_call(classifier, images, classes)
        with torch.no_grad():
            return classifier.head.class_maps(forward.features, classes).float()
