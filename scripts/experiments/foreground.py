"""What a foreground head adds, on pictures that it was not trained on: tables of docs/results.md.

    python scripts/experiments/foreground.py --data ilsvrc-val-227 [--out runs/foreground]
        [--seeds 0 1 2] [--networks lite0 lite2] [--others animals-voc fruit-voc …]

The pictures are cut in two by a fixed draw; a head is trained on each half, without labels or
boxes, and the other half is scored, for each seed. So every picture is scored by a head that never
saw it, at thresholds that were fixed before. Intervals are paired bootstraps of 95 % over images.
`--others` are scored whole with the head of all pictures that comes with camtool. What is finished
is not done again.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from commands import camtool

from camtool import EvalSettings, evaluate_files
from camtool.metrics import Criterion

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

NETWORKS = {"lite0": "timm/tf_efficientnet_lite0", "lite2": "timm/tf_efficientnet_lite2"}
CAM = ("--method", "cam")
FOREGROUND = ("--method", "foreground", "--threshold", "0.5")
SAMPLES = 10_000


def halves(data: Path, out: Path) -> list[tuple[Path, Path]]:
    """Write both halves as lists with labels; return (to train on, to score) of each."""
    rows = list(csv.DictReader((data / "labels.csv").open()))
    places = {path.name: path for path in (data / "Data").rglob("*.*")}
    random.Random(7).shuffle(rows)
    lists = []
    for number, part in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        path = out / f"half{number}.csv"
        lines = [f"{places[row['file']]},{row['wnid']}" for row in part]
        path.write_text("path,class\n" + "\n".join(lines) + "\n")
        lists.append(path)
    first, second = lists
    return [(first, second), (second, first)]


def localized(images: Path, labels: Path, out: Path, model: str | Path, how: Sequence[str]) -> Path:
    """Localize images, if that is not done."""
    if not (out / "manifest.json").exists():
        camtool("localize", images, "--labels", labels, "-o", out, "-m", model, *how,
                "--set", "localize.overlays.enabled=false")  # fmt: skip
    return out


def hits(run: Path, boxes: Path, threshold: float | None = None) -> NDArray[np.bool_]:
    """Return whether the true class's box is right, for each image in name order."""
    found = evaluate_files(EvalSettings(annotations=boxes, allow_missing=True), run)
    assert found.trials is not None
    located = found.trials.located
    column = "run" if threshold is None else threshold
    return located.right(Criterion(0.5), column)


def paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> str:
    """Return the accuracy of the second, and by how much it is above the first's, as text."""
    difference = second.astype(float) - first
    draws = np.random.default_rng(0).integers(0, len(difference), (SAMPLES, len(difference)))
    low, high = np.percentile(100 * difference[draws].mean(1), (2.5, 97.5))
    change = 100 * difference.mean()
    return f"{100 * second.mean():.1f} ({change:+.1f}, {low:+.1f} to {high:+.1f})"


def crossfitted(given: argparse.Namespace, name: str) -> Iterator[tuple[str, ...]]:
    """Train and score one network on both halves, for each seed."""
    data, out = given.data, given.out / name
    out.mkdir(parents=True, exist_ok=True)
    boxes, network = data / "Annotations", NETWORKS[name]
    parts = halves(data, out)
    plain = [
        localized(score, score, out / f"cam-{i}", network, CAM)
        for i, (_, score) in enumerate(parts)
    ]
    base = {t: np.concatenate([hits(run, boxes, t) for run in plain]) for t in (0.2, 0.3)}
    yield f"{name}, cam at .2", f"{100 * base[0.2].mean():.1f}", "", ""
    yield f"{name}, cam at .3", f"{100 * base[0.3].mean():.1f}", "", ""
    for seed in given.seeds:
        found = []
        for number, (train, score) in enumerate(parts):
            run = out / f"head-{seed}-{number}"
            camtool("train", "-o", run, "-m", network, "--resume", "--set", f"run.seed={seed}",
                    "--set", f"data={{name: images, root: {train}}}",
                    "--set", "train.method={name: foreground, head: new}",
                    "--set", "run.workers=0")  # fmt: skip
            found.append(localized(score, score, out / f"fg-{seed}-{number}", run, FOREGROUND))
        own = np.concatenate([hits(run, boxes) for run in found])
        yield (f"{name}, foreground, seed {seed}", f"{100 * own.mean():.1f}",
               paired(base[0.2], own), paired(base[0.3], own))  # fmt: skip


def others(given: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Score other pictures by the head that comes with camtool."""
    for data in given.others:
        runs = {
            how: localized(data / "Data", data / "labels.csv", given.out / f"{data.name}-{how[1]}",
                           NETWORKS["lite0"], how)
            for how in (CAM, FOREGROUND)
        }  # fmt: skip
        boxes = data / "Annotations"
        own = hits(runs[FOREGROUND], boxes)
        base = {t: hits(runs[CAM], boxes, t) for t in (0.2, 0.3)}
        yield (
            f"{data.name}, cam at .2 and .3",
            " and ".join(f"{100 * one.mean():.1f}" for one in base.values()),
            "",
            "",
        )
        yield (f"{data.name}, foreground", f"{100 * own.mean():.1f}", paired(base[0.2], own),
               paired(base[0.3], own))  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/foreground"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lite0"])
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    given.data, given.out = given.data.resolve(), given.out.resolve()
    print(
        "| | GT-known, % | against cam at .2 | against cam at .3 |\n|---|---|---|---|", flush=True
    )
    for name in given.networks:
        for row in crossfitted(given, name):
            print("|", " | ".join(row), "|", flush=True)
    for row in others(given):
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
