"""PxAP: pixel-wise average precision of score maps against masks.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437: the pixels of the whole set make one precision–recall curve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.kernels import grouped_histogram
from camtool.metrics.curves import Curve, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "BINS",
    "IGNORED",
    "PixelCounts",
    "average_precision",
    "combine_masks",
    "pixel_histogram",
]

IGNORED = 255
"""Value of pixels that do not count; 1 is foreground and 0 background."""

_EDGES = np.append(np.arange(0, 1, 0.001), (1.0, 2.0, 3.0))
BINS = len(_EDGES) - 1
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
    return grouped_histogram(values, mask, _EDGES, 1000)


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

    def merge(self, other: PixelCounts) -> None:
        """Add the pixels of another collection."""
        self._counts += other._counts

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
