"""At which levels of an 8-bit map a box is right, in a few bytes an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from camtool.boxes.compiled import compiled, inlined
from camtool.boxes.thresholds import otsu_bin, percentile_bin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.boxes.contours import Contours

__all__ = ["OWN_RULES", "LevelHits", "level_hits", "level_hits_plain", "own_levels"]


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
    shape = (values.shape[1], values.shape[0])
    peak = int(values.max())
    hits = _hits(found.boxes, found.levels, *shape, truths, np.array(ious, np.float64), peak)
    return LevelHits(np.packbits(hits, axis=1), peak)


def level_hits_plain(
    found: Contours,
    values: NDArray[np.uint8],
    truths: NDArray[np.int64],
    ious: Sequence[float],
) -> LevelHits:
    """Do the same as `level_hits` without compiled code."""
    height, width = values.shape
    # The last row is the box of a level without contours.
    boxes = np.minimum(found.boxes, (width, height, width - 1, height - 1))
    best = _best_plain(np.vstack((boxes, np.zeros((1, 4), boxes.dtype))), truths)
    right = best[:, None] >= np.array(ious)
    hits = np.zeros((len(ious), 256), np.bool_)
    empty = np.ones(256, np.bool_)
    for (low, high), of_box in zip(found.levels.tolist(), right[:-1], strict=True):
        hits[:, low : high + 1] |= of_box[:, None]
        empty[low : high + 1] = False
    hits |= empty & right[-1][:, None]
    return LevelHits(np.packbits(hits, axis=1), int(values.max()))


def _best_plain(boxes: NDArray[np.int64], truths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the best intersection over union of each inclusive box with any true box."""
    low = np.maximum(boxes[:, None, :2], truths[:, :2])
    high = np.minimum(boxes[:, None, 2:], truths[:, 2:])
    inter = (high - low + 1).clip(0).prod(2)
    of_boxes, of_truths = ((b[:, 2:] - b[:, :2] + 1).prod(1) for b in (boxes, truths))
    result: NDArray[np.float64] = (inter / (of_boxes[:, None] + of_truths - inter)).max(
        1, initial=0.0
    )
    return result


@compiled
def _hits(
    boxes: Any,  # noqa: ANN401
    levels: Any,  # noqa: ANN401
    width: int,
    height: int,
    truths: Any,  # noqa: ANN401
    ious: Any,  # noqa: ANN401
    peak: int,
) -> Any:  # noqa: ANN401
    hits = np.zeros((len(ious), 256), np.bool_)
    lowest = ious.min()
    for i in range(len(boxes)):
        x1, y1 = min(boxes[i, 2], width - 1), min(boxes[i, 3], height - 1)
        best = _best(boxes[i, 0], boxes[i, 1], x1, y1, truths)
        if best < lowest:
            continue
        for k in range(len(ious)):
            if best >= ious[k]:
                hits[k, levels[i, 0] : levels[i, 1] + 1] = True
    # From the map's maximum on no pixel is above the level: there is no contour.
    best = _best(0, 0, 0, 0, truths)
    for k in range(len(ious)):
        if best >= ious[k]:
            hits[k, peak:] = True
    return hits


@inlined
def _best(x0: int, y0: int, x1: int, y1: int, truths: Any) -> Any:  # noqa: ANN401
    """The best intersection over union of an inclusive box with any true box."""
    best = 0.0
    for i in range(len(truths)):
        a, b, c, d = truths[i, 0], truths[i, 1], truths[i, 2], truths[i, 3]
        inter = max(0, min(x1, c) - max(x0, a) + 1) * max(0, min(y1, d) - max(y0, b) + 1)
        union = (x1 - x0 + 1) * (y1 - y0 + 1) + (c - a + 1) * (d - b + 1) - inter
        best = max(best, inter / union)
    return best
