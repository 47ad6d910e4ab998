"""Counts of right images at every threshold, and under every rule for the threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.threshold_sweep import IOUS, ROWS, RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.threshold_sweep import SweptClass

__all__ = ["GT_KNOWN", "ThresholdTable", "best_plateau"]

GT_KNOWN: Final = 0
"""Stands for GT-known where a number N means top-N."""

_AT_ONCE: Final = 4096


class ThresholdTable:
    """The images that count for localization, some hundred bytes each.

    Attributes:
        shares: the thresholds, ascending, float64 of shape (n,).
        images: number of images.
        classes: number of pairs of image and true class with boxes.
    """

    def __init__(self, images: Sequence[Sequence[SweptClass]], shares: NDArray[np.float64]) -> None:
        """Collect images; each has its true classes with boxes, at `shares` and by `RULES`."""
        every = [swept for image in images for swept in image]
        self.shares = shares
        self.images, self.classes = len(images), len(every)
        self.names = [swept.name for swept in every]
        self._image = np.repeat(np.arange(len(images)), [len(image) for image in images])
        none = np.iinfo(np.int64).max
        ranks = [none if swept.rank is None else swept.rank for swept in every]
        self._ranks = np.array(ranks, np.int64)
        self._lacks = np.array([swept.bits is None for swept in every], np.bool_)
        width = -(-(len(shares) + len(RULES)) // 8)
        empty = bytes(ROWS * width)
        bits = b"".join(empty if s.bits is None else s.bits for s in every)
        self._bits = np.frombuffer(bits, np.uint8).reshape(-1, ROWS, width)

    def total(self, n: int) -> int:
        """Return what a figure is a share of: pairs of image and class for GT-known, or images."""
        return self.classes if n == GT_KNOWN else self.images

    def lacking(self, n: int) -> int:
        """Return for how many images a map that top-`n` (or GT-known) needs is not stored."""
        return len(np.unique(self._image[self._lacks & self._counting(n)]))

    def right(self, n: int, iou: float | None = None) -> NDArray[np.int64]:
        """Return how many are right at each threshold and by each of `RULES`.

        Args:
            n: top-`n`, or `GT_KNOWN`.
            iou: one of `IOUS`, or None for the protocol's own.

        Returns:
            int64 of shape (n + 2,).
        """
        columns = len(self.shares) + len(RULES)
        result = np.zeros(columns, np.int64)
        # Cut between images, so that the classes of one are together.
        for start in range(0, self.images, _AT_ONCE):
            low, high = np.searchsorted(self._image, (start, start + _AT_ONCE))
            hits = np.unpackbits(self._bits[low:high, _row(n, iou)], axis=1, count=columns)
            result += self._of_images(n, hits, slice(low, high)).sum(0, dtype=np.int64)
        return result

    def right_with(
        self, n: int, otherwise: float, by_class: Mapping[str, float] | None = None
    ) -> int:
        """Return how many are right when each class has its threshold.

        Args:
            n: top-`n`, or `GT_KNOWN`.
            otherwise: threshold of the classes that are not named; one of `shares`.
            by_class: thresholds by the name of the class; each one of `shares`.
        """
        by_class = by_class or {}
        chosen = [by_class.get(name, otherwise) for name in self.names]
        columns = np.searchsorted(self.shares, chosen)
        bytes_ = self._bits[np.arange(self.classes), _row(n, None), columns >> 3]
        hits = (bytes_ >> (7 - (columns & 7))) & 1
        return int(self._of_images(n, hits[:, None], slice(None)).sum())

    def of_class(self, name: str) -> NDArray[np.int64]:
        """Return how many pairs of a class are right by GT-known, at each threshold."""
        chosen = self._bits[[own == name for own in self.names], _row(GT_KNOWN, None)]
        hits = np.unpackbits(chosen, axis=1, count=len(self.shares))
        result: NDArray[np.int64] = hits.sum(0, dtype=np.int64)
        return result

    def _counting(self, n: int) -> NDArray[np.bool_]:
        return self._ranks <= n if n != GT_KNOWN else np.ones(self.classes, np.bool_)

    def _of_images(self, n: int, hits: NDArray[np.uint8], part: slice) -> NDArray[np.uint8]:
        """Leave pairs as they are for GT-known; else join those of an image that count."""
        if n == GT_KNOWN:
            return hits
        image = self._image[part]
        firsts = np.flatnonzero(np.diff(image, prepend=-1))
        counting = hits * self._counting(n)[part, None]
        result: NDArray[np.uint8] = np.maximum.reduceat(counting, firsts) if len(firsts) else hits
        return result


def _row(n: int, iou: float | None) -> int:
    known = (1 + len(IOUS)) * (n == GT_KNOWN)
    return known + (0 if iou is None else 1 + IOUS.index(iou))


def best_plateau(right: NDArray[np.int64]) -> int:
    """Return the place of the best threshold: the middle of the widest run of equally good ones.

    Of runs of equal width the one of lower thresholds, of two middles the lower one: on other
    images the middle of a plateau is safer than its edge.
    """
    best = np.flatnonzero(right == right.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(runs, key=len)
    return int(widest[(len(widest) - 1) // 2])
