"""Layers that are put on a backbone, and how they start."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

__all__ = ["convolution", "published_start"]

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
