"""Histograms of pixels by score, foreground and background apart, and what they add up to.

Pixel-wise average precision (PxAP) of Choe et al., "Evaluating Weakly Supervised Object
Localization Methods Right", CVPR 2020, https://arxiv.org/abs/2001.07437: the pixels of the whole
set make one precision–recall curve. With bins of score b from high to low,

    PxAP = Σ_b precision(b) · (recall(b) - recall(b - 1))

The bootstrap over images needs no image kept: see `PixelDraws`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from camtool.kernels import grouped_histogram
from camtool.metrics.curves import Curve, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

IGNORED: Final = 255
"""Value of pixels that do not count; 1 is foreground and 0 background."""

_EDGES: Final = np.append(np.arange(0, 1, 0.001), (1.0, 2.0, 3.0))
BINS: Final = len(_EDGES) - 1
"""Number of bins of score; those above 1 are the published program's, and hold nothing but 1."""


def combine_masks(
    masks: Sequence[NDArray[np.bool_]], ignore: NDArray[np.bool_] | None = None
) -> NDArray[np.uint8]:
    """Join the masks of all instances with the ignore region, which gives way to foreground.

    Args:
        masks: masks of equal shape, at least one.
        ignore: mask of what does not count, of the same shape; None for nothing.

    Returns:
        uint8 of that shape: 1 foreground, 255 ignored, 0 background.

    Raises:
        ValueError: no mask, or shapes differ.
    """
    if not masks:
        raise ValueError("an image needs at least one mask")
    shapes = {m.shape for m in (*masks, *([] if ignore is None else [ignore]))}
    if len(shapes) > 1:
        raise ValueError(f"masks of different shapes: {sorted(shapes)}")
    foreground = np.logical_or.reduce(masks)
    result: NDArray[np.uint8] = foreground.astype(np.uint8)
    if ignore is not None:
        result[ignore & ~foreground] = IGNORED
    return result


def pixel_histogram(
    values: NDArray[np.floating[Any]], mask: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Count the background and foreground pixels of an image by score.

    Args:
        values: score map in [0, 1], shape (h, w).
        mask: 1 foreground, 255 ignored, 0 background; uint8 of the same shape.

    Returns:
        int64 of shape (2, BINS): background, foreground.

    Raises:
        ValueError: the shapes differ, or a score is outside [0, 1] or none.
    """
    if values.shape != mask.shape:
        raise ValueError(f"map of shape {values.shape}, mask of shape {mask.shape}")
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("the map's values are not all within [0, 1]")
    return grouped_histogram(values, mask, _EDGES, steps=1000)


def average_precision(counts: NDArray[np.number[Any]]) -> NDArray[np.float64]:
    """Return the area under the precision–recall curve, as a share.

    Args:
        counts: background and foreground pixels by score, shape (…, 2, BINS).

    Returns:
        float64 of shape (…); NaN where there is no foreground.
    """
    background, foreground = np.moveaxis(counts[..., ::-1].cumsum(-1), -2, 0)
    with np.errstate(invalid="ignore"):
        recall = foreground / foreground[..., -1:]
        # No pixel so high, no precision: and no recall is gained there either.
        precision = foreground / np.maximum(foreground + background, 1)
    gained = np.diff(recall, prepend=0.0, axis=-1)
    result: NDArray[np.float64] = (precision * gained).sum(-1)
    return result


class PixelCounts:
    """Histograms of the scores of foreground and background pixels; 16 kB however many images."""

    def __init__(self) -> None:
        """Begin without pixels."""
        self._counts = np.zeros((2, BINS), np.int64)

    def update(self, values: NDArray[np.floating[Any]], mask: NDArray[np.uint8]) -> None:
        """Add an image; see `pixel_histogram`.

        Raises:
            ValueError: the shapes differ, or a score is outside [0, 1] or none.
        """
        self.add(pixel_histogram(values, mask))

    def add(self, histogram: NDArray[np.int64]) -> None:
        """Add what `pixel_histogram` returned for an image, or the sum of several, (2, BINS)."""
        self._counts += histogram

    @property
    def foreground_share(self) -> float:
        """Foreground pixels in percent of those that count: PxAP of a map that is constant."""
        background, foreground = self._counts.sum(1)
        return float(100 * foreground / max(background + foreground, 1))

    def compute(self) -> float:
        """Return PxAP in percent.

        Raises:
            ValueError: no foreground pixel has been counted.
        """
        if not self._counts[1].any():
            raise ValueError("PxAP needs at least one foreground pixel")
        return float(100 * average_precision(self._counts))

    def curve(self) -> Curve:
        """Return precision against recall, in percent, at each score where recall grows.

        Raises:
            ValueError: no foreground pixel has been counted.
        """
        line = f"all pixels, PxAP {self.compute():.2f}"
        background, foreground = self._counts[:, ::-1].cumsum(1)
        grows = np.diff(foreground, prepend=0) > 0
        recall = 100 * foreground[grows] / foreground[-1]
        precision = 100 * foreground[grows] / (foreground + background)[grows]
        return Curve(
            tuple(recall.tolist()),
            {line: tuple(precision.tolist())},
            "recall, %",
            "precision, %",
            levels=(Level(line, self.foreground_share, "a map without information"),),
        )


class PixelDraws:
    """The plain bootstrap over images (Efron, 1979), one group of images after the other.

    A resample draws n images of n with equal chances. How many of its draws fall on the next m of
    the r images that are left is binomial with chance m/r, given the draws that are left, and these
    are multinomial among the m: drawn in this order, the numbers have exactly the distribution of
    drawing from all images at once. So the histograms of the images need not be kept; the sums of
    the resamples, 16 kB each, are all there is. Drawn stratum by stratum, every stratum has draws
    of its own.
    """

    def __init__(
        self,
        images: int,
        resamples: int,
        seed: int,
        strata: Sequence[Hashable] | None = None,
        maps: int = 1,
        bins: int = BINS,
    ) -> None:
        """Begin without pixels.

        Args:
            images: how many images there will be.
            resamples: number of resamples.
            seed: seed of the random numbers.
            strata: stratum of each image, in the order in which they will come; None for one.
            maps: number of maps an image; the same resamples serve all.
            bins: number of bins of score.

        Raises:
            ValueError: not as many strata as images.
        """
        if strata is not None and len(strata) != images:
            raise ValueError(f"{len(strata)} strata for {images} images")
        self._strata = strata
        self._bins = bins
        self._seen = 0
        # All of one stratum where there are none.
        self._images = Counter[Hashable]([None] * images if strata is None else strata)
        self._draws = {s: np.full(resamples, n, np.int64) for s, n in self._images.items()}
        self._counts = np.zeros((resamples, maps * 2 * bins))
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def add(self, histograms: NDArray[np.int64]) -> None:
        """Add the next images, int64 of shape (images, maps, 2, bins); see `pixel_histogram`.

        Raises:
            ValueError: more images than there should be.
        """
        rows = histograms.reshape(len(histograms), -1).astype(np.float64)
        first, self._seen = self._seen, self._seen + len(rows)
        if self._strata is None:
            self._add(None, rows)
            return
        of_stratum: dict[Hashable, list[int]] = {}
        for place, stratum in enumerate(self._strata[first : self._seen]):
            of_stratum.setdefault(stratum, []).append(place)
        for stratum, places in of_stratum.items():
            self._add(stratum, rows[places])

    def _add(self, stratum: Hashable, rows: NDArray[np.float64]) -> None:
        left, m = self._images[stratum], len(rows)
        if m > left:
            raise ValueError(f"{m} more images, where {left} are left")
        drawn = self._generator.binomial(self._draws[stratum], m / left)
        weights: NDArray[Any] = self._generator.multinomial(drawn, np.full(m, 1 / m))
        # (resamples, m) @ (m, maps·2·bins), exact: counts of pixels are far below 2**53.
        self._counts += weights.astype(np.float64) @ rows
        self._draws[stratum] -= drawn
        self._images[stratum] = left - m

    def values(self) -> NDArray[np.float64]:
        """Return PxAP of each resample and map in percent, (resamples, maps).

        Resamples without foreground are left out.
        """
        counts = self._counts.reshape(len(self._counts), -1, 2, self._bins)
        return 100 * average_precision(counts[counts[:, 0, 1].any(-1)])
