"""Boxes around connected components above thresholds: the rule of the CAM paper, and several."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field, model_validator

from camtool.boxes.enlarged import Interpolation, Scale, by_pixel, whole_pixels
from camtool.boxes.rule import SweptRule
from camtool.boxes.thresholds import Share, Stored, Threshold, ThresholdRule
from camtool.kernels import boxes_at_thresholds, components_above
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from camtool.boxes.rule import Picture
    from camtool.kernels import Components
    from camtool.structures import ScoreMap


@final
class PaperBoxes(SweptRule):
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

    Example:
        >>> import numpy as np
        >>> from camtool.structures import ScoreMap
        >>> values = np.array([[0, 0, 0], [0, 3, 1], [0, 0, 0]], np.float32)
        >>> score_map = ScoreMap(values, (0, 0, 90, 60), (90, 60))
        >>> PaperBoxes(threshold=0.5).boxes(score_map)
        (ScoredBox(box=Box(x0=30.0, y0=20.0, x1=68.0, y1=40.0), score=1.0, guess=None),)
        >>> PaperBoxes().boxes_at(score_map, np.array([0.2, 0.5, 0.9])).tolist()
        [[21, 14, 90, 46], [30, 20, 68, 40], [42, 28, 50, 32]]
    """

    summary: ClassVar[str] = "threshold × max at image size, largest 8-connected component"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, section 3.2"

    threshold_setting: ClassVar[str] = "threshold"

    name: Literal["paper"] = "paper"

    threshold: Threshold = 0.2
    """Share of the maximum that a pixel must exceed, or the rule that finds it: `otsu`,
    `{name: percentile, q: 80}`, `{name: stored, file: RUN/threshold.json}`."""

    scale: Scale = "max"
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
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map; see `Rule`."""
        if not np.isfinite(score_map.values).all():
            return ()
        worked = by_pixel(score_map, self.interpolation)
        share = self.share(worked, label)
        found = components_above(worked.values, *worked.axes, share, of_range=self.of_range)
        base = found.low if self.of_range else 0.0
        placed = whole_pixels(found.boxes, worked, score_map)
        boxes = [
            ScoredBox(
                Box(*map(float, placed[i])), float((found.peaks[i] - base) / (found.high - base))
            )
            for i in self._chosen(found, worked.size)
        ]
        return tuple(sorted(boxes, key=lambda b: -b.score))

    def boxes_at(self, score_map: ScoreMap, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the first box at each threshold; see `SweptRule`."""
        if self.components == "all":
            return _boxes_at(self, score_map, thresholds, "peak", self.min_area)
        return _boxes_at(self, score_map, thresholds, "area")

    def at(self, threshold: float) -> Self:
        """Return the rule with another threshold."""
        return self.model_copy(update={"threshold": threshold})

    @property
    def own_threshold(self) -> float | str:
        """The number, or the name of the rule that finds it."""
        return self.threshold if isinstance(self.threshold, float) else self.threshold.name

    def share(self, score_map: ScoreMap, label: str | None = None) -> float:
        """Return the threshold of a map: the number, or what the rule that finds it says.

        Args:
            score_map: the map.
            label: name of its class, for thresholds of single classes.
        """
        if isinstance(self.threshold, ThresholdRule):
            return self.threshold.share(score_map, of_range=self.of_range, label=label)
        return self.threshold

    def _chosen(self, found: Components, size: tuple[int, int]) -> list[int]:
        if not len(found.areas):
            return []
        if self.components == "all":
            return np.flatnonzero(found.areas >= self.min_area * size[0] * size[1]).tolist()
        # argmax takes the first of equals, and components are in the order of their first pixel.
        return [int(found.areas.argmax())]


@final
class MultiBoxes(SweptRule):
    """The box of every component at every threshold, strongest first, after suppression.

    At each threshold the 8-connected components of the map at image size are found as `paper` does,
    and those of fewer pixels than `min_area` are left out. The score of a box is the map's maximum
    in its component over the map's maximum (with `min-max` both less the minimum). Boxes are
    ordered by score, then by their component's area, larger first, then by threshold and first
    pixel; each goes that overlaps with a kept one before it by an intersection over union of more
    than `nms`.

    Zero, negative, flat and NaN maps are treated as `paper` treats them.

    Example:
        >>> import numpy as np
        >>> from camtool.structures import ScoreMap
        >>> values = np.array([[4, 0, 0, 3]], np.float32)
        >>> score_map = ScoreMap(values, (0, 0, 40, 10), (40, 10))
        >>> [(b.box.xyxy, b.score) for b in MultiBoxes(thresholds=(0.5,)).boxes(score_map)]
        [((0.0, 0.0, 10.0, 10.0), 1.0), ((32.0, 0.0, 40.0, 10.0), 0.75)]
    """

    summary: ClassVar[str] = "all components at several thresholds, non-maximum suppression"
    paper: ClassVar[str] = "the paper's threshold; suppression as in Girshick et al., CVPR 2014"

    threshold_setting: ClassVar[str] = "thresholds"

    name: Literal["multi"] = "multi"

    thresholds: Annotated[tuple[Share, ...], Field(strict=False, min_length=1, max_length=100)] = (
        0.2,
        0.4,
        0.6,
    )
    """Shares of the maximum, or of the range."""

    scale: Scale = "max"
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
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map; see `Rule`."""
        if not np.isfinite(score_map.values).all():
            return ()
        worked = by_pixel(score_map, self.interpolation)
        smallest = self.min_area * worked.size[0] * worked.size[1]
        found = [
            components_above(worked.values, *worked.axes, t, of_range=self.of_range)
            for t in self.thresholds
        ]
        base = found[0].low if self.of_range else 0.0
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

    def boxes_at(self, score_map: ScoreMap, thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the first box at each threshold; see `SweptRule`."""
        # Suppression never takes the first.
        return _boxes_at(self, score_map, thresholds, "peak, area", self.min_area)

    def at(self, threshold: float) -> Self:
        """Return the rule with a single threshold."""
        return self.model_copy(update={"thresholds": (threshold,)})

    @property
    def own_threshold(self) -> float | str:
        """The threshold, or all of them."""
        first, *others = self.thresholds
        return ", ".join(f"{t:g}" for t in self.thresholds) if others else first


def _boxes_at(
    rule: PaperBoxes | MultiBoxes,
    score_map: ScoreMap,
    thresholds: NDArray[np.float64],
    order: Literal["area", "peak", "peak, area"],
    min_area: float = 0,
) -> NDArray[np.int64]:
    """Return the box of the best component of so large an area at each threshold."""
    worked = by_pixel(score_map, rule.interpolation)
    found = boxes_at_thresholds(
        worked.values,
        *worked.axes,
        thresholds,
        of_range=rule.of_range,
        order=order,
        smallest=min_area * worked.size[0] * worked.size[1],
    )
    return whole_pixels(found, worked, score_map)


def suppress(boxes: NDArray[np.float64], iou: float, most: int) -> list[int]:
    """Return which boxes stay: each whose overlap with every kept one before it is at most `iou`.

    Args:
        boxes: x0, y0, x1, y1 of each, half-open, best first, shape (n, 4).
        iou: intersection over union above which a later box goes.
        most: how many boxes are kept at most.
    """
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = left[0], left[1:]
        kept.append(int(first))
        corner = np.minimum(boxes[first, 2:], boxes[left, 2:])
        sides = np.maximum(corner - np.maximum(boxes[first, :2], boxes[left, :2]), 0)
        common = sides.prod(1)
        left = left[common / (areas[first] + areas[left] - common) <= iou]
    return kept
