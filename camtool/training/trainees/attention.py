"""A classifier with attention-based dropout among its features (Choe & Shim 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from camtool.training.trainees.base import Trainee

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["AttentionDropout", "AttentionTrainee"]


@final
class AttentionDropout(nn.Module):
    """Multiplies features by a drop mask or by an importance map, both made from their own mean."""

    def __init__(self, threshold: float) -> None:
        """Take the share of an image's maximum above which places are dropped."""
        super().__init__()
        self.threshold = threshold

    def forward(self, features: Tensor, drop: Tensor | None, number: int) -> Tensor:
        """Return the features (B, K, h, w), dropped or weighed in training.

        `drop` is bool, a value for each such layer of the network: drop or weigh; None: neither.
        `number` tells which value is this layer's.
        """
        if drop is None or not self.training:
            return features
        attention = features.mean(1, keepdim=True)
        top = attention.amax((2, 3), keepdim=True)
        mask = (attention < self.threshold * top).to(features.dtype)
        return features * torch.where(drop[number], mask, attention.sigmoid())


@final
class AttentionTrainee(Trainee):
    """Draws reach the layers within the features, and the one at their end, as an argument."""

    def __init__(self, classifier: Classifier, threshold: float) -> None:
        """Take a classifier whose features have the other layers already."""
        super().__init__(classifier)
        self.last = AttentionDropout(threshold)

    def forward(self, images: Tensor, drop: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W); `drop` as the layers take it, last last."""
        within = (drop,) if len(drop) > 1 else ()
        features: Tensor = self.classifier.features(images, *within)
        logits: Tensor = self.classifier.head(self.last(features, drop, -1))
        return logits
