"""The strongest point of a map, as a box of one pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

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

    def boxes(
        self,
        score_map: ScoreMap,
        label: str | None = None,  # noqa: ARG002 (the rules' common signature)
        picture: NDArray[np.uint8] | None = None,  # noqa: ARG002
    ) -> tuple[ScoredBox, ...]:
        """Return the point of a class map; see `Rule`."""
        found = peak(score_map)
        return () if found is None else (ScoredBox(Box.from_xywh(*found, 1, 1), 1.0),)
