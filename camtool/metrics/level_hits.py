"""At which levels of an 8-bit map a box is right, in a few bytes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from camtool.boxes.thresholds import otsu_bin, percentile_bin
from camtool.kernels import levels_with_overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.kernels import Contours

__all__ = ["OWN_RULES", "LevelHits", "level_hits", "own_levels"]


class LevelHits(NamedTuple):
    """The levels at which some box is right; level `n` is the mask `map > n`.

    Attributes:
        bits: for each IoU threshold a row of 256 bits, first level first (`np.packbits`), uint8 of
            shape (ious, 32).
        peak: maximum of the 8-bit map.
        own: the level that each of `OWN_RULES` gives the map.
    """

    bits: NDArray[np.uint8]
    peak: int
    own: tuple[int, ...] = (0, 0)

    def packed(self) -> bytes:
        """Return all of it in a row: bits, peak and own levels, 99 bytes at three thresholds."""
        return self.bits.tobytes() + bytes((self.peak, *self.own))


OWN_RULES: Final = ("otsu", "percentile")
"""Rules that give each map a level of its own."""


def own_levels(values: NDArray[np.uint8], percentile: float) -> tuple[int, int]:
    """Return the levels of a map by Otsu's rule, and such that so many percent are background."""
    counts = np.bincount(values.ravel(), minlength=256)
    return otsu_bin(counts), percentile_bin(counts, percentile)


def level_hits(
    found: Contours,
    values: NDArray[np.uint8],
    truths: NDArray[np.int64],
    ious: Sequence[float],
) -> LevelHits:
    """Tell at which levels a contour's box meets any true box, as the WSOL benchmark has it.

    The box of a contour is (x, y, min(x + w, width - 1), min(y + h, height - 1)), taken as
    inclusive: a pixel too large on two sides unless at the border. At a level without contours
    there is one box, (0, 0, 0, 0). Intersection over union counts pixels, and `>=` is right.

    Args:
        found: the contours that count.
        values: the map, uint8 of shape (height, width).
        truths: true boxes, inclusive corners, int64 of shape (n, 4).
        ious: the thresholds on the intersection over union.
    """
    height, width = values.shape
    peak = int(values.max())
    # From the map's maximum on no pixel is above the level: there is no contour.
    limits = np.array((width, height, width - 1, height - 1), np.int32)
    boxes = np.vstack((np.minimum(found.boxes, limits), np.zeros((1, 4), np.int32)))
    levels = np.vstack((found.levels, np.array([[peak, 255]], np.int32)))
    hits = levels_with_overlap(boxes, levels, truths, np.array(ious, np.float64))
    return LevelHits(np.packbits(hits, axis=1), peak)
