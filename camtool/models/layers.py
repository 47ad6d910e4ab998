"""Layers that are put on a backbone, and how they start."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn

from camtool.models.grids import require_layout

__all__ = ["ChannelsFirst", "Grown", "PatchGrid", "convolution", "published_start"]

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def published_start(layer: _Layer) -> _Layer:
    """Draw the weights from N(0, 0.01²) and set the bias to 0, as AlexNet, VGG and NIN start."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, units: int, groups: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return a convolution that keeps the grid, and its ReLU."""
    layer = nn.Conv2d(inputs, units, kernel, padding=kernel // 2, groups=groups)
    return nn.Sequential(published_start(layer), nn.ReLU(inplace=True))


class ChannelsFirst(nn.Module):
    """Features of a network that keeps its channels last, in the order (B, K, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        """Wrap features of shape (B, h, w, K)."""
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Return the features with the channels moved forward."""
        result: Tensor = self.features(images).permute(0, 3, 1, 2)
        return result


class PatchGrid(nn.Module):
    """Features of a network that ends in tokens: those of patches, in the order (B, K, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        """Wrap features of shape (B, N, K); class token and registers come first, if any."""
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Return the patches where they lie in the picture.

        Raises:
            ModelError: the number of tokens is that of no grid of the picture.
        """
        tokens: Tensor = self.features(images)
        layout = require_layout(tokens.shape, images.shape, "that gives the tokens")
        return layout.grid(tokens)


class Grown(nn.Module):
    """A backbone's features and the convolution put on them."""

    def __init__(self, backbone: nn.Module, extra: nn.Module) -> None:
        """Join the two."""
        super().__init__()
        self.backbone = backbone
        self.extra = extra

    def forward(self, images: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        """Return the features behind the convolution; what is `given` goes to inserted layers."""
        result: Tensor = self.extra(self.backbone(images, *given))
        return result
