"""Time of every box rule on one map, as a multiple of the paper's rule.

    python scripts/bench/boxes.py [--rounds R]

For smooth random maps of 7×7 cells on images of 500×375 and 4000×3000 pixels, all rules are timed
in turn, R rounds, on one core, with their defaults. Printed are the medians over the rounds, and
those of the ratios round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np
from PIL import Image

from camtool.boxes import BoxRule, Rule
from camtool.settings import members
from camtool.structures import ScoreMap


def compare(size: tuple[int, int], rounds: int) -> None:
    """Print the table of one image size."""
    random = np.random.default_rng(0)
    values = cv2.blur(random.random((7, 7)).astype(np.float32), (3, 3)) - np.float32(0.3)
    score_map = ScoreMap(values, (0.0, 0.0, float(size[0]), float(size[1])), size)
    coarse = random.integers(0, 255, (30, 40, 3), np.uint8)
    photo = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    rules = [rule() for rule in members(BoxRule, Rule)]
    pictures = [rule.picture(photo) for rule in rules]
    times: list[list[float]] = []
    for _ in range(rounds + 1):
        times.append([])
        for rule, picture in zip(rules, pictures, strict=True):
            began = time.perf_counter()
            rule.boxes(score_map, None, picture)
            times[-1].append(time.perf_counter() - began)
    measured = np.array(times[1:])  # the first round compiles
    print(f"{size[0]}×{size[1]} pixels")
    for i, rule in enumerate(rules):
        ratio = statistics.median(measured[:, i] / measured[:, 0])
        name = type(rule).model_fields["name"].default
        print(f"  {name:12} {1000 * statistics.median(measured[:, i]):9.2f} ms {ratio:9.1f} ×")


def main() -> None:
    """Read the options and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    for size in ((500, 375), (4000, 3000)):
        compare(size, rounds)


if __name__ == "__main__":
    main()
