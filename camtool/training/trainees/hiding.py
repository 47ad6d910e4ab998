"""A classifier that sees its pictures with pixels hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from camtool.training.trainees.base import Trainee

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["HidingTrainee"]


@final
class HidingTrainee(Trainee):
    """Puts one colour over the hidden pixels."""

    fill: Tensor

    def __init__(self, classifier: Classifier, fill: tuple[float, float, float]) -> None:
        """Take the colour R, G, B, each in [0, 1], before the classifier's normalisation."""
        super().__init__(classifier)
        spec = classifier.spec
        colour = (torch.tensor(fill) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
        self.register_buffer("fill", colour.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W) without `hidden`, bool of (B, 1, H, W)."""
        shown = torch.where(hidden, self.fill.to(images.dtype), images)
        logits: Tensor = self.classifier(shown).logits
        return logits
