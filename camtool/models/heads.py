"""What turns features into class scores, and the same scores spread over the grid.

Every head is linear in the features once its image is fixed, so each keeps, for every image and
class, the exact equality

    mean over (y, x) of class_maps[b, n]  +  bias[classes[b, n]]  =  logits[b, classes[b, n]]

(Zhou et al. 2016, section 2). The bias is no part of the map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Head", "LinearHead", "NormLinearHead", "PerClassHead"]


class Head(nn.Module, ABC):
    """Global average pooling and what follows it up to the logits."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (B, C), of features of shape (B, K, h, w)."""

    @abstractmethod
    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the maps, shape (B, n, h, w), of `classes`, int64 of shape (B, n)."""

    @abstractmethod
    def bias(self) -> Tensor:
        """Return what the maps leave out of the logits, shape (C,)."""


def _weighted(features: Tensor, weights: Tensor) -> Tensor:
    """A 1×1 convolution with weights of its own, shape (B, n, K), for each image."""
    b, k, h, w = features.shape
    return torch.bmm(weights, features.reshape(b, k, h * w)).view(b, -1, h, w)


@final
class LinearHead(Head):
    """GAP + linear: `M_c = Σ_k w_ck f_k` (Zhou et al. 2016, eq. 2)."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Take the classifier's weight, shape (C, K), and bias, shape (C,)."""
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        return F.linear(features.mean((2, 3)), self.weight, self.offset)

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the class activation maps."""
        return _weighted(features, self.weight[classes])

    def bias(self) -> Tensor:
        """Return the linear layer's bias."""
        return self.offset


@final
class NormLinearHead(Head):
    """GAP + LayerNorm + linear (ConvNeXt).

    With p the pooled vector and σ its standard deviation, the logit is
    `Σ_k w_ck γ_k (p_k - mean(p)) / σ + (w_c·β + b_c)`: linear in p once σ is known. So the map of
    one image is a CAM with the weights `(w_ck γ_k - mean_j(w_cj γ_j)) / σ`, exactly.
    """

    def __init__(
        self, norm: tuple[Tensor | None, Tensor | None, float], weight: Tensor, bias: Tensor | None
    ) -> None:
        """Take the norm's (γ, β, ε), the classifier's weight (C, K) and bias (C,)."""
        super().__init__()
        gamma, beta, self.eps = norm
        channels = weight.shape[1]
        self.gamma = nn.Parameter(weight.new_ones(channels) if gamma is None else gamma)
        self.beta = nn.Parameter(weight.new_zeros(channels) if beta is None else beta)
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        pooled = features.mean((2, 3))
        normed = F.layer_norm(pooled, pooled.shape[1:], self.gamma, self.beta, self.eps)
        return F.linear(normed, self.weight, self.offset)

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the class activation maps, scaled by each image's own norm."""
        variance = features.mean((2, 3)).var(1, correction=0)
        scaled = self.weight[classes] * self.gamma
        centred = scaled - scaled.mean(2, keepdim=True)
        return _weighted(features, centred / (variance + self.eps).sqrt()[:, None, None])

    def bias(self) -> Tensor:
        """Return the linear layer's bias and what the norm's shift adds to it."""
        return self.weight @ self.beta + self.offset


@final
class PerClassHead(Head):
    """Pooling of per-class maps (NIN, SqueezeNet): feature c is the map of class c."""

    def __init__(self, classes: int) -> None:
        """Take the number of classes, which is that of the feature channels."""
        super().__init__()
        self.register_buffer("zeros", torch.zeros(classes), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        return features.mean((2, 3))

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the features of the given classes."""
        return features[torch.arange(len(features), device=features.device)[:, None], classes]

    def bias(self) -> Tensor:
        """Return zeros: the map is all there is."""
        return self.get_buffer("zeros")
