"""The pointing game: does the strongest point of a class's map lie on the object.

Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016 and IJCV 2018,
https://arxiv.org/abs/1608.00507: the maximum of the map is a hit where it lies on an object of the
class; the accuracy is that of each class, averaged over classes. Oquab et al., "Is object
localization for free?", CVPR 2015, take the maximum at the size of the original image and count it
within 18 pixels of a true box of the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.geometry import axis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.structures import Box, ScoreMap

__all__ = ["TOLERANCES", "peak", "points_at"]

TOLERANCES: Final = (0, 18)
"""Pixels by which the true boxes are grown on each side."""


def peak(score_map: ScoreMap) -> tuple[int, int] | None:
    """Return the pixel (x, y) of the map's maximum at image size, without making the map so large.

    Among equals it is the first, row by row: of a flat map the first that the map covers. The
    result is that of `numpy.argmax` on `ScoreMap.at_image_size` to the last bit: between two cell
    centres an image row is monotone, in floating point too, so that a row's maximum lies at an end
    of such a piece. Only the first row that holds the maximum is made.

    Returns:
        The pixel; None where the map covers no pixel's centre, or has a value that is not finite.
    """
    (height, width), (x0, y0, x1, y1) = score_map.values.shape, score_map.region
    rows = axis(height, y0, y1, score_map.size[1])
    columns = axis(width, x0, x1, score_map.size[0])
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return None
    values = score_map.values.astype(np.float64)
    if not np.isfinite(values).all():
        return None
    inside = slice(rows.start, rows.stop)
    low = values[rows.cell[inside]]
    high = values[np.minimum(rows.cell[inside] + 1, height - 1)]
    lines = low + rows.fraction[inside, None] * (high - low)  # (pixel rows, cells)
    inside = slice(columns.start, columns.stop)
    lower, share = columns.cell[inside], columns.fraction[inside]
    upper = np.minimum(lower + 1, width - 1)
    last = np.flatnonzero(np.diff(lower))
    ends = np.concatenate(([0], last, last + 1, [len(lower) - 1]))
    low = lines[:, lower[ends]]
    maxima = (low + share[ends] * (lines[:, upper[ends]] - low)).max(1)
    y = int(maxima.argmax())
    low = lines[y, lower]
    x = int((low + share * (lines[y, upper] - low)).argmax())
    return columns.start + x, rows.start + y


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
