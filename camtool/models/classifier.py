"""The classifier: features, a head, and what its input must look like."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, final

from torch import Tensor, nn

if TYPE_CHECKING:
    from camtool.models.heads import Head

__all__ = ["Classifier", "Forward", "InputSpec"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The preprocessing that a network was trained with.

    Attributes:
        size: (width, height) of the input, in pixels.
        mean: per colour R, G, B, of values in [0, 1].
        std: per colour R, G, B, of values in [0, 1].
        interpolation: `bilinear`, `bicubic`, `lanczos` or `nearest`.
        crop_fraction: side of the centre crop over the shorter side it is cut from.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop_fraction: float


class Forward(NamedTuple):
    """Result of one pass: features (B, K, h, w) and logits (B, C)."""

    features: Tensor
    logits: Tensor


@final
class Classifier(nn.Module):
    """A network whose class scores come from its last grid of features.

    `forward` returns both, so that maps cost no second pass; the classifier itself knows no map.
    """

    def __init__(self, name: str, features: nn.Module, head: Head, spec: InputSpec) -> None:
        """Join the parts: `features` maps images (B, 3, H, W) to (B, K, h, w)."""
        super().__init__()
        self.name = name
        self.features = features
        self.head = head
        self.spec = spec

    def forward(self, images: Tensor) -> Forward:
        """Return features and logits of `images`, float of shape (B, 3, H, W), normalised."""
        features: Tensor = self.features(images)
        return Forward(features, self.head(features))

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.head.bias())

    def sha256(self) -> str:
        """Return a hash of all weights and their names, which tells two networks apart."""
        digest = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}\n".encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
