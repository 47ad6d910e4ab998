"""Time and memory of PxAP against a plain loop over numpy.histogram.

    python scripts/bench/pxap.py [--images N] [--rounds R]

Maps of 7×7 random cells and masks of 500×375 as PNG. In turn, R rounds:

    loop       read the mask, bring both to 224×224, two numpy.histogram of 1,003 bins, as the WSOL
               benchmark's program does it
    camtool    the same on one core, without intervals
    whole      figure, interval of 1,000 resamples, and what needs no network, on all cores

Printed are the medians in milliseconds an image, the ratio of the first two, and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from camtool.evaluation.masks import MaskFiles
from camtool.metrics.intervals import Bootstrap
from camtool.metrics.pxap import PxAP, pixel_histogram
from camtool.metrics.wsol_frame import map_to_frame
from camtool.structures import AnnotatedObject, Annotation, Prediction

FILES = 50
SIZE = (500, 375)
EDGES = np.append(np.arange(0, 1, 0.001), (1.0, 2.0, 3.0))


class Maps:
    """Maps of random cells, by the number of the image."""

    few = False
    of_true_class = True

    def __init__(self, masks: MaskFiles) -> None:
        """Make the maps of all files."""
        random = np.random.default_rng(0)
        self.masks = masks
        self._cells = random.random((FILES, 7, 7)).astype(np.float32)

    def has(self, prediction: Prediction, label: str | int) -> bool:  # noqa: ARG002
        """Every image has a map."""
        return True

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32]:  # noqa: ARG002
        """The map in the frame."""
        return map_to_frame(self._cells[int(prediction.image_id)])


def write_masks(folder: Path) -> None:
    """Rectangles with ragged edges."""
    random = np.random.default_rng(1)
    for number in range(FILES):
        mask = np.zeros(SIZE[::-1], np.uint8)
        x, y = random.integers(0, 200, 2)
        mask[y : y + 150, x : x + 250] = 255
        mask ^= (random.random(mask.shape) < 0.002).astype(np.uint8) * 255
        cv2.imwrite(str(folder / f"{number}.png"), mask)


def plain(maps: Maps, folder: Path, predictions: list[Prediction]) -> None:
    """The reference's way."""
    counts = np.zeros((2, len(EDGES) - 1))
    for prediction in predictions:
        mask = np.float32(cv2.imread(str(folder / f"{prediction.image_id}.png"), 0))
        mask = cv2.resize(mask, (224, 224), interpolation=cv2.INTER_NEAREST) > 0.5
        values = maps.load(prediction, 0)
        for side in (0, 1):
            counts[side] += np.histogram(values[mask == side].astype(float), bins=EDGES)[0]


def ours(maps: Maps, truths: list[Annotation], predictions: list[Prediction]) -> None:
    """Camtool's way, on one core."""
    counts = np.zeros((2, len(EDGES) - 1), np.int64)
    for truth, prediction in zip(truths, predictions, strict=True):
        mask = maps.masks.read(maps.masks.find(truth, 0), truth.size)
        counts += pixel_histogram(maps.load(prediction, 0), mask)


def whole(maps: Maps, truths: list[Annotation], predictions: list[Prediction]) -> None:
    """Everything that a report gives."""
    pairs = zip(truths, predictions, strict=True)
    outcomes = [PxAP().judge(truth, prediction, maps) for truth, prediction in pairs]
    PxAP().figures(outcomes, outcomes, network_classes=None, bootstrap=Bootstrap())


def milliseconds(function: Callable[[], object], images: int) -> float:
    """Time of one call, by image."""
    began = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - began) / images


def main() -> None:
    """Time everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    n = options.images
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_masks(folder)
        maps = Maps(MaskFiles(folder))
        ids = [str(i % FILES) for i in range(n)]
        truths = [Annotation(i, SIZE, (AnnotatedObject(0, None),)) for i in ids]
        predictions = [Prediction(i, i, SIZE) for i in ids]
        ours(maps, truths[:1], predictions[:1])  # compile
        rows = [
            (
                milliseconds(lambda: plain(maps, folder, predictions), n),
                milliseconds(lambda: ours(maps, truths, predictions), n),
                milliseconds(lambda: whole(maps, truths, predictions), n),
            )
            for _ in range(options.rounds)
        ]
    loop, one, every = (statistics.median(column) for column in zip(*rows, strict=True))
    ratios = [row[0] / row[1] for row in rows]
    print(f"loop {loop:.2f} ms  camtool {one:.2f} ms  whole {every:.2f} ms an image")
    print(f"ratio {loop / one:.1f}× ({min(ratios):.1f} to {max(ratios):.1f})")
    print(f"{50_000 * every / 6e4:.1f} min for 50,000 images")
    print(
        f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB for {n:,} images"
    )


if __name__ == "__main__":
    main()
