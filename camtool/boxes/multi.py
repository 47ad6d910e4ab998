"""Boxes around all components, at several thresholds, without those that overlap much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.boxes.by_pixel import by_pixel, whole_pixels
from camtool.boxes.components import components
from camtool.boxes.enlarged import Interpolation
from camtool.boxes.nms import suppress
from camtool.boxes.rule import Rule
from camtool.boxes.thresholds import Share
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["MultiBoxes"]


@final
class MultiBoxes(Rule):
    """The box of every component at every threshold, strongest first, after suppression.

    At each threshold the 8-connected components of the map at image size are found as `paper` does,
    and those of fewer pixels than `min_area` are left out. The score of a box is the map's maximum
    in its component over the map's maximum (with `min-max` both less the minimum). Boxes are
    ordered by score, then by their component's area, larger first, then by threshold and first
    pixel; each goes that overlaps with a kept one before it by an intersection over union of more
    than `nms`.

    Zero, negative, flat and NaN maps are treated as `paper` treats them.
    """

    summary: ClassVar[str] = "all components at several thresholds, non-maximum suppression"
    paper: ClassVar[str] = "the paper's threshold; suppression as in Girshick et al., CVPR 2014"

    name: Literal["multi"] = "multi"

    thresholds: Annotated[tuple[Share, ...], Field(strict=False, min_length=1, max_length=100)] = (
        0.2,
        0.4,
        0.6,
    )
    """Shares of the maximum, or of the range."""

    scale: Literal["max", "min-max"] = "max"
    """What the thresholds are shares of: the maximum, or the range from minimum to maximum."""

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size; see `paper`."""

    min_area: Annotated[float, Field(ge=0, le=1)] = 0.01
    """The smallest component, as a share of the image's pixels."""

    nms: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Intersection over union above which the weaker of two boxes goes; 1 keeps all."""

    max_boxes: Annotated[int, Field(ge=1, le=1000)] = 100
    """How many boxes a map has at most."""

    def boxes(
        self,
        score_map: ScoreMap,
        label: str | None = None,  # noqa: ARG002 (the rules' common signature)
        picture: NDArray[np.uint8] | None = None,  # noqa: ARG002
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map; see `Rule`."""
        if not np.isfinite(score_map.values).all():
            return ()
        of_range = self.scale == "min-max"
        worked = by_pixel(score_map, self.interpolation)
        smallest = self.min_area * worked.size[0] * worked.size[1]
        found = [components(worked, t, of_range=of_range) for t in self.thresholds]
        base = found[0].low if of_range else 0.0
        boxes = np.concatenate([f.boxes for f in found])
        boxes = whole_pixels(boxes, worked, score_map).astype(np.float64)
        areas = np.concatenate([f.areas for f in found])
        scores = np.concatenate(
            [(f.peaks - base) / (f.high - base) for f in found if len(f.peaks)] or [np.zeros(0)]
        )
        order = np.lexsort((-areas, -scores))
        order = order[areas[order] >= smallest]
        return tuple(
            ScoredBox(Box(*boxes[i].tolist()), float(scores[i]))
            for i in order[suppress(boxes[order], self.nms, self.max_boxes)]
        )
