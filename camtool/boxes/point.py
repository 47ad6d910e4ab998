"""The strongest point of a map, as a box of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.boxes.by_pixel import by_pixel
from camtool.boxes.enlarged import Interpolation
from camtool.boxes.peak import peak
from camtool.boxes.rule import Rule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["PointBoxes"]


@final
class PointBoxes(Rule):
    """The pixel of the map's maximum at image size, as the box `[x, x+1) × [y, y+1)` of score 1.

    Oquab et al. 2015: the class map's maximum is a point on the object. Among equals it is the
    first pixel, row by row; a map with a NaN or an infinity has none. The sign does not count: a
    negative map has a maximum, too. The pointing game of `camtool eval` looks at the stored map
    itself, whatever the box rule.
    """

    summary: ClassVar[str] = "the pixel of the map's maximum at image size, as a box of one pixel"
    paper: ClassVar[str] = "Oquab et al., CVPR 2015"

    name: Literal["point"] = "point"

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size; see `paper`."""

    def boxes(
        self,
        score_map: ScoreMap,
        label: str | None = None,  # noqa: ARG002 (the rules' common signature)
        picture: NDArray[np.uint8] | None = None,  # noqa: ARG002
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
