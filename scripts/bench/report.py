"""Size of the page of `camtool report`, and what it takes to write it.

    python scripts/bench/report.py [--images N] [--assets] [--pictures N]

A run over N drawn pictures of 227×227 pixels is written, each image with five maps of 7×7 cells
and a true box; images beyond the number of pictures show the same ones again. Printed are the
seconds of the whole command, the sizes of page and assets in MB, and the peak resident size in MB.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from camtool.boxes import PaperBoxes
from camtool.runs import RunFolder, Shard
from camtool.structures import ClassPrediction, Prediction, ScoreMap

SIZE = (227, 227)
CLASSES = 100


def main() -> None:
    """Write the run, then its page, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--assets", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pictures = draw(place / "pictures", min(options.pictures, options.images))
        write_run(place / "run", pictures, options.images)
        rows = [f"{k:06d},20,20,199,199,c{k % CLASSES}" for k in range(options.images)]
        (place / "boxes.csv").write_text("\n".join(["image,x0,y0,x1,y1,label", *rows]) + "\n")
        page = place / "page.html"
        arguments = [
            sys.executable, "-m", "camtool", "-q", "report", str(place / "run"), "--boxes",
            str(place / "boxes.csv"), "-o", str(page), *(["--assets"] if options.assets else []),
        ]  # fmt: skip
        began = time.monotonic()
        process = os.posix_spawn(sys.executable, arguments, os.environ)
        _, status, usage = os.wait4(process, 0)
        if code := os.waitstatus_to_exitcode(status):
            sys.exit(f"report ended with exit code {code}")
        seconds = time.monotonic() - began
        beside = sum(path.stat().st_size for path in place.glob("page_assets/**/*.*"))
        # Kilobytes on Linux, bytes on macOS.
        peak = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
        print(
            f"{options.images:,} images: {seconds:.1f} s, page {page.stat().st_size / 1e6:.1f} MB,"
            f" assets {beside / 1e6:.1f} MB, peak {peak:.0f} MB"
        )


def draw(folder: Path, count: int) -> list[Path]:
    """Draw pictures, each another."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"{number:06d}.jpg" for number in range(count)]
    for path in paths:
        pixels = random.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
    return paths


def write_run(path: Path, pictures: list[Path], count: int) -> None:
    """Write a run of noise maps."""
    random, rule = np.random.default_rng(0), PaperBoxes()
    region = (0.0, 0.0, float(SIZE[0]), float(SIZE[1]))
    classes = [{"index": k, "name": f"c{k}", "title": None} for k in range(CLASSES)]
    experiment = {"localize": {"boxes": rule.model_dump(mode="json")}}
    folder = RunFolder(path, Shard(0, 1), count, {})
    with folder.open(json.dumps({"run": {"seed": 0}}), lambda *_: []):
        for number in range(count):
            maps = [
                ScoreMap(random.normal(0.3, 1, (7, 7)).astype(np.float32), region, SIZE)
                for _ in range(5)
            ]
            found = tuple(
                ClassPrediction(f"c{i}", 0.5, rule.boxes(m), rank + 1, i)
                for rank, m in enumerate(maps)
                for i in ((number + rank) % CLASSES,)
            )
            source = str(pictures[number % len(pictures)])
            folder.append([Prediction(f"{number:06d}", source, SIZE, found)], [maps])
        folder.assemble({"schema_version": 1, "experiment": experiment, "classes": classes})


if __name__ == "__main__":
    main()
