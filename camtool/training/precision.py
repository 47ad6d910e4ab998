"""Number formats of the forward and backward pass, where the device has them."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal

import torch

from camtool.errors import SettingsError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Precision", "autocast", "scaler_for"]

Precision = Literal["float32", "bfloat16", "float16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes run.

    Raises:
        SettingsError: the device does not have this format.
    """
    if precision == "float32":
        return nullcontext()
    if device.type == "cpu" and precision == "float16":
        raise SettingsError("train.precision: float16 needs a GPU; a CPU takes bfloat16 or float32")
    if device.type == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise SettingsError("train.precision: this GPU has no bfloat16; take float16 or float32")
    return torch.autocast(device.type, getattr(torch, precision))


def scaler_for(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Return the scaler of losses, which only float16 needs; otherwise it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")
