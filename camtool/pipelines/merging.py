"""How what a network says of several views of a picture becomes one answer: scores and boxes.

Maps are merged by `camtool.images.views.merge_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from camtool.images.views import View
    from camtool.models.classifier import Probabilities

Boxes = list[tuple[ScoredBox, ...]]
"""The boxes of each class."""


def merge_logits(logits: Sequence[Tensor], scores: Probabilities = "softmax") -> Tensor:
    """Return logits whose probabilities are the mean of the views' probabilities.

    Args:
        logits: of each view, shape (B, C), float32.
        scores: how they become probabilities.

    Returns:
        Shape (B, C); the logits of a single view as they are.
    """
    if len(logits) == 1:
        return logits[0]
    if scores == "softmax":
        return torch.stack([each.softmax(1) for each in logits]).mean(0).log()
    # By the probability of either side: that next to 1 would have no room left.
    stacked = torch.stack([each.double() for each in logits])
    for_it, against = stacked.sigmoid().mean(0), (-stacked).sigmoid().mean(0)
    return (for_it.log() - against.log()).float()


def merge_boxes(
    boxes: Sequence[Boxes | None],
    views: Sequence[View],
    strongest: Callable[[Sequence[ScoredBox]], tuple[ScoredBox, ...]],
) -> Boxes | None:
    """Return the boxes that a method found itself in all views, in pixels of the picture.

    Args:
        boxes: of each view, in pixels of its input; None where the method finds none itself.
        views: the views.
        strongest: chooses among the boxes of a class, as the method does; see `MapMethod`.

    Returns:
        The boxes of each class, strongest first; None where some view has None.
    """
    every = [
        [tuple(_in_picture(b, view) for b in of_class) for of_class in of_view]
        for of_view, view in zip(boxes, views, strict=True)
        if of_view is not None
    ]
    if len(every) < len(views):
        return None
    return [
        strongest([b for of_view in of_class for b in of_view])
        for of_class in zip(*every, strict=True)
    ]


def _in_picture(scored: ScoredBox, view: View) -> ScoredBox:
    """Bring a box from pixels of a view's input to those of the picture."""
    height, width = view.pixels.shape[1:]
    left, top, right, bottom = view.region
    across, down = (right - left) / width, (bottom - top) / height
    box = scored.box
    x0, x1 = (width - box.x1, width - box.x0) if view.mirrored else (box.x0, box.x1)
    placed = Box(left + x0 * across, top + box.y0 * down, left + x1 * across, top + box.y1 * down)
    return ScoredBox(placed, scored.score)
