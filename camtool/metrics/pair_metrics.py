"""Metrics over pairs of image and true class: CorLoc, mean IoU, largest box, the pointing game.

CorLoc: Deselaers et al., "Localizing Objects While Learning Their Appearance", ECCV 2010, and
"Weakly Supervised Localization and Learning with Generic Knowledge", IJCV 2012: the share of a
class's images whose strongest box of the class has an intersection over union above 0.5 with a true
box, averaged over classes.

The pointing game: Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016 and
IJCV 2018, https://arxiv.org/abs/1608.00507: the maximum of the map is a hit where it lies on an
object of the class; the accuracy is that of each class, averaged over classes. Oquab et al., "Is
object localization for free?", CVPR 2015, take the maximum at the size of the original image and
count it within 18 pixels of a true box of the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.boxes.point import peak
from camtool.metrics.intervals import Rate, Tally, class_means, pair_mean
from camtool.metrics.outcome import NO_BOX

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Bootstrap
    from camtool.metrics.trials import Trials
    from camtool.structures import Box, ScoreMap

BINS: Final = 20
"""Bins of the histogram of IoU, over [0, 1]; an IoU of 1 is in the last."""
CORLOC_IOU: Final = 0.5
TOLERANCES: Final = (0, 18)
"""Pixels by which the true boxes are grown on each side for the pointing game."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A further figure.

    Attributes:
        rate: value and interval in percent.
        measure: what it is: `accuracy`, `precision`, or `mean IoU`; more is better for all.
    """

    rate: Rate
    measure: str


def iou_histogram(overlaps: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the number of overlaps in each of `BINS` bins; edges are the rounded k / `BINS`."""
    edges = np.arange(1, BINS) / BINS
    places = np.searchsorted(edges, overlaps, side="right")
    return tuple(np.bincount(places, minlength=BINS).tolist())


def box_figures(located: Trials, bootstrap: Bootstrap) -> dict[str, Figure]:
    """Return `corloc`, `mean_iou` and, where any class has a box, `largest_box_precision`.

    Args:
        located: rows that count for localization; the box of the true class is stored for all.
        bootstrap: how the intervals are drawn.
    """
    overlaps, images = located.table["iou"], located.numbers
    strata = bootstrap.strata(located.truths)
    _, classes = located.classes()
    (corloc,) = class_means((overlaps > CORLOC_IOU)[:, None], classes, images, bootstrap, strata)
    sums = np.add.reduceat(overlaps, located.firsts)
    found = {
        "corloc": Figure(corloc, "accuracy"),
        "mean_iou": Figure(pair_mean(sums, images, bootstrap, strata), "mean IoU"),
    }
    largest = located.table["largest"]
    boxed, right = (
        np.add.reduceat(some, located.firsts, dtype=np.int64)
        for some in (largest != NO_BOX, largest == 1)
    )
    if boxed.any():
        some = None if strata is None else list(compress(strata, boxed))
        tally = Tally(right[boxed > 0], boxed[boxed > 0])
        found["largest_box_precision"] = Figure(bootstrap.rate(tally, some), "precision")
    return found


def pointing_figures(located: Trials, bootstrap: Bootstrap) -> dict[str, Figure]:
    """Return the pointing game at each tolerance; all rows have a map."""
    bits = np.arange(len(TOLERANCES), dtype=np.uint8)
    hits = (located.table["pointing"][:, None] >> bits & 1).astype(np.bool_)
    _, classes = located.classes()
    strata = bootstrap.strata(located.truths)
    rates = class_means(hits, classes, located.numbers, bootstrap, strata)
    return {
        f"pointing_game_{pixels}": Figure(rate, "accuracy")
        for pixels, rate in zip(TOLERANCES, rates, strict=True)
    }


def points_at(
    score_map: ScoreMap,
    true_boxes: Sequence[Box],
    size: tuple[int, int] | None,
) -> tuple[bool, ...]:
    """Return for each of `TOLERANCES` whether the map's maximum lies in a true box grown by it.

    The point is the centre of the pixel. The tolerance is in pixels of the true boxes' frame, the
    original image, on each side of the box: `[x0 - t, x1 + t) × [y0 - t, y1 + t)`.

    Args:
        score_map: map of the class.
        true_boxes: true boxes of the class.
        size: (width, height) of their frame; None where it is that of the map's image.
    """
    found = peak(score_map)
    if found is None:
        return (False,) * len(TOLERANCES)
    width, height = size or score_map.size
    x = (found[0] + 0.5) * width / score_map.size[0]
    y = (found[1] + 0.5) * height / score_map.size[1]
    return tuple(
        any(b.x0 - t <= x < b.x1 + t and b.y0 - t <= y < b.y1 + t for b in true_boxes)
        for t in TOLERANCES
    )
