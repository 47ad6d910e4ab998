"""The pixel of a map's maximum at image size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from camtool.geometry import axis

if TYPE_CHECKING:
    from camtool.structures import ScoreMap

__all__ = ["peak"]


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
