"""Noise on images, the same for every image, so that a map depends on its image alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

__all__ = ["noisy"]


def noisy(images: Tensor, samples: int, sigma: float | Tensor, seed: int) -> Iterator[Tensor]:
    """Yield noisy copies of a batch, one at a time.

    Args:
        images: shape (B, 3, H, W).
        samples: number of copies.
        sigma: standard deviation of the Gaussian noise; a number, or one an image (B, 1, 1, 1).
        seed: its seed; drawn on the CPU, so that it is the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    for _ in range(samples):
        noise = torch.randn(images.shape[1:], generator=generator)
        yield (images + sigma * noise.to(images)).to(images.dtype)
