"""Time of the first, the second and the third start of `camtool eval` on maps.

    python scripts/bench/first_start.py [--maps N] [--protocol NAME ...] [--rounds R]

Drawn maps of 14×14 random cells with true boxes, each start a process of its own:

    first      nothing is compiled yet: the cache folder is new
    second     the compiled code comes from the cache
    handful    eight maps with a new cache: nothing is compiled for so few
    help       `camtool --help`, to compare

The first two are repeated with the package's own folder read-only for a copy of the package: the
cache lies in the user's cache folder, not beside the package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import camtool

XML = (
    "<annotation><filename>{name}</filename><size><width>500</width><height>375</height></size>"
    "<object><name>n0</name><bndbox><xmin>60</xmin><ymin>40</ymin><xmax>400</xmax><ymax>300</ymax>"
    "</bndbox></object></annotation>"
)


def draw(folder: Path, maps: int) -> list[str]:
    """Write maps and boxes; return the arguments that score them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    drawn = {f"i{number:04d}": random.random((14, 14)) for number in range(maps)}
    np.savez(folder / "maps.npz", allow_pickle=False, **drawn)
    boxes = "".join(XML.format(name=name) for name in drawn)
    (folder / "boxes.xml").write_text(f"<annotations>{boxes}</annotations>")
    return ["--predictions", str(folder / "maps.npz"), "--boxes", str(folder / "boxes.xml")]


def seconds(arguments: list[str], cache: Path, package: Path | None = None) -> float:
    """Time of one process."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(cache)}
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "camtool", *arguments],
        env=environment, check=True, stdout=subprocess.DEVNULL, cwd=cache.parent,
    )  # fmt: skip
    return time.perf_counter() - began


def starts(place: Path, given: list[str], package: Path | None) -> tuple[float, float]:
    """Time of the first and of the second start with a new cache."""
    cache = Path(tempfile.mkdtemp(dir=place))
    return seconds(given, cache, package), seconds(given, cache, package)


def main() -> None:
    """Time everything and print the medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--maps", type=int, default=100)
    parser.add_argument("--protocol", nargs="+", default=["maxboxacc", "maxboxacc-v2"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        many, few = draw(place / "many", options.maps), draw(place / "few", 8)
        copy = place / "installed"
        shutil.copytree(
            Path(camtool.__file__).parent, copy / "camtool",
            ignore=shutil.ignore_patterns("__pycache__"),
        )  # fmt: skip
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode & ~0o222)
        for protocol in options.protocol:
            scored = ["eval", "--protocol", protocol]
            for title, package in (("", None), (", package read-only", copy)):
                rounds = [starts(place, scored + many, package) for _ in range(options.rounds)]
                first, second = (statistics.median(r[i] for r in rounds) for i in (0, 1))
                print(
                    f"{protocol:12}  {options.maps} maps: first {first:5.2f} s, second "
                    f"{second:5.2f} s{title}",
                    flush=True,
                )
            handful = [
                seconds(scored + few, Path(tempfile.mkdtemp(dir=place)))
                for _ in range(options.rounds)
            ]
            print(f"{protocol:12}  8 maps, nothing compiled: {statistics.median(handful):5.2f} s")
        helps = [seconds(["--help"], place / "few") for _ in range(options.rounds)]
        print(f"camtool --help: {statistics.median(helps):5.2f} s")
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


if __name__ == "__main__":
    main()
