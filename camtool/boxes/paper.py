"""The rule of the CAM paper: threshold, connected components, bounding boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import cv2
import numpy as np
from pydantic import Field

from camtool.settings import Settings
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["PaperBoxes"]


@final
class PaperBoxes(Settings):
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
    """

    summary: ClassVar[str] = "threshold × max at image size, largest 8-connected component"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, section 3.2"

    name: Literal["paper"] = "paper"

    threshold: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the maximum that a pixel must exceed."""

    scale: Literal["max", "min-max"] = "max"
    """What the threshold is a share of: the maximum, or the range from minimum to maximum."""

    components: Literal["largest", "all"] = "largest"
    """One box, or one for every component that is large enough, strongest first."""

    min_area: Annotated[float, Field(ge=0, le=1)] = 0.01
    """With `components: all`, the smallest component, as a share of the image's pixels."""

    def boxes(self, score_map: ScoreMap) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class map, in original pixels; empty if it has none."""
        if not np.isfinite(score_map.values).all():
            return ()
        pixels = score_map.at_image_size(outside=-np.inf)
        low, high = 0.0, float(pixels.max())
        if self.scale == "min-max":
            low = float(pixels.min(where=np.isfinite(pixels), initial=np.inf))
        # In float32, as the map: a threshold in double would part pixels that are equal to it.
        threshold = np.float32(low + self.threshold * (high - low))
        if not (high > low and high > threshold):
            return ()
        mask = (pixels > threshold).view(np.uint8)
        labels, stats = _components(mask)
        areas = stats[1:, cv2.CC_STAT_AREA]
        found = [
            ScoredBox(_box(stats[label]), _peak(pixels, labels, stats, label, low, high))
            for label in self._chosen(areas, labels)
        ]
        return tuple(sorted(found, key=lambda b: -b.score))

    def _chosen(self, areas: NDArray[np.int32], labels: NDArray[np.int32]) -> list[int]:
        if self.components == "all":
            return [int(i) + 1 for i in np.flatnonzero(areas >= self.min_area * labels.size)]
        largest = np.flatnonzero(areas == areas.max()) + 1
        if len(largest) == 1:
            return [int(largest[0])]
        first = int(np.argmax(np.isin(labels, largest)))
        return [int(labels.flat[first])]


def _components(mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Labels (H, W), 0 where the mask is, and a row (x, y, w, h, area) for each label."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8, ltype=cv2.CV_32S)
    return np.asarray(labels, np.int32), np.asarray(stats, np.int32)


def _box(stats: NDArray[np.int32]) -> Box:
    x, y, w, h = (float(v) for v in stats[:4])
    return Box(x, y, x + w, y + h)


def _peak(
    pixels: NDArray[np.float32],
    labels: NDArray[np.int32],
    stats: NDArray[np.int32],
    label: int,
    low: float,
    high: float,
) -> float:
    x, y, w, h = (int(v) for v in stats[label][:4])
    window = pixels[y : y + h, x : x + w]
    inside = labels[y : y + h, x : x + w] == label
    return (float(window.max(where=inside, initial=-np.inf)) - low) / (high - low)
