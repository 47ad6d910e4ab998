"""The pointing game: does the strongest point of a class's map lie on the object.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016 and IJCV 2018,
https://arxiv.org/abs/1608.00507: the maximum of the map is a hit where it lies on an object of the
class; the accuracy is that of each class, averaged over classes. Oquab et al., "Is object
localization for free?", CVPR 2015, take the maximum at the size of the original image and count it
within 18 pixels of a true box of the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.boxes.point import peak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.structures import Box, ScoreMap

__all__ = ["TOLERANCES", "points_at"]

TOLERANCES: Final = (0, 18)
"""Pixels by which the true boxes are grown on each side."""


def points_at(
    score_map: ScoreMap,
    true_boxes: Sequence[Box],
    size: tuple[int, int] | None,
) -> tuple[bool, ...]:
    """Return for each of `TOLERANCES` whether the map's maximum lies in a true box grown by it.

    The point is the centre of the pixel. The tolerance is in pixels of the true boxes' frame, the
    original image, on each side of the box: `[x0 - t, x1 + t) × [y0 - t, y1 + t)`.

    Args:
        score_map: map of the class.
        true_boxes: true boxes of the class.
        size: (width, height) of their frame; None where it is that of the map's image.
    """
    found = peak(score_map)
    if found is None:
        return (False,) * len(TOLERANCES)
    width, height = size or score_map.size
    x = (found[0] + 0.5) * width / score_map.size[0]
    y = (found[1] + 0.5) * height / score_map.size[1]
    return tuple(
        any(b.x0 - t <= x < b.x1 + t and b.y0 - t <= y < b.y1 + t for b in true_boxes)
        for t in TOLERANCES
    )
