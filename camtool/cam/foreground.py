"""The class activation map times a foreground map: which object, and how far it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.cam.method import MapMethod, check_call
from camtool.errors import ModelError

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

_Exponent = Annotated[float, Field(ge=0, le=10)]


@final
class ForegroundCam(MapMethod):
    """Foreground times class activation map: `F_c(x, y) = M_c^a · (max(0, CAM_c) / max CAM_c)^b`.

    M in [0, 1] is made by a foreground head, a few layers on the frozen network that learned from
    pictures without boxes which places the network needs to see the class (`camtool train` with
    `train.method: foreground`). M outlines objects and the class activation map chooses among them.
    A class whose activation map is positive nowhere has the map 0. The product follows the idea of
    Wu et al., *Background Activation Suppression*, CVPR 2022, https://arxiv.org/abs/2112.00580.

    The head is the network's own where it was trained with one, else the one that comes with
    camtool for the bundled network's features. A threshold of about .5 fits its maps.

    Needs: linear head on pooled features; a foreground head. Cost: 1 forward.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network, method = ModelSettings().build(), ForegroundCam()
        >>> method.prepare(network)
        >>> forward = network(torch.zeros(1, 3, 224, 224))
        >>> maps = method.maps(network, torch.zeros(1, 3, 224, 224), forward, torch.tensor([[7]]))
        >>> maps.shape, bool((maps >= 0).all() and (maps <= 1).all())
        (torch.Size([1, 1, 14, 14]), True)
    """

    paper: ClassVar[str] = "after Wu et al., CVPR 2022, arXiv:2112.00580"
    needs: ClassVar[str] = "linear head on pooled features; a foreground head"
    passes: ClassVar[str] = "1 forward"

    THRESHOLD: ClassVar[float] = 0.5
    """Threshold of the rule `paper` that fits these maps."""

    name: Literal["foreground"] = "foreground"

    foreground: _Exponent = 0.5
    """Exponent a of M; 0 leaves the class activation map alone, on the finer grid."""

    cam: _Exponent = 0.35
    """Exponent b of the class activation map; 0 leaves M alone."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.foreground == self.cam == 0:
            raise ValueError("foreground and cam are both 0: the map would be 1 everywhere")
        return self

    def prepare(self, classifier: Classifier) -> None:
        """Put the head that comes with camtool on the network, where it has none and this fits."""
        from camtool.models.foreground import attach, packaged

        if classifier.foreground is None and (head := packaged(classifier)) is not None:
            attach(classifier, head)

    def check(self, classifier: Classifier) -> None:
        """Refuse a network without a linear head, or without a foreground head."""
        from camtool.cam.capture import check_linear

        check_linear(classifier)
        if classifier.foreground is None:
            raise ModelError(
                f"{classifier.name}: has no foreground head, and none comes with camtool for its"
                " weights; train one in minutes, without boxes: camtool train PHOTOS --set"
                " train.method=foreground (-m NETWORK)"
            )

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps, on the grid of the foreground; see `MapMethod.maps`."""
        import torch
        from torch.nn.functional import interpolate

        from camtool.models.foreground import relative

        check_call(classifier, images, classes)
        self.check(classifier)
        assert classifier.foreground is not None
        with torch.no_grad():
            plain = classifier.head.class_maps(forward.features, classes).float()
            logits = classifier.foreground(forward, plain)
            share = interpolate(
                relative(plain), logits.shape[2:], mode="bilinear", align_corners=False
            )
            product: Tensor = logits.sigmoid() ** self.foreground * share**self.cam
            # 0⁰ is 1, but what shows no class shows no object of it.
            return torch.where(plain.amax((2, 3), keepdim=True) > 0, product, 0.0)
