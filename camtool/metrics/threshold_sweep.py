"""At which thresholds of its map an image is right: what every rule for the threshold would give.

A threshold that was chosen on the scored images is an oracle. So beside it stands what can be had
without them: a fixed one, each map's own, one chosen on other images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, final

import numpy as np
from pydantic import Field

from camtool.boxes.thresholds import Share, otsu_bin, percentile_bin
from camtool.geometry import Box, scale
from camtool.kernels import BINS
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from camtool.boxes import SweptRule
    from camtool.metrics.box_protocol import BoxProtocol
    from camtool.structures import ScoreMap

__all__ = ["IOUS", "RULES", "Sweep", "SweptClass", "judge_shares", "right_by", "swept_class"]

IOUS: Final = (0.3, 0.5, 0.7)
"""Intersections over union of the curves."""

RULES: Final = ("otsu", "percentile")
"""Rules that give each map a threshold of its own; their places are behind those of the shares."""

ROWS: Final = 2 * (1 + len(IOUS))
"""Hit rule of a guess, at the protocol's own IoU and at `IOUS`; then the same of GT-known."""


@final
class Sweep(Settings):
    """Scoring the stored maps at many thresholds, beside the boxes as stored."""

    step: Annotated[float, Field(ge=0.001, le=0.5)] = 0.01
    """Step from threshold to threshold, from 0 on."""
    fixed: Share = 0.2
    """The threshold of the CAM paper, beside the others."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 80.0
    """Percentage of a map's pixels that are background, for the percentile rule."""

    def shares(self, *more: float) -> NDArray[np.float64]:
        """Return all thresholds, the fixed one and `more` among them, ascending, shape (n,)."""
        steps = np.arange(round(1 / self.step) + 1) * self.step
        # As written: 0.07, not the product 7 * 0.01 that lies beside it.
        grid = {round(float(x), 6) for x in steps if round(float(x), 6) < 1}
        return np.array(sorted(grid | {self.fixed, *more}), np.float64)


@dataclass(frozen=True, slots=True)
class SweptClass:
    """One true class of an image, at all thresholds.

    Attributes:
        name: the class as the network names it; as the annotation does where that is unknown.
        rank: place of the class in the network's order; None where it is not stored.
        bits: at which thresholds and rules the box is right, for each of `ROWS` packed bits; None
            where the class has no map.
    """

    name: str
    rank: int | None
    bits: bytes | None


def judge_shares(
    boxes: SweptRule,
    sweep: Sweep,
    score_map: ScoreMap,
    shares: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the box at each threshold, and by each of `RULES`.

    Args:
        boxes: the box rule; its own threshold does not count.
        sweep: the settings of the rules.
        score_map: the map.
        shares: ascending thresholds, shape (n,).

    Returns:
        x0, y0, x1, y1 in pixels of the map's image, float64 of shape (n + 2, 4); zeros for none.
    """
    if not np.isfinite(score_map.values).all():
        return np.zeros((len(shares) + len(RULES), 4))
    counts = boxes.histogram(score_map)
    bins = (otsu_bin(counts), percentile_bin(counts, sweep.percentile))
    every = np.concatenate((shares, [(level + 1) / BINS for level in bins]))
    order = np.argsort(every, kind="stable")
    result = np.empty((len(every), 4))
    result[order] = boxes.boxes_at(score_map, every[order])
    return result


def swept_class(
    name: str,
    rank: int | None,
    found: NDArray[np.float64],
    right: Callable[[Box], Sequence[bool]],
) -> SweptClass:
    """Judge the boxes of all thresholds.

    Args:
        name: see `SweptClass`.
        rank: see `SweptClass`.
        found: boxes at n thresholds, shape (n, 4); zeros for none.
        right: tells for each of `ROWS` whether a box is right.
    """
    hits = np.zeros((ROWS, len(found)), np.bool_)
    known: dict[tuple[float, ...], Sequence[bool]] = {(0.0, 0.0, 0.0, 0.0): (False,) * ROWS}
    for column, corners in enumerate(map(tuple, found.tolist())):
        if corners not in known:
            known[corners] = right(Box(*corners))
        hits[:, column] = known[corners]
    return SweptClass(name, rank, np.packbits(hits, axis=1).tobytes())


def right_by(
    protocol: BoxProtocol,
    true_boxes: Sequence[Box],
    source: tuple[int, int],
    size: tuple[int, int],
) -> Callable[[Box], Sequence[bool]]:
    """Return what judges a box, for each of `ROWS`.

    Args:
        protocol: what is right.
        true_boxes: the true boxes of the class, in a frame of `size`.
        source: (width, height) of the frame that the judged boxes are in.
        size: (width, height) of the annotation's frame.
    """

    def right(box: Box) -> Sequence[bool]:
        overlap = protocol.overlap(scale(box, source, size), true_boxes, size)
        return [
            protocol.is_right(overlap, at, known=known)
            for known in (False, True)
            for at in (None, *IOUS)
        ]

    return right
