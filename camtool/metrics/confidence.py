"""Error rates with a percentile bootstrap interval over images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from pydantic import Field

from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["Bootstrap", "Rate"]


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

    A resample of n images is fully described by how many of each kind it holds, where images that
    count alike (as one error of one, as two of three, ...) are of one kind. Those numbers follow a
    multinomial distribution exactly, so they are drawn directly: for a share of wrong images this
    is one binomial number a resample, however many images there are.
    """

    samples: int = Field(default=10_000, ge=100, le=100_000)
    """Number of resamples."""
    seed: int = Field(default=0, ge=0)
    """Seed of the resamples; every figure starts from it, independent of the others."""

    def weights(
        self, images: int, resamples: int, at_once: int = 100
    ) -> Iterator[NDArray[np.float32]]:
        """Yield how often each image is in each resample, float32 of shape (≤ at_once, images).

        For figures that are no plain share of images, such as one at the best threshold.
        """
        generator = np.random.Generator(np.random.PCG64(self.seed))
        for first in range(0, resamples, at_once):
            drawn = generator.integers(0, images, (min(at_once, resamples - first), images))
            counts = [np.bincount(row, minlength=images) for row in drawn]
            yield np.array(counts, np.float32)

    def rate(self, kinds: Mapping[tuple[int, int], int]) -> Rate:
        """Return the share of events among trials, in percent, with its interval.

        Args:
            kinds: number of images of each kind; a kind is (events, trials), with
                0 <= events <= trials and trials >= 1.

        Raises:
            ValueError: there are no images.
        """
        # Sorted, because the order of the images must not reach the random numbers.
        ordered = sorted(kind for kind, count in kinds.items() if count)
        if not ordered:
            raise ValueError("a rate needs at least one image")
        images = np.array([kinds[kind] for kind in ordered], np.int64)
        events, trials = np.array(ordered, np.int64).T
        value = 100 * int(images @ events) / int(images @ trials)
        generator = np.random.Generator(np.random.PCG64(self.seed))
        n = int(images.sum())
        draws = generator.multinomial(n, images / n, size=self.samples)  # (samples, kinds)
        low, high = np.percentile(100 * (draws @ events) / (draws @ trials), (2.5, 97.5))
        return Rate(value, (float(low), float(high)), int(images @ trials))
