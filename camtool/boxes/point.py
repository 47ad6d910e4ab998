"""The strongest point of a map, as a box of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

import numpy as np

from camtool.boxes.enlarged import Interpolation, by_pixel
from camtool.boxes.rule import Rule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from camtool.boxes.rule import Picture
    from camtool.structures import ScoreMap


@final
class PointBoxes(Rule):
    """The pixel of the map's maximum at image size, as the box `[x, x+1) × [y, y+1)` of score 1.

    Oquab et al. 2015: the class map's maximum is a point on the object. Among equals it is the
    first pixel, row by row; a map with a NaN or an infinity has none. The sign does not count: a
    negative map has a maximum, too. The pointing game of `camtool eval` looks at the stored map
    itself, whatever the box rule.

    Example:
        >>> import numpy as np
        >>> from camtool.structures import ScoreMap
        >>> values = np.array([[0, 0, 0], [0, 3, 1], [0, 0, 0]], np.float32)
        >>> PointBoxes().boxes(ScoreMap(values, (0, 0, 90, 60), (90, 60)))[0].box
        Box(x0=45, y0=29, x1=46, y1=30)
    """

    summary: ClassVar[str] = "the pixel of the map's maximum at image size, as a box of one pixel"
    paper: ClassVar[str] = "Oquab et al., CVPR 2015"

    name: Literal["point"] = "point"

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size; see `paper`."""

    def boxes(
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the point of a class map; see `Rule`."""
        worked = by_pixel(score_map, self.interpolation)
        found = peak(worked)
        if found is None:
            return ()
        x, y = (
            int((place + 0.5) * whole / side)
            for place, whole, side in zip(found, score_map.size, worked.size, strict=True)
        )
        return (ScoredBox(Box.from_xywh(x, y, 1, 1), 1.0),)


def peak(score_map: ScoreMap) -> tuple[int, int] | None:
    """Return the pixel (x, y) of the map's maximum at image size, without making the map so large.

    Among equals it is the first, row by row: of a flat map the first that the map covers. The
    result is that of `numpy.argmax` on `ScoreMap.at_image_size` to the last bit: between two cell
    centres an image row is monotone, in floating point too, so that a row's maximum lies at an end
    of such a piece. Only the first row that holds the maximum is made.

    Returns:
        The pixel; None where the map covers no pixel's centre, or has a value that is not finite.
    """
    (height, width), (rows, columns) = score_map.values.shape, score_map.axes
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
