"""Error rates with a percentile bootstrap interval over images."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, final

import numpy as np
from pydantic import Field

from camtool.metrics.resampling import resampled_sums
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from camtool.structures import Annotation

__all__ = ["Bootstrap", "Rate"]

_MOST_WEIGHTS: Final = 250_000
"""Weights at once, 1 MB, or those of one resample where there are more images."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in percent.

    Attributes:
        value: the rate, in percent.
        ci95: lower and upper end of its 95 % interval, in percent.
        n: what it is a share of: images, or pairs of image and class.
    """

    value: float
    ci95: tuple[float, float]
    n: int


@final
class Bootstrap(Settings):
    """95 % percentile bootstrap interval over images (Efron, 1979), without the loop.

    What a resample adds up to is drawn directly (`camtool.metrics.resampling`).
    """

    samples: int = Field(default=10_000, ge=100, le=100_000)
    """Number of resamples."""
    seed: int = Field(default=0, ge=0)
    """Seed of the resamples; every figure starts from it, independent of the others."""
    stratify: Literal["none", "class"] = "none"
    """`class`: every resample has as many images of each class as the set; of the first class,
    where an image has several."""

    def describe(self, resamples: int | None = None) -> str:
        """Return how the intervals are drawn, for the reader of a report."""
        strata = ", drawn class by class" if self.stratify == "class" else ""
        return f"over images{strata}, {resamples or self.samples:,} resamples, seed {self.seed}"

    def strata(self, truths: Iterable[Annotation]) -> list[Hashable] | None:
        """Return the stratum of each image; None where nothing is stratified."""
        if self.stratify == "none":
            return None
        return [next(iter(truth.labels), None) for truth in truths]

    def warnings(self, truths: Iterable[Annotation]) -> list[str]:
        """Return a sentence where classes of a single image make the intervals too narrow."""
        sizes = Counter(self.strata(truths) or ()).values()
        alone = sum(size == 1 for size in sizes)
        if alone <= len(sizes) / 10:
            return []
        return [
            f"{alone:,} of {len(sizes):,} classes have a single image, which is in every resample: "
            "intervals drawn class by class are too narrow (eval.bootstrap.stratify)"
        ]

    def weights(
        self, images: int, resamples: int, strata: NDArray[np.int64] | None = None
    ) -> Iterator[NDArray[np.int32]]:
        """Yield how often each image is in each resample, int32 of shape (some, images).

        For figures that are no plain share of images, such as one at the best threshold.

        Args:
            images: number of images.
            resamples: number of resamples.
            strata: number of each image's stratum, of shape (images,); None for one stratum.
        """
        generator = np.random.Generator(np.random.PCG64(self.seed))
        order, sizes, firsts = _positions(strata)
        at_once = max(1, min(resamples, _MOST_WEIGHTS // images))
        for first in range(0, resamples, at_once):
            counts = np.empty((min(at_once, resamples - first), images), np.int32)
            for row in counts:
                if strata is None:
                    row[:] = np.bincount(generator.integers(0, images, images), minlength=images)
                else:
                    drawn = firsts + generator.integers(0, sizes)
                    row[order] = np.bincount(drawn, minlength=images)
            yield counts

    def rate(self, *strata: Mapping[tuple[int, int], int]) -> Rate:
        """Return the share of events among trials, in percent, with its interval.

        Args:
            strata: number of images of each kind, for each stratum (one where nothing is
                stratified); a kind is (events, trials), with 0 <= events <= trials and trials >= 1.

        Raises:
            ValueError: there are no images.
        """
        events, trials = (
            sum(kind[i] * n for kinds in strata for kind, n in kinds.items()) for i in (0, 1)
        )
        if not trials:
            raise ValueError("a rate needs at least one image")
        drawn = resampled_sums(strata, self.samples, self.seed)
        low, high = np.percentile(100 * drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
        return Rate(100 * events / trials, (float(low), float(high)), trials)


def _positions(
    strata: NDArray[np.int64] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the images by stratum, and at each of these places its stratum's size and start."""
    if strata is None:
        strata = np.zeros(0, np.int64)
    order = np.argsort(strata, kind="stable")
    numbers = np.bincount(strata)
    starts = np.cumsum(numbers) - numbers
    by_place = strata[order]
    return order, numbers[by_place], starts[by_place]
