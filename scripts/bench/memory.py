"""Peak memory of `camtool localize` for 1,000 and for 10,000 pictures.

    python scripts/bench/memory.py [--pictures N] [--times T] [--backbone NAME]

N small JPEG pictures are drawn; the larger set holds each T times, under other names (hard links).
Each run is a process of its own. Printed are the peak resident sizes in MB and their ratio, which
is to stay within 10 %: what is kept of a picture that is done is on the disk. A run over eight
pictures comes first: most of the memory is the program and its libraries.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Draw the pictures, run, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--backbone", default="timm/test_resnet")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        once = draw(place / "once", options.pictures)
        sets = [draw(place / "few", 8), once, repeat(once, place / "often", options.times)]
        peaks = []
        for pictures in sets:
            began = time.monotonic()
            run = place / f"run-{pictures.name}"
            peaks.append(peak_megabytes(pictures, run, options.backbone))
            seconds = time.monotonic() - began
            count = f"{len(list(pictures.iterdir())):,}"
            print(f"{count:>9} pictures  {peaks[-1]:7.1f} MB  {seconds:6.1f} s", flush=True)
    print(f"ratio {peaks[2] / peaks[1]:.3f}")


def draw(folder: Path, count: int) -> Path:
    """Draw pictures of 160×120 pixels, each another."""
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels).resize((160, 120), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:05d}.jpg", quality=90)
    return folder


def repeat(source: Path, folder: Path, times: int) -> Path:
    """Link every picture `times` times."""
    folder.mkdir()
    for picture in sorted(source.iterdir()):
        for copy in range(times):
            (folder / f"{picture.stem}-{copy}.jpg").hardlink_to(picture)
    return folder


def peak_megabytes(pictures: Path, run: Path, backbone: str) -> float:
    """Localize in a process of its own, and return its largest resident size."""
    arguments = [
        sys.executable, "-m", "camtool", "localize", str(pictures), "-o", str(run),
        "--set", f"model.backbone={backbone}", "--set", "model.weights=none",
        "--set", "localize.preprocess.size=64", "--set", "localize.overlays.enabled=false",
    ]  # fmt: skip
    quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawn(sys.executable, arguments, os.environ, file_actions=quiet)
    _, status, usage = os.wait4(process, 0)
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"localize ended with exit code {code}")
    # Kilobytes on Linux, bytes on macOS.
    return usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    main()
