"""Confidence intervals: the bootstrap over images, of rates, means and paired differences.

A resample of n images is fully described by how many of each kind it holds, where images that count
alike are of one kind. Those numbers follow a multinomial distribution exactly, so they are drawn
directly: for a share of wrong images this is one binomial number a resample, however many images
there are.

Drawn stratum by stratum (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993), each
stratum has a multinomial distribution of its own. Those of strata with equal shares of kinds add up
to one again: a thousand classes of fifty images cost at most 51 draws a resample, not a thousand.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, final

import numpy as np
from pydantic import Field

from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.structures import Annotation

Kind = tuple[int, ...]
"""What an image adds to each of some sums; images that add the same are of one kind."""

MOST_RESAMPLES: Final = 1000
"""Resamples of a figure that is no plain share cost a pass over all images each."""
EXACT_BELOW: Final = 25
"""McNemar's test is exact below so many discordant images, where chi-square is a poor fit."""
_MOST_WEIGHTS: Final = 250_000
"""Weights at once, 1 MB, or those of one resample where there are more images."""
_DRAWN_AT_ONCE: Final = 1000
_RESAMPLES_AT_ONCE: Final = 10


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate in percent, with its confidence interval.

    Example:
        >>> Rate(36.79, (33.68, 40.02), 867).value
        36.79

    Attributes:
        value: the rate, in percent.
        ci95: lower and upper end of its 95 % interval, in percent.
        n: what it is a share of: images, or pairs of image and class.
    """

    value: float
    ci95: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What each image adds to a rate: its events among its trials.

    The rate is the sum of events over that of trials. Two runs compare by the tallies of the same
    images.

    Attributes:
        events: what the rate counts, errors or right boxes, int64 of shape (images,), 0 or more.
        trials: among how many, int64 of shape (images,), 1 or more.
    """

    events: NDArray[np.int64]
    trials: NDArray[np.int64]

    def kinds(self, *others: Tally) -> Iterator[Kind]:
        """Yield (events, events of the others, trials) of each image."""
        columns = (self.events, *(other.events for other in others), self.trials)
        return zip(*(column.tolist() for column in columns), strict=True)


@final
class Bootstrap(Settings):
    """95 % percentile bootstrap interval over images (Efron, 1979), without the loop.

    What a resample adds up to is drawn directly: see the head of this file.

    Example:
        >>> import numpy as np
        >>> tally = Tally(np.array([1, 0, 0, 1]), np.array([1, 1, 1, 1]))
        >>> Bootstrap(samples=1000).rate(tally)
        Rate(value=50.0, ci95=(0.0, 100.0), n=4)
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

    def rate(self, tally: Tally, strata: Sequence[Hashable] | None = None) -> Rate:
        """Return the share of events among trials, in percent, with its interval.

        Args:
            tally: events and trials of each image.
            strata: stratum of each image, in the same order; None for one stratum of all.

        Raises:
            ValueError: there are no images.
        """
        trials = int(tally.trials.sum())
        if not trials:
            raise ValueError("a rate needs at least one image")
        drawn = resampled_sums(by_stratum(tally.kinds(), strata), self.samples, self.seed)
        low, high = np.percentile(100 * drawn[:, 0] / drawn[:, 1], (2.5, 97.5))
        return Rate(100 * int(tally.events.sum()) / trials, (float(low), float(high)), trials)

    def costly_samples(self) -> int:
        """Return how many resamples there are of a figure that is no plain share."""
        return min(self.samples, MOST_RESAMPLES)


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


def by_stratum(
    kinds: Iterable[Kind], strata: Sequence[Hashable] | None = None
) -> list[Counter[Any]]:
    """Count the images of each kind, for each stratum by itself.

    Args:
        kinds: kind of each image.
        strata: stratum of each image, in the same order; None for one stratum of all.

    Raises:
        ValueError: not as many strata as images.
    """
    if strata is None:
        return [Counter(kinds)]
    counted: dict[Hashable, Counter[Kind]] = {}
    for kind, stratum in zip(kinds, strata, strict=True):
        counted.setdefault(stratum, Counter())[kind] += 1
    return list(counted.values())


def numbered(strata: Sequence[Hashable]) -> NDArray[np.int64]:
    """Return the strata of images as numbers from 0, in the order in which they appear."""
    numbers = {stratum: number for number, stratum in enumerate(dict.fromkeys(strata))}
    return np.array([numbers[stratum] for stratum in strata], np.int64)


def resampled_sums(
    strata: Iterable[Mapping[Any, int]], samples: int, seed: int
) -> NDArray[np.int64]:
    """Return the sums in each resample, int64 of shape (samples, length of a kind).

    Args:
        strata: number of images of each kind, for each stratum; a resample holds as many images of
            each stratum as there are. Neither the order of kinds nor that of strata matters.
        samples: number of resamples.
        seed: seed of the random numbers.

    Raises:
        ValueError: there are no images.
    """
    groups = _groups(strata)
    if not groups:
        raise ValueError("a resample needs at least one image")
    generator = np.random.Generator(np.random.PCG64(seed))
    total = np.zeros((samples, len(groups[0][0][0][0])), np.int64)
    for shares, times in groups:
        kinds = np.array([kind for kind, _ in shares], np.int64)
        share = np.array([number for _, number in shares], np.int64)
        n = int(share.sum())
        # In pieces: images of many objects may have many kinds.
        pieces = [
            generator.multinomial(n * times, share / n, size=min(_DRAWN_AT_ONCE, samples - done))
            @ kinds
            for done in range(0, samples, _DRAWN_AT_ONCE)
        ]
        total += np.concatenate(pieces)
    return total


def _groups(strata: Iterable[Mapping[Any, int]]) -> list[tuple[tuple[tuple[Kind, int], ...], int]]:
    """Return the strata of equal shares as one: number of images by kind, and how often it is met.

    Sorted, because the order of images and strata must not reach the random numbers.
    """
    groups: Counter[tuple[tuple[Kind, int], ...]] = Counter()
    for stratum in strata:
        present = sorted((kind, number) for kind, number in stratum.items() if number)
        divisor = math.gcd(*(number for _, number in present))
        if present:
            groups[tuple((kind, number // divisor) for kind, number in present)] += divisor
    return sorted(groups.items())


def class_means(
    hits: NDArray[np.bool_],
    classes: NDArray[np.int64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> list[Rate]:
    """Return the mean over classes of the share of hits, with its interval, for k kinds of hits.

    The bootstrap resamples images. In a resample a class counts by how many of its images were
    drawn, over how many it has: classes of one image then vary as single images do, and classes of
    many count alike.

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
    for weights in _thin_weights(len(images), bootstrap, strata):
        pairs = weights[:, owners]
        number = (np.add.reduceat(pairs, starts, axis=1) / every).sum(1)
        shares = [
            (np.add.reduceat(pairs * one, starts, axis=1) / every).sum(1) for one in sorted_hits
        ]
        drawn.append(np.array([share / number for share in shares]))
    low, high = np.percentile(100 * np.concatenate(drawn, axis=1), (2.5, 97.5), axis=1)
    return [
        Rate(float(v), (float(a), float(b)), len(classes))
        for v, a, b in zip(values, low, high, strict=True)
    ]


def pair_mean(
    sums: NDArray[np.float64],
    images: NDArray[np.int64],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None,
) -> Rate:
    """Return the mean over pairs in percent; `sums` are those of the pairs of each image."""
    # For so thin a product the threads of a BLAS cost ten times the work.
    drawn = [
        np.einsum("ij,j->i", weights, sums) / np.einsum("ij,j->i", weights, images)
        for weights in _thin_weights(len(images), bootstrap, strata)
    ]
    low, high = np.percentile(100 * np.concatenate(drawn), (2.5, 97.5))
    n = int(images.sum())
    return Rate(100 * float(sums.sum()) / n, (float(low), float(high)), n)


def _thin_weights(
    images: int, bootstrap: Bootstrap, strata: Sequence[Hashable] | None
) -> Iterator[NDArray[np.int32]]:
    """Yield resamples a few at a time, which keeps them in the processor's cache."""
    numbers = None if strata is None else numbered(strata)
    for weights in bootstrap.weights(images, bootstrap.costly_samples(), numbers):
        yield from np.array_split(weights, -(-len(weights) // _RESAMPLES_AT_ONCE))


@dataclass(frozen=True, slots=True)
class Difference:
    """A rate of two runs, in percent, and what lies between them, in percentage points.

    Attributes:
        first: the rate of the first run.
        second: that of the second.
        value: second less first.
        ci95: lower and upper end of the 95 % interval of `value`.
        n: what the rates are shares of: images, pairs of image and class, or these at each IoU.
    """

    first: float
    second: float
    value: float
    ci95: tuple[float, float]
    n: int


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of whether as many images changed to the better as to the worse.

    Attributes:
        p: two-sided p-value; 1 where no image changed.
        chi2: continuity-corrected statistic, 1 degree of freedom; None for the exact test.
    """

    p: float
    chi2: float | None = None


def paired_difference(
    first: Tally,
    second: Tally,
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> Difference:
    """Return the difference of two rates on the same images, with its percentile interval.

    The bootstrap draws images, each with what both runs make of it: the pairing stays. For one
    outcome an image there are four kinds of images.

    Args:
        first: events and trials of each image in the first run.
        second: the same of the second run, of the same images in the same order.
        bootstrap: resamples and seed.
        strata: stratum of each image; None for one stratum of all.

    Raises:
        ValueError: there are no images.
    """
    n = int(first.trials.sum())
    if not n:
        raise ValueError("a difference needs at least one image")
    one, two = int(first.events.sum()), int(second.events.sum())
    kinds = by_stratum(first.kinds(second), strata)
    drawn = resampled_sums(kinds, bootstrap.samples, bootstrap.seed)
    low, high = np.percentile(100 * (drawn[:, 1] - drawn[:, 0]) / drawn[:, 2], (2.5, 97.5))
    return Difference(
        first=100 * one / n,
        second=100 * two / n,
        value=100 * (two - one) / n,
        ci95=(float(low), float(high)),
        n=n,
    )


def mcnemar(better: int, worse: int) -> McNemar:
    """Test the images that changed side.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 1947. Below `EXACT_BELOW` changed images the exact two-sided
    binomial test, p = min(1, 2·P(X <= min)) with X ~ B(better + worse, 1/2); otherwise chi-square
    with Edwards' continuity correction (Psychometrika 1948), (max(|better - worse| - 1, 0))² /
    (better + worse), 1 degree of freedom.

    Args:
        better: images of which the second run makes more.
        worse: images of which it makes less.

    Raises:
        ValueError: a number is negative.
    """
    if min(better, worse) < 0:
        raise ValueError(f"not numbers of images: {better}, {worse}")
    changed = better + worse
    if changed < EXACT_BELOW:
        tail = sum(math.comb(changed, k) for k in range(min(better, worse) + 1))
        return McNemar(min(1.0, 2 * tail / 2**changed))
    chi2 = max(abs(better - worse) - 1, 0) ** 2 / changed
    # The upper tail of chi-square with one degree of freedom is that of a squared normal variable.
    return McNemar(math.erfc(math.sqrt(chi2 / 2)), chi2)
