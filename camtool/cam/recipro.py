"""ReciproCAM: what one place of the features alone says of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.method import Score, check_probabilities
from camtool.cam.scored import ImageByImage

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.capture import Capture
    from camtool.models.classifier import Classifier

__all__ = ["ReciproCam"]


@final
class ReciproCam(ImageByImage):
    """Recipro-CAM: `M_c(x, y) = p_c(A ⊙ K_xy)`, the score when only one place is left.

    `K_xy` is a Gaussian of 3×3 around the place, or the place alone. The passes begin at the layer
    where it is the grid before the network's pooling; tokens without a place (class token) stay.
    Byun, Lee: Recipro-CAM: Fast gradient-free visual explanations for convolutional neural
    networks, 2022, arXiv:2209.14074.
    """

    paper: ClassVar[str] = "Byun, Lee, 2022, arXiv:2209.14074"
    needs: ClassVar[str] = "layer"
    passes: ClassVar[str] = "1 (+1) + h·w forward, of the head alone without the +1"

    name: Literal["recipro-cam"] = "recipro-cam"

    gaussian: bool = True
    """Leave the eight places around it, too, with the weights of a 3×3 Gaussian."""

    score: Score = "probability"
    """The paper's score is the probability."""

    def check(self, classifier: Classifier) -> None:
        """Refuse one class, whose probability says nothing, and a network without the layer."""
        if self.score == "probability":
            check_probabilities(classifier, "score: logit")
        super().check(classifier)

    def one(
        self, captured: Capture, image: Tensor, features: Tensor, logits: Tensor, classes: Tensor
    ) -> Tensor:
        """Return the maps of one image."""
        from camtool.cam.passes import score_in_chunks

        del logits
        _, height, width = features.shape
        masks = _masks(height, width, gaussian=self.gaussian).to(features)

        def run(start: int, stop: int) -> Tensor:
            left = features * masks[start:stop, None]
            return captured.rescored(image.expand(stop - start, -1, -1, -1), left)

        scores = score_in_chunks(run, len(masks), self.chunk, classes, self.score)
        return scores.T.reshape(-1, height, width)


def _masks(height: int, width: int, *, gaussian: bool) -> Tensor:
    """One mask (h, w) for each place, row by row: shape (h·w, h, w)."""
    import torch

    def along(count: int) -> Tensor:
        distance = (torch.arange(count)[:, None] - torch.arange(count)).abs()
        return torch.tensor([0.5, 0.25, 0.0])[distance.clamp(max=2)]

    if not gaussian:
        return torch.eye(height * width).view(-1, height, width)
    rows, columns = along(height), along(width)
    return torch.einsum("yh,xw->yxhw", rows, columns).flatten(0, 1)
