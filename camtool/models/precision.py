"""Single precision for what is computed of a network's numbers, whatever precision it works in.

A network in half precision, or under autocast, gives numbers that are rounded already. Sums of many
of them would be rounded again, to the two or three digits of bfloat16.
"""

from __future__ import annotations

import torch

__all__ = ["precise", "without_autocast"]


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """Return the tensor in single precision; one of double precision as it is."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def without_autocast(tensor: torch.Tensor) -> torch.autocast:
    """Return a context in which products on the tensor's device keep their precision."""
    return torch.autocast(tensor.device.type, enabled=False)
