"""PxAP: pixel-wise average precision of score maps against masks.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437: the pixels of the whole set make one precision–recall curve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, final

import numpy as np

from camtool.boxes.compiled import compiled
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["IGNORED", "PixelCounts", "PxAP", "combine_masks"]

IGNORED = 255
"""Value of pixels that do not count; 1 is foreground and 0 background."""

_EDGES = np.append(np.arange(0, 1, 0.001), (1.0, 2.0, 3.0))


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


class PixelCounts:
    """Histograms of the scores of foreground and background pixels; 16 kB however many images."""

    def __init__(self) -> None:
        """Begin without pixels."""
        self._counts = np.zeros((2, len(_EDGES) - 1), np.int64)

    def update(self, values: NDArray[np.floating[Any]], mask: NDArray[np.uint8]) -> None:
        """Add an image.

        Args:
            values: score map in [0, 1], shape (h, w).
            mask: 1 foreground, 255 ignored, 0 background; uint8 of the same shape.

        Raises:
            ValueError: the shapes differ, or a score is outside [0, 1] or none.
        """
        if values.shape != mask.shape:
            raise ValueError(f"map of shape {values.shape}, mask of shape {mask.shape}")
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError("the map's values are not all within [0, 1]")
        _count(np.ravel(values).astype(np.float64), np.ravel(mask), _EDGES, self._counts)

    def merge(self, other: PixelCounts) -> None:
        """Add the pixels of another collection."""
        self._counts += other._counts

    def compute(self) -> float:
        """Return PxAP in percent.

        Raises:
            ValueError: no foreground pixel has been counted.
        """
        background, foreground = self._counts[:, ::-1].cumsum(1)
        if not foreground[-1]:
            raise ValueError("PxAP needs at least one foreground pixel")
        recall = foreground / foreground[-1]
        positive = foreground + background
        any_positive = positive > 0
        precision = foreground[any_positive] / positive[any_positive]
        gained = np.diff(recall, prepend=0.0)[any_positive]
        return float(100 * (precision * gained).sum())


@compiled
def _count(values: Any, mask: Any, edges: Any, counts: Any) -> None:  # noqa: ANN401
    """Count scores in [edge, next edge), foreground and background apart."""
    last = counts.shape[1] - 1
    for i in range(len(values)):
        if mask[i] > 1:
            continue
        place = min(int(values[i] * 1000), last)
        # The product may round over an edge, which is the double nearest to a thousandth.
        while place > 0 and values[i] < edges[place]:
            place -= 1
        while place < last and values[i] >= edges[place + 1]:
            place += 1
        counts[mask[i], place] += 1


@final
class PxAP(Settings):
    """Area under the precision–recall curve of all pixels of all images."""

    name: Literal["pxap"] = "pxap"

    def figures(self, counts: PixelCounts) -> dict[str, float]:
        """Return the metric in percent, by name."""
        return {"pxap": counts.compute()}
