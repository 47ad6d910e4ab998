"""Bootstrap of pixel histograms over images, in memory that does not grow with the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.metrics.pxap import BINS, average_precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["PixelDraws"]


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
