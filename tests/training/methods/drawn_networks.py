"""Small networks that training methods are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors.torch
import timm
import torch
from torch import nn

from camtool.models import ModelSettings
from camtool.models.classifier import Classifier
from camtool.models.heads import LinearHead
from camtool.structures import InputSpec

if TYPE_CHECKING:
    from pathlib import Path


def small(seed: int = 0, classes: int = 5) -> Classifier:
    """A real residual network with random weights."""
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(seed, classes)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)  # some start at 0, where half of all gradients vanish
    return classifier


def pretrained(folder: Path) -> Classifier:
    """The same, all but its last layer from a file."""
    path = folder / "weights.safetensors"
    torch.manual_seed(7)
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return ModelSettings(backbone="timm/test_resnet", weights=str(path)).build(0, 5)


def plain(weight: list[list[float]]) -> Classifier:
    """One whose features are the picture itself: all can be computed by hand."""
    spec = InputSpec((3, 2), (0.5, 0.25, 0.0), (0.5, 0.25, 0.1), "bilinear", 1.0)
    head = LinearHead(torch.tensor(weight), None)
    return Classifier("test/plain", nn.Identity(), head, spec).eval()


def pictures(count: int = 4) -> torch.Tensor:
    return torch.randn(count, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
