"""What turns features into class scores, and the same scores spread over the grid.

A head's `class_maps` and `bias` are the parts of the logits. What they satisfy, for every image
and class, follows from where the pooling acts:

    GAP          mean over (y, x) of class_maps[b, n]  +  bias[c]  =  logits[b, c]
    per class    pool(class_maps[b, n])                +  bias[c]  =  logits[b, c]
    GMP and LSE  Σ_k w_bck pool(f_bk)                  +  bias[c]  =  logits[b, c]

with `c = classes[b, n]`. In the last line the pooling acts on features, and the map is the same
weighted sum without it: `class_maps[b, n] = Σ_k w_bck f_bk`. For GAP the two are one
(Zhou et al. 2016, section 2 and its comparison with GMP). The bias is no part of the map.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camtool.models.poolings import Gap, SpatialPooling


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in single precision; one of double precision as it is.

    A network in half precision, or under autocast, gives numbers that are rounded already. Sums of
    many of them would be rounded again, to the two or three digits of bfloat16.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Return a context in which products on the tensor's device keep their precision."""
    return torch.autocast(tensor.device.type, enabled=False)


class Head(nn.Module, ABC):
    """Pooling and what follows it up to the logits."""

    pooling: SpatialPooling
    """From a grid to numbers; acts on features, or on class maps where the head says so."""

    dropout: float = 0.0
    """Probability that training drops what the linear layer reads."""

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Return logits, shape (B, C), of features of shape (B, K, h, w)."""

    @abstractmethod
    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the maps, shape (B, n, h, w), of `classes`, int64 of shape (B, n).

        Of features in half precision they are made in single precision.
        """

    @abstractmethod
    def bias(self) -> Tensor:
        """Return what the maps leave out of the logits, shape (C,)."""

    def linear_layer(self) -> LinearHead | NormLinearHead | None:
        """Return the head, where its last part is one linear layer on pooled features."""
        return None

    @property
    def channels(self) -> int:
        """Number of feature channels K."""
        return self.get_parameter("weight").shape[1]

    def dropped(self, values: Tensor) -> Tensor:
        """Return `values` with dropout in training, and as they are otherwise."""
        return F.dropout(values, self.dropout, self.training) if self.dropout else values


def _weighted(features: Tensor, weights: Tensor) -> Tensor:
    """A 1×1 convolution with weights of its own, shape (B, n, K), for each image."""
    b, k, h, w = features.shape
    with without_autocast(features):
        maps = torch.bmm(precise(weights), precise(features).reshape(b, k, h * w))
    return maps.view(b, -1, h, w)


@final
class LinearHead(Head):
    """Pooling of features, then a linear layer: `M_c = Σ_k w_ck f_k` (Zhou et al. 2016, eq. 2)."""

    def __init__(
        self, weight: Tensor, bias: Tensor | None, pooling: SpatialPooling | None = None
    ) -> None:
        """Take the classifier's weight, shape (C, K), its bias, shape (C,), and GAP or another."""
        super().__init__()
        self.pooling = pooling or Gap()
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias)

    def linear_layer(self) -> LinearHead:
        """Return the head itself."""
        return self

    def linear_input(self, features: Tensor) -> Tensor:
        """Return what the linear layer reads, shape (B, K)."""
        return self.pooling.pool(features)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        return F.linear(self.dropped(self.linear_input(features)), self.weight, self.offset)

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the class activation maps."""
        return _weighted(features, self.weight[classes])

    def bias(self) -> Tensor:
        """Return the linear layer's bias."""
        return self.offset


@final
class NormLinearHead(Head):
    """Pooling of features, LayerNorm, linear (ConvNeXt).

    With p the pooled vector and σ its standard deviation, the logit is
    `Σ_k w_ck γ_k (p_k - mean(p)) / σ + (w_c·β + b_c)`: linear in p once σ is known. So the map of
    one image is a CAM with the weights `(w_ck γ_k - mean_j(w_cj γ_j)) / σ`, exactly.
    """

    def __init__(
        self,
        norm: tuple[Tensor | None, Tensor | None, float],
        weight: Tensor,
        bias: Tensor | None,
        pooling: SpatialPooling | None = None,
    ) -> None:
        """Take the norm's (γ, β, ε), the classifier's weight (C, K), its bias (C,), the pooling."""
        super().__init__()
        self.pooling = pooling or Gap()
        gamma, beta, self.eps = norm
        channels = weight.shape[1]
        self.gamma = nn.Parameter(weight.new_ones(channels) if gamma is None else gamma)
        self.beta = nn.Parameter(weight.new_zeros(channels) if beta is None else beta)
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias)

    def linear_layer(self) -> NormLinearHead:
        """Return the head itself."""
        return self

    def linear_input(self, features: Tensor) -> Tensor:
        """Return what the linear layer reads, shape (B, K): pooled features after the norm."""
        pooled = self.pooling.pool(features)
        return F.layer_norm(pooled, pooled.shape[1:], self.gamma, self.beta, self.eps)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        return F.linear(self.dropped(self.linear_input(features)), self.weight, self.offset)

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the class activation maps, scaled by each image's own norm."""
        return _weighted(features, self.map_weights(features, classes))

    def map_weights(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the weights of the maps, shape (B, n, K), which depend on the image."""
        variance = self.pooling.pool(precise(features)).var(1, correction=0)
        scaled = precise(self.weight[classes]) * precise(self.gamma)
        centred = scaled - scaled.mean(2, keepdim=True)
        return centred / (variance + self.eps).sqrt()[:, None, None]

    def bias(self) -> Tensor:
        """Return the linear layer's bias and what the norm's shift adds to it."""
        return self.weight @ self.beta + self.offset


@final
class ClassMapHead(Head):
    """A 1×1 convolution to one map a class, then pooling of these: `S_c = pool(M_c) + b_c`.

    Each pooling commutes with adding a constant, so the bias stays out of the maps.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None, pooling: SpatialPooling | None = None
    ) -> None:
        """Take the convolution's weight, shape (C, K), its bias, shape (C,), and the pooling."""
        super().__init__()
        self.pooling = pooling or Gap()
        self.weight = nn.Parameter(weight)
        self.offset = nn.Parameter(weight.new_zeros(len(weight)) if bias is None else bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        maps = F.conv2d(self.dropped(features), self.weight[:, :, None, None])
        return self.pooling.pool(maps) + self.offset

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the class maps before pooling."""
        return _weighted(features, self.weight[classes])

    def bias(self) -> Tensor:
        """Return the convolution's bias."""
        return self.offset


@final
class PerClassHead(Head):
    """Pooling of per-class maps (NIN, SqueezeNet): feature c is the map of class c."""

    def __init__(self, classes: int, pooling: SpatialPooling | None = None) -> None:
        """Take the number of classes, which is that of the feature channels, and the pooling."""
        super().__init__()
        self.pooling = pooling or Gap()
        self.register_buffer("zeros", torch.zeros(classes), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits."""
        return self.pooling.pool(features)

    @property
    def channels(self) -> int:
        """Number of feature channels, which is that of the classes."""
        return len(self.bias())

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the features of the given classes."""
        places = torch.arange(len(features), device=features.device)[:, None]
        return precise(features[places, classes])

    def bias(self) -> Tensor:
        """Return zeros: the map is all there is."""
        return self.get_buffer("zeros")
