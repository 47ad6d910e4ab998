"""A classifier in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["Trainee"]


class Trainee(nn.Module):
    """A classifier whose forward pass gives what a step needs: here the logits, shape (B, C)."""

    def __init__(self, classifier: Classifier) -> None:
        """Wrap a prepared classifier."""
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor, *_: Any) -> Any:  # noqa: ANN401 (a trainee's own)
        """Return the logits of images (B, 3, H, W)."""
        return self.classifier(images).logits

    def new_modules(self) -> list[nn.Module]:
        """Return the modules whose own weights are new beside pretrained ones, none twice."""
        return self.classifier.new_modules()
