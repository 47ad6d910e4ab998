"""Every way to localize on the same pictures: the table of docs/results.md.

    python scripts/experiments/methods.py --data ilsvrc-val-227 [--out runs/methods]
        [--only cam grad-cam …] [--networks lite0 lite2]
    python scripts/experiments/methods.py --list    what is run, as options of `camtool localize`

Each row of `METHODS` is run on each network by `camtool localize`, its boxes and its stored maps
are scored by `camtool eval`, and its speed is timed against CAM's, in turn on the same pictures and
one core. Methods of more than 50 passes an image see one fixed sample of 50 images,
where CAM's own figures stand beside them. Written are a .json for each network and `table.md`. What
is finished is not done again: started anew after any kind of end, it goes on.

Intervals are of 95 %: the bootstrap's of `camtool eval`, and Wilson's for the best threshold.

DATA holds `labels.csv` (columns file, wnid), the pictures and the annotations as ImageNet has them.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from commands import camtool

from camtool.pipelines.experiment import Experiment
from camtool.pipelines.localizer import Localizer
from camtool.runs.writing import write_atomically
from camtool.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

BASE = Path("configs", "methods", "cam.yaml")
"""The settings of all rows: those of plain CAM."""
ROOT = Path(__file__).resolve().parents[2]
NETWORKS = {"lite0": "timm/tf_efficientnet_lite0", "lite2": "timm/tf_efficientnet_lite2"}
BY_RANGE = "localize.boxes={name: paper, threshold: 0.2, scale: min-max}"
"""The default boxes, of maps with a large common part: shares of the map's range."""
METHODS = {
    "cam": (),
    "grad-cam": ("localize.cam={name: grad-cam}",),
    "grad-cam++": ("localize.cam={name: grad-cam++}",),
    "xgrad-cam": ("localize.cam={name: xgrad-cam}",),
    "hires-cam": ("localize.cam={name: hires-cam}",),
    "layer-cam": ("localize.cam={name: layer-cam}",),
    # The last layer, and the one with the next finer grid.
    "layer-cam-fused": ("localize.cam={name: layer-cam, layers: [blocks.4, bn2]}",),
    "smooth-grad-cam++": ("localize.cam={name: smooth-grad-cam++}",),
    # The largest over colours, mean of 8×8 pixels.
    "backprop": ("localize.cam={name: backprop, stride: 8}",),
    "eigen-cam": ("localize.cam={name: eigen-cam}",),
    "recipro-cam": ("localize.cam={name: recipro-cam}", BY_RANGE),
    "cam-multi-scale": ("localize.views={name: multi-scale}",),
    # Merged as in the released program.
    "cam-ten-crop": ("localize.views={name: ten-crop, merge: abs-sum}",),
    # The loose one of the released program's boxes.
    "cam-dt": ("localize.boxes={name: dt}",),
    "cam-grabcut": ("localize.boxes={name: grabcut}",),
    # All components at several thresholds; the first box counts.
    "cam-multi": ("localize.boxes={name: multi}",),
    "ablation-cam": ("localize.cam={name: ablation-cam}",),
    "occlusion": ("localize.cam={name: occlusion}", BY_RANGE),
    # Boxes of merged segments, best drop first.
    "self-taught": ("localize.cam={name: self-taught}",),
    "patches": ("localize.cam={name: patches}", BY_RANGE),
    # Small chunks are quicker on a CPU.
    "score-cam": ("localize.cam={name: score-cam, chunk: 8}",),
    # The paper takes 4,000 masks for VGG16, which is the default.
    "rise": ("localize.cam={name: rise, masks: 500, chunk: 8}", BY_RANGE),
}
"""By row: what differs from `BASE`, as `--set` takes it."""
COSTLY = ("score-cam", "ablation-cam", "rise", "occlusion", "patches", "self-taught")
"""More than 50 passes an image."""
SAMPLE = 50
ROUNDS = 3
PICTURES = 8


class Pictures:
    """The pictures with their classes, all or the sample, as a list that `localize` reads."""

    def __init__(self, data: Path, out: Path) -> None:
        """Write both lists into `out`."""
        with (data / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = sorted((row["file"], row["wnid"]) for row in csv.DictReader(file))
        folder = data / "Data" / "CLS-LOC" / "val"
        self.boxes = data / "Annotations"
        self.every = [(folder / name, wnid) for name, wnid in rows]
        self.sample = self.every[:: len(rows) // SAMPLE][:SAMPLE]
        self.lists = {}
        for name, some in (("every", self.every), ("sample", self.sample)):
            self.lists[name] = out / f"{name}.csv"
            lines = [f"{path},{wnid}" for path, wnid in some]
            self.lists[name].write_text("\n".join(["path,label", *lines]) + "\n")


def scored(run: Path, pictures: Pictures) -> dict[str, Any]:
    """Return the figures of a run in percent, each with its 95 % interval."""
    found: dict[str, Any] = {}
    for protocol in ("ilsvrc", "maxboxacc", "maxboxacc-v2"):
        told = run.parent / f"{run.name}-{protocol}.json"
        camtool(
            "eval", run, "--boxes", pictures.boxes, "--protocol", protocol, "--allow-missing",
            "--format", "json", "-o", told,
        )  # fmt: skip
        report = json.loads(told.read_text())
        found |= accuracies(protocol, report)
    return found


def accuracies(protocol: str, report: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of one report that the table shows."""
    if protocol == "ilsvrc":
        fixed = report["metrics"]["gt_known_error"]
        low, high = fixed["ci95"]
        found = {"fixed": [100 - fixed["value"], 100 - high, 100 - low], "n": fixed["n"]}
        if "thresholds" in report:
            best = report["thresholds"]["gt_known_error"]["oracle"]
            found["best"] = wilson(100 - best["value"], fixed["n"])
            found["best_at"] = best["threshold"]
        return found
    rate = report["metrics"][protocol.replace("maxboxacc", "max_box_acc").replace("-", "_")]
    return {protocol: [rate["value"], *rate["ci95"]]}


def wilson(percent: float, n: int) -> list[float]:
    """Return a share in percent with Wilson's 95 % interval, as of a threshold fixed before."""
    z, share = 1.96, percent / 100
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return [percent, 100 * (centre - half), 100 * (centre + half)]


def one(name: str, network: str, which: str, pictures: Pictures, out: Path) -> dict[str, Any]:
    """Localize and score one method on one network."""
    folder = out / network / which
    figures = folder / f"{name}.json"
    if not figures.exists():
        folder.mkdir(parents=True, exist_ok=True)
        sets = [part for text in overrides(name, network) for part in ("--set", text)]
        camtool("localize", pictures.lists[which], "-c", ROOT / BASE, *sets, "-o", folder / name)
        write_atomically(figures, json.dumps(scored(folder / name, pictures), indent=1))
    return json.loads(figures.read_text())


def overrides(name: str, network: str) -> tuple[str, ...]:
    """Return how the settings of a row differ from those of `BASE`."""
    return (f"model.backbone={NETWORKS[network]}", *METHODS[name])


def listing(names: Sequence[str], networks: Sequence[str]) -> str:
    """Return the rows of each network, as options of `camtool localize`."""
    lines = []
    for network in networks:
        for name in names:
            sets = " ".join(f"--set {shlex.quote(text)}" for text in overrides(name, network))
            lines.append(f"{network}/{name}: -c {BASE} {sets}")
    return "\n".join(lines)


def localizer(name: str, network: str) -> Localizer:
    """Return what `camtool localize` would use."""
    experiment = load_settings(Experiment, ROOT / BASE, overrides(name, network))
    return Localizer(experiment.model, settings=experiment.localize, device="cpu", rotate=False)


def speed(name: str, network: str, pictures: Pictures, out: Path) -> dict[str, float]:
    """Return the median over rounds of (images a second) / (images a second of CAM), on a core."""
    told = out / network / f"speed-{name}.json"
    if not told.exists():
        torch.set_num_threads(1)
        own_count, rounds = (1, 1) if name in COSTLY else (PICTURES, ROUNDS)
        cam, own = localizer("cam", network), localizer(name, network)
        _seconds(cam, pictures.sample[:PICTURES])  # the first pictures warm up
        ratios = []
        for start in range(0, rounds * PICTURES, PICTURES):
            some = pictures.sample[start : start + PICTURES]
            ratios.append(_seconds(cam, some) / _seconds(own, some[:own_count]))
        write_atomically(told, json.dumps({"ratio": statistics.median(ratios), "rounds": rounds}))
    return json.loads(told.read_text())


def _seconds(localizer: Localizer, pictures: list[tuple[Path, str]]) -> float:
    """Return the seconds an image."""
    start = time.perf_counter()
    for path, wnid in pictures:
        localizer(path, [wnid])
    return (time.perf_counter() - start) / len(pictures)


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of one network in Markdown."""
    head = (
        "method",
        "images",
        "GT-known at .2",
        "at its best",
        "MaxBoxAcc",
        "MaxBoxAccV2",
        "speed",
    )
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in found.items():
        best = (
            f"{_cell(row.get('best'))} (.{round(100 * row['best_at']):02d})"
            if "best" in row
            else "–"
        )
        speed = f"{row['speed']:.2g}" if "speed" in row else "1"
        cells = (
            name, str(row["n"]), _cell(row["fixed"]), best, _cell(row.get("maxboxacc")),
            _cell(row.get("maxboxacc-v2")), speed,
        )  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: list[float] | None) -> str:
    return "–" if figure is None else "{:.1f} [{:.1f}, {:.1f}]".format(*figure)


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, metavar="DATA")
    parser.add_argument("--list", action="store_true", help="only say what would be run")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS, metavar="METHOD")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    options = parser.parse_args()
    if options.list:
        print(listing(options.only, options.networks))
        return
    if options.data is None:
        parser.error("--data is needed")
    options.out.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(options.data.resolve(), options.out)
    told = ""
    for network in options.networks:
        found: dict[str, dict[str, Any]] = {}
        for name in options.only:
            costly = name in COSTLY
            if costly and "cam, the same 50" not in found:
                found["cam, the same 50"] = one("cam", network, "sample", pictures, options.out)
            row = one(name, network, "sample" if costly else "every", pictures, options.out)
            if name != "cam":
                row["speed"] = speed(name, network, pictures, options.out)["ratio"]
            found[name] = row
        (options.out / f"{network}.json").write_text(json.dumps(found, indent=1))
        told += f"{NETWORKS[network]}\n\n{table(found)}\n"
        (options.out / "table.md").write_text(told)
    print(told, end="")


if __name__ == "__main__":
    main()
