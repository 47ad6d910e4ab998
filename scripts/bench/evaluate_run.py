"""Time and peak memory of `camtool eval` over run folders of drawn maps.

    python scripts/bench/evaluate_run.py [--images N ...] [--cells C ...] [--protocol NAME ...]

For each size a run folder with a map of C×C random cells an image is written, and true boxes as
csv. Each `camtool eval` is a process of its own. Printed are:

    scaling    time on one core against time on all of them, in turn, for each map size: of whole
               processes, and less the time of a run of 65 images
    threads    the same in one process, against as many processes as there are cores, each with its
               own share of the images: what the interpreter's lock costs, also on a busy machine
    memory     the largest resident size and the time for each number of images, with the ratio to
               the smallest, and the kilobytes that each image more takes

What grows with the images, about 1.5 kB each: the annotations with their boxes and ids, the tables
of the join by id, and what is kept of a judged image, 99 bytes of hits among it. Predictions
and maps are read as they are scored, and resamples are drawn in blocks of a megabyte.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from camtool.runs.maps import pack
from camtool.structures import ScoreMap

AT_ONCE = 512
SIZE = (500, 375)
CORES = sorted(os.sched_getaffinity(0))


class Cost(NamedTuple):
    """What a process took: seconds and megabytes."""

    seconds: float
    megabytes: float


def draw_run(folder: Path, images: int, cells: int) -> Path:
    """Write a run folder and its true boxes; the maps of the first 512 images are repeated."""
    (folder / "maps").mkdir(parents=True)
    random = np.random.default_rng(cells)
    region = (0.0, 0.0, float(SIZE[0]), float(SIZE[1]))
    maps = [
        ScoreMap(random.random((cells, cells), dtype=np.float32), region, SIZE)
        for _ in range(min(AT_ONCE, images))
    ]
    packed = pack(maps)
    lines, boxes = [], ["image,x0,y0,x1,y1,label"]
    for number in range(images):
        name, maps_file = f"i{number:06d}", f"maps/{number // AT_ONCE:05d}.npz"
        if number % AT_ONCE == 0:
            (folder / maps_file).write_bytes(packed)
        lines.append(
            f'{{"image_id":"{name}","path":"{name}.jpg","width":{SIZE[0]},"height":{SIZE[1]},'
            f'"classes":[{{"index":0,"name":"n0","score":0.5,"rank":1,"target":true,"boxes":[],'
            f'"map":{number % AT_ONCE}}}],"maps":"{maps_file}"}}'
        )
        x, y = random.integers(0, 200, 2)
        boxes.append(f"{name},{x},{y},{x + random.integers(50, 300)},{y + 170},n0")
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "manifest.json").write_text('{"classes":[{"index":0,"name":"n0","title":"n0"}]}')
    (folder / "boxes.csv").write_text("\n".join(boxes) + "\n")
    return folder


def score(run: Path, protocol: str, cores: list[int]) -> Cost:
    """Run `camtool eval` on some of the cores."""
    boxes = ["--boxes", str(run / "boxes.csv"), "-o", str(run / "out.json"), "--format", "json"]
    command = [sys.executable, "-m", "camtool", "eval", str(run), "--protocol", protocol, *boxes]
    began = time.perf_counter()
    os.sched_setaffinity(0, cores)
    try:
        process = subprocess.Popen(command)
    finally:
        os.sched_setaffinity(0, CORES)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"eval ended with exit code {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_maxrss / 1024)


def scaling(place: Path, cells: int, images: int, protocol: str) -> None:
    """Print how much faster all cores are."""
    few = draw_run(place / f"few-{cells}", 65, cells)
    run = draw_run(place / f"scaling-{cells}", images, cells)
    start = score(few, protocol, CORES)
    start = score(few, protocol, CORES)
    rounds = [(score(run, protocol, CORES[:1]), score(run, protocol, CORES)) for _ in range(3)]
    one, every = (min(cost[side].seconds for cost in rounds) for side in (0, 1))
    net = (one - start.seconds) / (every - start.seconds)
    print(
        f"{cells:>2}×{cells:<2}  {protocol:12}  {one:6.1f} s on 1 core  {every:6.1f} s on "
        f"{len(CORES)}  {one / every:4.2f}×  ({net:4.2f}× without {start.seconds:.1f} s of start)",
        flush=True,
    )


def threads(place: Path, cells: int, images: int, protocol: str) -> None:
    """Print the time of one process with a thread a core against a process a core."""
    whole = draw_run(place / f"whole-{cells}", images, cells)
    shares = [draw_run(place / f"share-{cells}-{n}", images // len(CORES), cells) for n in CORES]
    rounds = []
    for _ in range(3):
        one = score(whole, protocol, CORES).seconds
        began = time.perf_counter()
        with ThreadPoolExecutor(len(CORES)) as pool:
            list(pool.map(lambda n: score(shares[n], protocol, [CORES[n]]), range(len(CORES))))
        rounds.append((one, time.perf_counter() - began))
    one, many = (min(seconds[side] for seconds in rounds) for side in (0, 1))
    print(
        f"{cells:>2}×{cells:<2}  {protocol:12}  {one:6.1f} s with {len(CORES)} threads  "
        f"{many:6.1f} s as {len(CORES)} processes  {many / one:4.2f}×",
        flush=True,
    )


def memory(place: Path, cells: int, numbers: list[int], protocol: str) -> None:
    """Print peak memory and time for each number of images."""
    score(draw_run(place / "warm", 65, cells), protocol, CORES)  # compile
    first: tuple[int, float] | None = None
    for images in numbers:
        cost = score(draw_run(place / f"memory-{images}", images, cells), protocol, CORES)
        first = first or (images, cost.megabytes)
        more = 1024 * (cost.megabytes - first[1]) / max(images - first[0], 1)
        print(
            f"{images:>7,} images  {protocol:12}  {cost.seconds:6.1f} s  {cost.megabytes:6.1f} MB  "
            f"{cost.megabytes / first[1]:5.3f}×  {more:5.2f} kB for each image more",
            flush=True,
        )


def main() -> None:
    """Draw, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000, 50_000])
    parser.add_argument("--scaling", type=int, default=5000, help="images to time all cores with")
    parser.add_argument("--cells", type=int, nargs="+", default=[7, 14, 28])
    parser.add_argument("--protocol", nargs="+", default=["maxboxacc", "maxboxacc-v2"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for protocol in options.protocol:
            place = Path(folder) / protocol
            for cells in options.cells if options.scaling else []:
                scaling(place, cells, options.scaling, protocol)
                threads(place, cells, options.scaling, protocol)
            memory(place, options.cells[0], options.images, protocol)


if __name__ == "__main__":
    main()
