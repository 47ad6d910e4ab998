"""Batch norms that take mean and variance over the batches of all processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from timm.layers.norm_act import convert_sync_batchnorm

if TYPE_CHECKING:
    from torch import nn

__all__ = ["synchronized"]


def synchronized(module: nn.Module) -> nn.Module:
    """Return a module with synchronized batch norms in place of its own; names and weights stay.

    By timm's function, not torch's: timm's batch norms hold the activation behind them, which
    torch's replacement would leave out. Whoever looks for modules must do so afterwards: the batch
    norms are other objects then.
    """
    converted: nn.Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted
