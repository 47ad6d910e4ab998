"""The rule of the CAM paper: threshold, connected components, bounding boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field, model_validator

from camtool.boxes.by_pixel import by_pixel, whole_pixels
from camtool.boxes.components import components
from camtool.boxes.enlarged import Interpolation
from camtool.boxes.every_threshold import boxes_at
from camtool.boxes.plain_thresholds import boxes_at_plain
from camtool.boxes.rule import Rule
from camtool.boxes.thresholds import Stored, Threshold, ThresholdRule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from camtool.boxes.components import Components
    from camtool.structures import ScoreMap

__all__ = ["PaperBoxes"]


@final
class PaperBoxes(Rule):
    """Pixels above a share of the map's maximum; the box around their largest component.

    Zhou et al. 2016, section 3.2: the map is brought to image size, the pixels with
    `map > threshold · max(map)` are kept, and the largest 8-connected component (by number of
    pixels; among equals the one whose first pixel comes first, row by row) gives the tight
    half-open box. With `scale: min-max` the map is scaled to [0, 1] by its own range before.

    A map without a positive maximum has no pixel above the threshold, so a zero or negative map
    gives no box; a flat positive map gives the whole image; a map with a NaN or an infinity gives
    no box. With `min-max` every flat map gives no box. Pixels that the map does not cover (cut off
    by a centre crop) belong to no component.

    The score of a box is the map's maximum in its component over the map's maximum, in (0, 1].

    `interpolation: bicubic` is made pixel by pixel, in single precision; then pictures of more than
    2,048 pixels along a side are worked on at that size, and boxes brought to whole pixels of the
    picture. Bilinear maps are never made that large.
    """

    summary: ClassVar[str] = "threshold × max at image size, largest 8-connected component"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, section 3.2"

    name: Literal["paper"] = "paper"

    threshold: Threshold = 0.2
    """Share of the maximum that a pixel must exceed, or the rule that finds it: `otsu`,
    `{name: percentile, q: 80}`, `{name: stored, file: RUN/threshold.json}`."""

    scale: Literal["max", "min-max"] = "max"
    """What the threshold is a share of: the maximum, or the range from minimum to maximum."""

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size; bicubic may leave the map's range by some percent."""

    components: Literal["largest", "all"] = "largest"
    """One box, or one for every component that is large enough, strongest first."""

    min_area: Annotated[float, Field(ge=0, le=1)] = 0.01
    """With `components: all`, the smallest component, as a share of the image's pixels."""

    @model_validator(mode="after")
    def _read_stored(self) -> Self:
        """Put the numbers in place of the file that holds them."""
        if isinstance(self.threshold, Stored):
            found = self.threshold.resolve(self.scale, self.interpolation)
            object.__setattr__(self, "threshold", found)
        return self

    def boxes(
        self,
        score_map: ScoreMap,
        label: str | None = None,
        picture: NDArray[np.uint8] | None = None,  # noqa: ARG002 (the rules' common signature)
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map; see `Rule`."""
        if not np.isfinite(score_map.values).all():
            return ()
        worked = by_pixel(score_map, self.interpolation)
        share = self._share(worked, label)
        found = components(worked, share, of_range=self.scale == "min-max")
        base = found.low if self.scale == "min-max" else 0.0
        placed = whole_pixels(found.boxes, worked, score_map)
        boxes = [
            ScoredBox(
                Box(*map(float, placed[i])),
                float((found.peaks[i] - base) / (found.high - base)),
            )
            for i in self._chosen(found, worked.size)
        ]
        return tuple(sorted(boxes, key=lambda b: -b.score))

    def _share(self, score_map: ScoreMap, label: str | None) -> float:
        if isinstance(self.threshold, ThresholdRule):
            return self.threshold.share(score_map, of_range=self.scale == "min-max", label=label)
        return self.threshold

    def boxes_at(
        self, score_map: ScoreMap, shares: NDArray[np.float64], *, plain: bool = False
    ) -> NDArray[np.int64]:
        """Return the strongest box at each of many thresholds, instead of the rule's own.

        Args:
            score_map: the map.
            shares: ascending thresholds in [0, 1), shape (n,).
            plain: without compiled code where the largest component counts; the same result.

        Returns:
            x0, y0, x1, y1 of the first of `boxes` at each threshold, int64 of shape (n, 4); zeros
            where there is none.
        """
        of_range = self.scale == "min-max"
        worked = by_pixel(score_map, self.interpolation)
        if self.components == "all":
            smallest = self.min_area * worked.size[0] * worked.size[1]
            found = boxes_at(worked, shares, of_range=of_range, smallest=smallest)
        else:
            found = (boxes_at_plain if plain else boxes_at)(worked, shares, of_range=of_range)
        return whole_pixels(found, worked, score_map)

    def _chosen(self, found: Components, size: tuple[int, int]) -> list[int]:
        if not len(found.areas):
            return []
        if self.components == "all":
            return np.flatnonzero(found.areas >= self.min_area * size[0] * size[1]).tolist()
        # argmax takes the first of equals, and components are in the order of their first pixel.
        return [int(found.areas.argmax())]
