"""Time of the map metrics against a plain loop over cv2.findContours.

    python scripts/bench/evaluate.py [--maps N] [--rounds R]

For maps of 7×7, 14×14 and 28×28 random cells, brought to 224×224 by bicubic interpolation, three
things are timed in turn, R rounds, on one core:

    loop       8-bit map; at each of 1,000 thresholds cv2.threshold, cv2.findContours and the boxes,
               as the WSOL benchmark's program does it (its comparison with true boxes left out)
    camtool    8-bit map; all boxes of all thresholds, compared with true boxes at three IoU

Then camtool on all cores. Printed are the medians of the rounds, and the ratios round by round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray

from camtool.kernels import levels_with_overlap
from camtool.metrics import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.wsol_frame import eight_bit, map_to_frame

CORES = len(os.sched_getaffinity(0))
TRUTHS = np.array([[20, 30, 150, 180], [100, 100, 220, 200]])
METRICS = {"single": MaxBoxAcc(), "multi": MaxBoxAccV2()}
SHARES = np.array([0.3, 0.5, 0.7])


def plain_loop(unit: NDArray[np.float32], *, multi: bool) -> None:
    """Boxes at every threshold, one mask after the other."""
    values = np.expand_dims((unit * 255).astype(np.uint8), 2)
    for t in np.arange(0, 1, 0.001):
        level = int(t * np.max(values))
        _, mask = cv2.threshold(values, level, 255, cv2.THRESH_BINARY)
        found, _ = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        boxes = []
        for contour in found if multi else [max(found, key=cv2.contourArea)]:
            x, y, w, h = cv2.boundingRect(contour)
            boxes.append([x, y, min(x + w, 223), min(y + h, 223)])
        np.asarray(boxes)


def seconds(function: Callable[[], object]) -> float:
    """Time of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def judged(unit: NDArray[np.float32], mode: str) -> None:
    """Compare the boxes of one map at all thresholds with the true ones."""
    boxes, levels = METRICS[mode].contour_boxes(eight_bit(unit))
    levels_with_overlap(boxes, levels, TRUTHS, SHARES)


def all_cores(units: list[NDArray[np.float32]], mode: str) -> None:
    """Judge all maps, a thread a core."""
    with ThreadPoolExecutor(CORES) as pool:
        for _ in pool.map(lambda unit: judged(unit, mode), units):
            pass


def one_core(units: list[NDArray[np.float32]], mode: str) -> None:
    """Judge all maps in this thread."""
    for unit in units:
        judged(unit, mode)


def compare(cells: int, mode: str, maps: int, rounds: int) -> None:
    """Print one line of the table."""
    random = np.random.default_rng(cells)
    units = [map_to_frame(random.random((cells, cells))) for _ in range(maps)]
    many = units * max(1, 200 // maps)
    one_core(units * 30, mode)  # compile
    rows = []
    for _ in range(rounds):
        loop = seconds(lambda: [plain_loop(u, multi=mode == "multi") for u in units[:2]]) / 2
        one = seconds(lambda: one_core(many, mode)) / len(many)
        every = seconds(lambda: all_cores(many, mode)) / len(many)
        rows.append((loop, one, every, loop / one, one / every))
    loop, one, every, ratio, scaling = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    ratios = [row[3] for row in rows]
    print(
        f"{cells:>2}×{cells:<2}  {mode:6}  {1e3 * loop:8.1f}  {1e3 * one:8.3f}  "
        f"{ratio:5.0f}× ({min(ratios):.0f} to {max(ratios):.0f})  "
        f"{scaling:4.2f}× on {CORES} cores  {50_000 * every / 60:5.2f} min for 50,000 maps"
    )


def main() -> None:
    """Time everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--maps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    print("cells  contours  loop ms   camtool ms  ratio")
    for mode in METRICS:
        for cells in (7, 14, 28):
            compare(cells, mode, options.maps, options.rounds)


if __name__ == "__main__":
    main()
