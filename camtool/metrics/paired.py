"""Two sets of predictions on the same images: the difference with its interval, McNemar's test."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camtool.metrics.resampling import resampled_sums

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from camtool.metrics.confidence import Bootstrap

__all__ = ["EXACT_BELOW", "Difference", "McNemar", "mcnemar", "paired_difference"]

EXACT_BELOW = 25
"""McNemar's test is exact below so many discordant images, where chi-square is a poor fit."""


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
    strata: Sequence[Mapping[tuple[int, int, int], int]], bootstrap: Bootstrap
) -> Difference:
    """Return the difference of two rates on the same images, with its percentile interval.

    The bootstrap draws images, each with what both runs make of it: the pairing stays. Images that
    count alike are of one kind, as in `Bootstrap.rate`. For one outcome an image there are four
    kinds.

    Args:
        strata: number of images of each kind, for each stratum; a kind is (events of the first run,
            events of the second, trials), with 0 <= events <= trials and trials >= 1.
        bootstrap: resamples and seed.

    Raises:
        ValueError: there are no images.
    """
    first, second, n = (
        sum(kind[i] * images for kinds in strata for kind, images in kinds.items())
        for i in (0, 1, 2)
    )
    if not n:
        raise ValueError("a difference needs at least one image")
    drawn = resampled_sums(strata, bootstrap.samples, bootstrap.seed)
    low, high = np.percentile(100 * (drawn[:, 1] - drawn[:, 0]) / drawn[:, 2], (2.5, 97.5))
    return Difference(
        first=100 * first / n,
        second=100 * second / n,
        value=100 * (second - first) / n,
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
