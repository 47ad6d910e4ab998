"""Maps of labels, scaled, as training methods guide themselves by."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["maps_of_labels", "scaled"]


def scaled(maps: Tensor) -> Tensor:
    """Scale maps (..., h, w) by their own range to [0, 1]; a constant map becomes 0."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def maps_of_labels(maps: Tensor, targets: Tensor) -> Tensor:
    """Return one scaled map an image, shape (B, 1, h, w), of the maps (B, C, h, w) of all classes.

    `targets` are class indices (B,), or float (B, C): of several labels the largest of their maps
    at each place counts, and without any the map is 0.
    """
    if targets.ndim == 1:
        index = targets.view(-1, 1, 1, 1).expand(-1, 1, *maps.shape[2:])
        return scaled(maps.gather(1, index))
    present = (targets > 0).to(maps.dtype)
    return (scaled(maps) * present[:, :, None, None]).amax(1, keepdim=True)
