"""The CAM paper's comparison of poolings: GAP, LSE and GMP on one network, three seeds each.

    python scripts/experiments/poolings.py --data tiny-imagenet-50.tar [--out runs/poolings]

Trains `configs/train/poolings.yaml` with each pooling and seed, localizes the validation images
with the last checkpoint, scores them, and writes `table.md` and `figures.json`. What is finished is
not done again: started anew after any kind of end, it goes on.

Figures are of all validation images: top-1 accuracy; top-1 and GT-known localization at threshold
0.2; GT-known localization at the best of all thresholds of that run; and the share of an image in
which the map of its class is above 20 % of its maximum. Beside the mean over the seeds stands
Student's 95 % interval, for the differences to GAP that of the differences seed by seed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tarfile
from pathlib import Path

import cv2
from commands import camtool

from camtool.evaluation.score_maps import RunMaps
from camtool.runs.predictions import read_predictions
from camtool.runs.writing import write_atomically

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "train" / "poolings.yaml"
POOLINGS = {"GAP": "{name: gap}", "LSE, r = 5": "{name: lse, r: 5}", "GMP": "{name: gmp}"}
FIGURES = {
    "top1": "top-1",
    "top1_localization": "top-1 localization at .2",
    "gt_known": "GT-known at .2",
    "gt_known_best": "GT-known at its best threshold",
    "area": "area above 20 %",
}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306}
"""97.5th percentile of Student's distribution, by the number of values."""


def unpacked(data: Path, out: Path) -> Path:
    """Return the folder `val`, out of the archive if it is one."""
    if data.is_dir():
        return data / "val"
    done = out / "val.done"
    if not done.exists():
        with tarfile.open(data) as archive:
            members = [m for m in archive.getmembers() if "val" in Path(m.name).parts]
            archive.extractall(out / "data", members, filter="data")
        done.touch()
    return next((out / "data").rglob("val_annotations.txt")).parent


def one(data: Path, val: Path, folder: Path, pooling: str, seed: int) -> dict[str, float]:
    """Train, localize and score one run; return its figures in percent."""
    figures = folder / "figures.json"
    if not figures.exists():
        boxes = val / "val_annotations.txt"
        options = (f'data.root="{data}"', f"model.pooling={pooling}", f"run.seed={seed}")
        sets = [part for option in options for part in ("--set", option)]
        camtool("train", "-c", CONFIG, *sets, "-o", folder / "train", "--resume")
        camtool(
            "localize", val / "images", "-m", folder / "train" / "checkpoints" / "last",
            "--labels", boxes, "-o", folder / "val", "--set", "localize.overlays.enabled=false",
        )  # fmt: skip
        told = folder / "eval.json"
        camtool("eval", folder / "val", "--boxes", boxes, "--format", "json", "-o", told)
        found = scored(json.loads(told.read_text())) | {"area": area(folder / "val", boxes)}
        write_atomically(figures, json.dumps(found, indent=1))
    return json.loads(figures.read_text())


def scored(report: dict) -> dict[str, float]:
    """Return accuracies in percent out of a report of `camtool eval`."""
    metrics, thresholds = report["metrics"], report["thresholds"]
    best = thresholds["gt_known_error"]["oracle"]
    return {
        "top1": 100 - metrics["top1_classification_error"]["value"],
        "top1_localization": 100 - metrics["top1_localization_error"]["value"],
        "gt_known": 100 - metrics["gt_known_error"]["value"],
        "gt_known_best": 100 - best["value"],
        "best_threshold": best["threshold"],
    }


def area(run: Path, labels: Path) -> float:
    """Return the mean share, in percent, of an image above 20 % of its map's maximum."""
    rows = (line.split("\t") for line in labels.read_text().splitlines())
    truth = {Path(row[0]).stem: row[1] for row in rows}
    maps, shares = RunMaps(run, len(truth)), []
    for prediction in read_predictions(run):
        found = maps.stored(prediction, truth[Path(prediction.image_id).stem])
        values = cv2.resize(found.values, found.size, interpolation=cv2.INTER_LINEAR)
        shares.append(float((values > 0.2 * values.max()).mean()))
    return 100 * statistics.mean(shares)


def interval(values: list[float]) -> tuple[float, float]:
    """Return the mean and half the width of Student's 95 % interval."""
    if len(values) == 1:
        return values[0], float("nan")
    spread = statistics.stdev(values) / len(values) ** 0.5
    return statistics.mean(values), STUDENT[len(values)] * spread


def table(figures: dict[str, list[dict[str, float]]]) -> str:
    """Return the table in Markdown: one line a pooling, then the differences to the first."""
    lines = [
        "| pooling | " + " | ".join(FIGURES.values()) + " |",
        "|---" * (len(FIGURES) + 1) + "|",
    ]
    first, *others = figures
    for name, rows in figures.items():
        cells = ["{:.1f} ± {:.1f}".format(*interval([r[key] for r in rows])) for key in FIGURES]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name in others:
        pairs = list(zip(figures[name], figures[first], strict=True))
        cells = [
            "{:+.1f} ± {:.1f}".format(*interval([a[key] - b[key] for a, b in pairs]))
            for key in FIGURES
        ]
        lines.append(f"| {name} minus {first} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="Tiny ImageNet, .tar or folder")
    parser.add_argument("--out", type=Path, default=Path("runs/poolings"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    val = unpacked(options.data, out)
    figures = {name: [] for name in POOLINGS}
    for seed in options.seeds:
        for name, pooling in POOLINGS.items():
            folder = out / f"{name.split(',')[0].lower()}-{seed}"
            figures[name].append(one(options.data.resolve(), val, folder, pooling, seed))
    (out / "figures.json").write_text(json.dumps(figures, indent=1))
    (out / "table.md").write_text(table(figures))
    print(table(figures), end="")


if __name__ == "__main__":
    main()
