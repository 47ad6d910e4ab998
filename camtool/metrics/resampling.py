"""Sums over bootstrap resamples of images, drawn by kind instead of image by image.

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
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["ONE_STRATUM", "Kind", "Strata", "by_stratum", "numbered", "resampled_sums"]

Kind = tuple[int, ...]
"""What an image adds to each of some sums; images that add the same are of one kind."""

_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True)
class Strata:
    """The strata of a set of images, such as their classes; None where all are one stratum.

    Attributes:
        classified: of each image that counts for classification, in order.
        located: of each image that counts for localization, in order.
    """

    classified: Sequence[Hashable] | None = None
    located: Sequence[Hashable] | None = None


ONE_STRATUM: Final = Strata()


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
            generator.multinomial(n * times, share / n, size=min(_AT_ONCE, samples - done)) @ kinds
            for done in range(0, samples, _AT_ONCE)
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
