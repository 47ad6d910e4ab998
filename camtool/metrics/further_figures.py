"""Figures beside those of the protocol: CorLoc, mean IoU, the largest box, the pointing game.

All are over pairs of image and true class with boxes. CorLoc: Deselaers et al., "Localizing
Objects While Learning Their Appearance", ECCV 2010, and "Weakly Supervised Localization and
Learning with Generic Knowledge", IJCV 2012: the share of a class's images whose strongest box of
the class has an intersection over union above 0.5 with a true box, averaged over classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.confidence import Rate
from camtool.metrics.curves import Histogram
from camtool.metrics.findings import ABSENT, NO_BOX
from camtool.metrics.pointing import TOLERANCES
from camtool.metrics.resampling import by_stratum, numbered

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap
    from camtool.metrics.diagnosis import Diagnosis

__all__ = [
    "BINS",
    "CORLOC_IOU",
    "MOST_RESAMPLES",
    "Details",
    "Figure",
    "box_figures",
    "class_means",
    "iou_histogram",
    "lacking",
    "pointing_figures",
]

BINS: Final = 20
"""Bins of the histogram of IoU, over [0, 1]; an IoU of 1 is in the last."""
CORLOC_IOU: Final = 0.5
MOST_RESAMPLES: Final = 1000
"""Resamples of a mean that is no plain share cost a pass over all images each."""
_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """A further figure.

    Attributes:
        rate: value and interval in percent.
        measure: what it is: `accuracy`, `precision`, or `mean IoU`; more is better for all.
    """

    rate: Rate
    measure: str


@dataclass(frozen=True, slots=True)
class Details:
    """What is told of an evaluation beside the protocol's figures.

    Attributes:
        figures: further figures, by name.
        diagnoses: kinds of errors: `top1` of the top-1 guess, `gt_known` of the box of the true
            class.
        iou_histogram: number of pairs of image and true class by the IoU of the true class's box,
            in `BINS` bins of equal width over [0, 1]; None where these boxes are not stored.
        absent: why other figures and diagnoses are not given, by name.
        rules: how was counted, by aspect; sentences for human readers.
        class_titles: classes of the diagnoses for human readers, where their titles are known.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    iou_histogram: tuple[int, ...] | None = None
    absent: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    class_titles: dict[str, str] = field(default_factory=dict)

    def histogram(self) -> Histogram | None:
        """Return the histogram of IoU as a plot shows it; None where there is none."""
        if self.iou_histogram is None:
            return None
        edges = tuple(k / BINS for k in range(BINS + 1))
        return Histogram(edges, self.iou_histogram, "IoU of the true class's box")


def iou_histogram(overlaps: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the number of overlaps in each of `BINS` bins; edges are the rounded k / `BINS`."""
    edges = np.arange(1, BINS) / BINS
    places = np.searchsorted(edges, overlaps, side="right")
    return tuple(np.bincount(places, minlength=BINS).tolist())


def box_figures(
    table: NDArray[np.void],
    classes: NDArray[np.int64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> dict[str, Figure]:
    """Return `corloc`, `mean_iou` and, where any class has a box, `largest_box_precision`.

    Args:
        table: see `findings_table`; the box of the true class is stored for all rows.
        classes: class of each row, from 0.
        images: number of rows of each image, in their order.
        bootstrap: how the intervals are drawn.
        strata: stratum of each image; None where all are one.
    """
    overlaps = table["iou"]
    (corloc,) = class_means((overlaps > CORLOC_IOU)[:, None], classes, images, bootstrap, strata)
    first = np.cumsum(images) - images
    found = {
        "corloc": Figure(corloc, "accuracy"),
        "mean_iou": Figure(
            _mean(np.add.reduceat(overlaps, first), images, bootstrap, strata), "mean IoU"
        ),
    }
    boxed = np.add.reduceat(table["largest"] != NO_BOX, first, dtype=np.int64)
    right = np.add.reduceat(table["largest"] == 1, first, dtype=np.int64)
    if boxed.any():
        marks = zip(right[boxed > 0].tolist(), boxed[boxed > 0].tolist(), strict=True)
        some = None if strata is None else list(compress(strata, boxed))
        found["largest_box_precision"] = Figure(
            bootstrap.rate(*by_stratum(marks, some)), "precision"
        )
    return found


def pointing_figures(
    table: NDArray[np.void],
    classes: NDArray[np.int64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> dict[str, Figure]:
    """Return the pointing game at each tolerance; see `box_figures`. All rows have a map."""
    bits = np.arange(len(TOLERANCES), dtype=np.uint8)
    hits = (table["pointing"][:, None] >> bits & 1).astype(np.bool_)
    rates = class_means(hits, classes, images, bootstrap, strata)
    return {
        f"pointing_game_{pixels}": Figure(rate, "accuracy")
        for pixels, rate in zip(TOLERANCES, rates, strict=True)
    }


def lacking(column: NDArray[np.uint8]) -> int:
    """Return in how many rows the predictions do not say."""
    return int((column == ABSENT).sum())


def class_means(
    hits: NDArray[np.bool_],
    classes: NDArray[np.int64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> list[Rate]:
    """Return the mean over classes of the share of hits, with its interval, for k kinds of hits.

    The bootstrap resamples images; a class of which a resample has no image is not in its mean.

    Args:
        hits: shape (pairs, k).
        classes: class of each pair, int64 of shape (pairs,), from 0, each at least once.
        images: number of pairs of each image, in their order.
        bootstrap: how the interval is drawn; of its resamples at most `MOST_RESAMPLES`.
        strata: stratum of each image; None where all are one.
    """
    order = np.argsort(classes, kind="stable")
    owners = np.repeat(np.arange(len(images)), images)[order]
    starts = np.searchsorted(classes[order], np.arange(classes.max() + 1))
    sorted_hits = hits[order].T.astype(np.float32)  # (k, pairs)
    every = np.add.reduceat(np.ones(len(owners)), starts)
    values = 100 * (np.add.reduceat(sorted_hits.astype(np.float64), starts, axis=1) / every).mean(1)
    drawn: list[NDArray[np.float64]] = []
    # Counts stay below 2 ** 24, where float32 is exact.
    for weights in _weights(len(images), bootstrap, strata):
        pairs = weights[:, owners]
        totals = np.add.reduceat(pairs, starts, axis=1)
        there = totals > 0
        shares = [
            np.add.reduceat(pairs * one, starts, axis=1) / np.maximum(totals, 1)
            for one in sorted_hits
        ]
        number = there.sum(1)
        drawn.append(np.array([s.sum(1, dtype=np.float64) / number for s in shares]))
    low, high = np.percentile(100 * np.concatenate(drawn, axis=1), (2.5, 97.5), axis=1)
    return [
        Rate(float(v), (float(a), float(b)), len(classes))
        for v, a, b in zip(values, low, high, strict=True)
    ]


def _mean(
    sums: NDArray[np.float64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None,
) -> Rate:
    """Return the mean over pairs in percent; `sums` are those of the pairs of each image."""
    # For so thin a product the threads of a BLAS cost ten times the work.
    drawn = [
        np.einsum("ij,j->i", weights, sums) / np.einsum("ij,j->i", weights, images)
        for weights in _weights(len(images), bootstrap, strata)
    ]
    low, high = np.percentile(100 * np.concatenate(drawn), (2.5, 97.5))
    n = int(images.sum())
    return Rate(100 * float(sums.sum()) / n, (float(low), float(high)), n)


def _weights(
    images: int, bootstrap: Bootstrap, strata: Sequence[Hashable] | None
) -> Iterator[NDArray[np.int32]]:
    """Yield resamples a few at a time, which keeps them in the processor's cache."""
    numbers = None if strata is None else numbered(strata)
    for weights in bootstrap.weights(images, min(bootstrap.samples, MOST_RESAMPLES), numbers):
        yield from np.array_split(weights, -(-len(weights) // _AT_ONCE))
