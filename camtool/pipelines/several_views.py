"""What a network says of several views of one picture, made one answer: scores and boxes.

Maps are merged by `camtool.images.merging`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from camtool.images.views import View


Boxes = list[tuple[ScoredBox, ...]]
"""The boxes of each class."""


def merge_logits(logits: Sequence[Tensor]) -> Tensor:
    """Return logits whose softmax is the mean of the views' softmax outputs.

    Args:
        logits: of each view, shape (B, C), float32.

    Returns:
        Shape (B, C); the logits of a single view as they are.
    """
    if len(logits) == 1:
        return logits[0]
    return torch.stack([each.softmax(1) for each in logits]).mean(0).log()


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
