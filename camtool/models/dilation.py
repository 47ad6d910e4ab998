"""Dilated depthwise convolutions that train fast on a CPU.

Their backward pass on a CPU takes a slow path: with output stride 16 it was a third of a training
step of EfficientNet-Lite0. A convolution of dilation d is the ordinary one on each of d² sub-grids
(every d-th row and column), and that is not slow. `scripts/bench/dilation.py` compares the two.
"""

from __future__ import annotations

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DilatedDepthwise", "quicken"]


@final
class DilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 1 and dilation d that keeps the grid, padded with 0."""

    def __init__(self, plain: nn.Conv2d) -> None:
        """Take over the weights and the shape of `plain`."""
        (kernel, _), (step, _) = plain.kernel_size, plain.dilation
        super().__init__(
            plain.in_channels, plain.in_channels, kernel,
            padding=kernel // 2 * step, dilation=step, groups=plain.groups, device="meta",
        )  # fmt: skip
        self.weight, self.bias = plain.weight, plain.bias
        self.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolved grid, of the same shape (B, K, h, w)."""
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(input)
        return self.by_subgrids(input)

    def by_subgrids(self, grid: Tensor) -> Tensor:
        """Convolve every d-th row and column by itself, and put them back in place."""
        b, k, height, width = grid.shape
        d = self.dilation[0]
        last = F.pad(grid.permute(0, 2, 3, 1), (0, 0, 0, -width % d, 0, -height % d))
        h, w = last.shape[1] // d, last.shape[2] // d
        # (B, h, d, w, d, K) → (d·d·B, h, w, K): the channels stay last, as the kernels like it.
        parts = last.reshape(b, h, d, w, d, k).permute(2, 4, 0, 1, 3, 5).reshape(-1, h, w, k)
        done = F.conv2d(
            parts.permute(0, 3, 1, 2), self.weight, self.bias,
            padding=self.kernel_size[0] // 2, groups=self.groups,
        ).permute(0, 2, 3, 1)  # fmt: skip
        whole = done.reshape(d, d, b, h, w, k).permute(2, 3, 0, 4, 1, 5).reshape(b, h * d, w * d, k)
        return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def quicken(network: nn.Module) -> None:
    """Replace, in place, the convolutions within a network that `DilatedDepthwise` can stand for.

    Weights and their names stay.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and _can_stand_for(module):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, DilatedDepthwise(module))


def _can_stand_for(module: nn.Conv2d) -> bool:
    kernel, step = module.kernel_size[0], module.dilation[0]
    if step == 1 or kernel % 2 == 0 or module.padding_mode != "zeros":
        return False
    # timm's "same" convolutions pad as they run; at stride 1 that is the same padding.
    same = type(module).__name__ == "Conv2dSame" or module.padding == (kernel // 2 * step,) * 2
    square = module.kernel_size == (kernel, kernel) and module.dilation == (step, step)
    depthwise = module.groups == module.in_channels == module.out_channels
    return same and square and depthwise and module.stride == (1, 1)
