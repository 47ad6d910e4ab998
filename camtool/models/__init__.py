"""Networks: backbones by name, split into features, pooling and head.

`ModelSettings` says which network is meant, and `ModelSettings.build` makes a `Classifier` of it.
Importing this package does not import torch: `build` does.
"""

from __future__ import annotations

from camtool.models.poolings import POOLINGS, Gap, Gmp, Lse, PerClass, Pooling
from camtool.models.settings import BUNDLED, ExtraConv, ModelSettings

__all__ = [
    "BUNDLED",
    "POOLINGS",
    "ExtraConv",
    "Gap",
    "Gmp",
    "Lse",
    "ModelSettings",
    "PerClass",
    "Pooling",
]
