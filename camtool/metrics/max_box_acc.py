"""MaxBoxAcc and MaxBoxAccV2: box accuracy at the best threshold of the score map.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437. Everything happens in a 224×224 frame
(`camtool.metrics.unit_frame`), on the map of the true class. At threshold `t` the foreground is
`map > int(t · max(map))` of the 8-bit map, so 256 masks answer for any number of thresholds.

The best threshold is an oracle: it is chosen on the scored images. `BoxAccuracyCurve.at` gives the
accuracy at a threshold that was fixed before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from camtool.metrics.level_hits import OWN_RULES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from numpy.typing import NDArray

    from camtool.metrics.level_hits import LevelHits

__all__ = [
    "IOUS",
    "Best",
    "BoxAccuracy",
    "BoxAccuracyCurve",
    "ROW",
    "thresholds",
]

IOUS = (30, 50, 70)
"""Thresholds on the intersection over union, in percent."""

_BITS = len(IOUS) * 32
ROW = _BITS + 1 + len(OWN_RULES)
"""Bytes of an image of one class: `LevelHits.packed` at the `IOUS`."""


def thresholds(interval: float) -> NDArray[np.float64]:
    """Return the thresholds 0, interval, 2·interval, … below 1."""
    return np.arange(0, 1, interval)


@dataclass(frozen=True, slots=True)
class Best:
    """The best of a curve.

    Attributes:
        value: accuracy in percent.
        threshold: the lowest threshold that reaches it.
    """

    value: float
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class BoxAccuracyCurve:
    """Right images against the threshold of the map.

    Attributes:
        thresholds: float64 of shape (n,).
        right: number of right images at each threshold, by `IOUS`, int64 of shape (3, n).
        images: number of images.
    """

    thresholds: NDArray[np.float64]
    right: NDArray[np.int64]
    images: int

    def best(self, iou: int) -> Best:
        """Return the accuracy at the best threshold: the oracle."""
        row = self.right[IOUS.index(iou)]
        place = int(row.argmax())
        return Best(100 * int(row[place]) / self.images, float(self.thresholds[place]))

    def at(self, threshold: float, iou: int) -> float:
        """Return the accuracy in percent at one of the thresholds.

        Raises:
            ValueError: `threshold` is none of them.
        """
        (places,) = np.nonzero(np.isclose(self.thresholds, threshold, rtol=0, atol=1e-9))
        if not len(places):
            raise ValueError(f"{threshold} is not among the thresholds of the curve")
        return 100 * int(self.right[IOUS.index(iou), places[0]]) / self.images


class BoxAccuracy:
    """Collects images, 99 bytes each, and counts the right ones at any thresholds."""

    def __init__(self) -> None:
        """Begin without images."""
        self._rows = bytearray()

    @classmethod
    def of(cls, every: Iterable[bytes]) -> Self:
        """Collect images, each as `LevelHits.packed`; of several classes, one after the other."""
        accuracy = cls()
        for packed in every:
            accuracy._rows += packed
        return accuracy

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._rows) // ROW

    @property
    def flat(self) -> int:
        """Number of images whose 8-bit map is zero everywhere: flat, or not finite."""
        return int((self._peaks == 0).sum())

    def update(self, hits: LevelHits) -> None:
        """Add an image."""
        self._rows += hits.packed()

    def merge(self, other: BoxAccuracy) -> None:
        """Add the images of another collection, behind those that are here."""
        self._rows += other._rows

    def compute(self, at: NDArray[np.float64]) -> BoxAccuracyCurve:
        """Count the right images at each of the thresholds `at`, each in [0, 1].

        Raises:
            ValueError: there are no images.
        """
        if not len(self):
            raise ValueError("box accuracy needs at least one image")
        right = np.zeros((len(IOUS), len(at)), np.int64)
        for peak, hits in self._by_peak():
            right += hits.sum(0, dtype=np.int64)[:, _levels(at, peak)]
        return BoxAccuracyCurve(at, right, len(self))

    def hits(self, threshold: float) -> NDArray[np.bool_]:
        """Return which images are right at a threshold, bool of shape (images, 3)."""
        return self._at((threshold * self._peaks.astype(np.float64)).astype(np.int64))

    def own(self, rule: str) -> NDArray[np.float64]:
        """Return the accuracies in percent at each map's own level by one of `OWN_RULES`, (3,)."""
        levels = self._table[:, _BITS + 1 + OWN_RULES.index(rule)]
        hits = self._at(levels.astype(np.int64))
        result: NDArray[np.float64] = 100 * hits.sum(0, dtype=np.int64) / len(self)
        return result

    @property
    def _table(self) -> NDArray[np.uint8]:
        return np.frombuffer(self._rows, np.uint8).reshape(-1, ROW)

    @property
    def _bits(self) -> NDArray[np.uint8]:
        """Return the bits of each image, a view of shape (images, 3, 32)."""
        return self._table[:, :_BITS].reshape(-1, len(IOUS), 32)

    @property
    def _peaks(self) -> NDArray[np.uint8]:
        return self._table[:, _BITS]

    def _at(self, levels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which images are right, each at a level of its own, bool of shape (images, 3)."""
        rows = self._bits
        bytes_ = rows[np.arange(len(rows)), :, levels >> 3]
        result: NDArray[np.bool_] = (bytes_ >> (7 - (levels & 7))[:, None] & 1).astype(np.bool_)
        return result

    def blocks(
        self, at: NDArray[np.float64], most: int = 512
    ) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Yield up to `most` images and which are right at each threshold, uint8 (k, 3, n)."""
        peaks, rows = self._peaks, self._bits
        for first in range(0, len(self), most):
            images = slice(first, min(first + most, len(self)))
            hits = np.unpackbits(rows[images], axis=2)
            block = np.empty((*hits.shape[:2], len(at)), np.uint8)
            for peak in np.unique(peaks[images]):
                same = peaks[images] == peak
                block[same] = hits[same][:, :, _levels(at, int(peak))]
            yield images, block

    def distinct(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return those of the thresholds that give masks of their own in some image."""
        peaks = np.unique(self._peaks).astype(np.int64)
        levels = np.stack([_levels(at, int(peak)) for peak in peaks])
        _, first = np.unique(levels, axis=1, return_index=True)
        return at[np.sort(first)]

    def _by_peak(self, most: int = 512) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Yield hits of up to `most` images of one peak, uint8 of shape (n, 3, 256)."""
        peaks, rows = self._peaks, self._bits
        for peak in np.unique(peaks):
            (places,) = np.nonzero(peaks == peak)
            for first in range(0, len(places), most):
                chosen = rows[places[first : first + most]]
                yield int(peak), np.unpackbits(chosen, axis=2)


def _levels(at: NDArray[np.float64], peak: int) -> NDArray[np.int64]:
    """Return `int(t · max)` of each threshold."""
    return (at * peak).astype(np.int64)
