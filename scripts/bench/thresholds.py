"""Time of a threshold curve of the paper's rule against that of one threshold.

    python scripts/bench/thresholds.py [--rounds R]

For random and smooth maps of 7×7, 14×14 and 28×28 cells on images of 500×375 and 4000×3000 pixels,
three things are timed in turn, R rounds, on one core:

    dense      one threshold the plain way: the map brought to image size, then
               cv2.connectedComponentsWithStats
    pieces     one threshold as `localize` takes it: camtool.kernels.components
    curve      100 thresholds at once: camtool.kernels.sweep

Printed are the medians of the rounds, and those of the ratios round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from camtool.kernels import boxes_at_thresholds, components_above
from camtool.structures import ScoreMap

SHARES = np.arange(100) / 100


def dense(score_map: ScoreMap) -> None:
    """One threshold, pixel by pixel."""
    pixels = score_map.at_image_size()
    mask = (pixels > 0.2 * pixels.max()).view(np.uint8)
    cv2.connectedComponentsWithStats(mask, connectivity=8)


def seconds(function: Callable[[], object], times: int) -> float:
    """Mean time of a call."""
    began = time.perf_counter()
    for _ in range(times):
        function()
    return (time.perf_counter() - began) / times


def class_map(cells: int, *, smooth: bool) -> NDArray[np.float32]:
    """Random cells, or their mean over 3×3 neighbours, as a network's receptive fields overlap."""
    values = np.random.default_rng(cells).random((cells, cells)).astype(np.float32)
    return cv2.blur(values, (3, 3)) if smooth else values


def compare(cells: int, size: tuple[int, int], rounds: int, *, smooth: bool) -> None:
    """Print one line of the table."""
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    score_map = ScoreMap(class_map(cells, smooth=smooth), whole, size)
    times = 20 if size[0] < 1000 else 1
    ways: list[Callable[[], object]] = [
        lambda: dense(score_map),
        lambda: components_above(score_map.values, *score_map.axes, 0.2),
        lambda: boxes_at_thresholds.compiled(score_map.values, *score_map.axes, SHARES),
    ]
    for way in ways:
        way()  # compile
    rows = [[seconds(way, times) for way in ways] for _ in range(rounds)]
    plain, one, curve = (1e3 * statistics.median(column) for column in zip(*rows, strict=True))
    to_dense = statistics.median(row[2] / row[0] for row in rows)
    to_one = statistics.median(row[2] / row[1] for row in rows)
    print(
        f"{cells:>2}×{cells:<2} {'smooth' if smooth else 'random'}  {size[0]:>4}×{size[1]:<4}"
        f"  {plain:8.2f}  {one:8.2f}  {curve:8.2f}  {to_dense:5.2f}× dense  {to_one:5.1f}× pieces"
    )


def main() -> None:
    """Time everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("map           image      dense ms  pieces ms  curve ms  one curve costs")
    for size in ((500, 375), (4000, 3000)):
        for cells in (7, 14, 28):
            for smooth in (True, False):
                compare(cells, size, options.rounds, smooth=smooth)


if __name__ == "__main__":
    main()
