"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MovingAverage"]


@final
class MovingAverage:
    """A copy of a network whose weights follow it slowly.

    After n updates a weight moves by `1 - min(decay, (1 + n) / (10 + n))` of its distance, so that
    the random beginning is soon forgotten. Running statistics are averaged alike, counters copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start as a copy of `network`."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow `network` by one step."""
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name].to(value.dtype), share)
            else:
                value.copy_(current[name])
