"""Numbers beyond the range of half precision: said by name, rather than as maps without a box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from camtool.errors import ModelError

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["check_overflow"]

_HALF = (torch.float16, torch.bfloat16)


def check_overflow(
    classifier: Classifier, place: str, values: torch.Tensor, kind: torch.dtype | None = None
) -> None:
    """Refuse infinities and NaNs of a network that works in half precision.

    Args:
        classifier: the network.
        place: what the values are, for the message.
        values: any shape.
        kind: what the network works in; by default the type of the values.

    Raises:
        ModelError: there are some.
    """
    kind = kind or values.dtype
    if kind in _HALF and not values.isfinite().all():
        name = str(kind).removeprefix("torch.")
        remedy = "float32" if kind == torch.bfloat16 else "bfloat16 or float32"
        raise ModelError(f"{classifier.name}: {place} overflows in {name}: use {remedy}")
