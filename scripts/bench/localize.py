"""Throughput of `camtool localize` against its parts and against a plain loop with torchcam.

    python scripts/bench/localize.py FOLDER [--images N] [--rounds R] [--overlays]

Five things are timed in turn, R rounds in one process, over the same N images of FOLDER:

    decode     reading, decoding and preparing, on all cores
    forward    the network on prepared inputs, on all cores, as localize runs it
    localize   the whole pipeline: decode, network, five maps and boxes an image, run folder
    loop       image by image: PIL, torchvision transform, torchcam's CAM of five classes, resized

The bound is what decode and forward reach when they share the cores: 1 / (1/decode + 1/forward).
Printed are the medians of the rounds as images per second, and the ratios round by round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import timm
import torch
from PIL import Image
from torchcam.methods import CAM
from torchvision import transforms

from camtool.images import FoundImages, find_images
from camtool.models.weights import bundled_state
from camtool.pipelines.experiment import Experiment, LocalizeSettings, RunSettings
from camtool.pipelines.inference import PreparedImage
from camtool.pipelines.localize import localize
from camtool.pipelines.localizer import Localizer
from camtool.reports.overlay import OverlaySettings

CORES = len(os.sched_getaffinity(0))


def on_all_cores(function: Callable[[object], object], items: Sequence[object]) -> None:
    """Call `function` on every item, a thread a core and one torch thread each."""
    with ThreadPoolExecutor(CORES, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for _ in pool.map(function, items):
            pass


@torch.inference_mode()
def forward(localizer: Localizer, prepared: PreparedImage) -> None:
    """The network alone, on one image."""
    images = torch.from_numpy(prepared.pixels)[None]
    localizer.classifier(images.contiguous(memory_format=torch.channels_last))


def run_localize(paths: list[str], overlays: bool) -> None:
    """The command's own pipeline, into a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment(
            run=RunSettings(dir=Path(folder) / "run"),
            localize=LocalizeSettings(overlays=OverlaySettings(enabled=overlays)),
        )
        localize(paths, experiment)


def torchcam_loop(model: torch.nn.Module, extractor: CAM, paths: list[str]) -> None:
    """What one would write without camtool: one image at a time, all cores inside torch."""
    prepare = transforms.Compose(
        [
            transforms.Resize((224, 224), transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    for path in paths:
        image = Image.open(path).convert("RGB")
        with torch.no_grad():
            scores = model(prepare(image)[None])
            best = scores[0].topk(5).indices.tolist()
            for index in best:
                (cam,) = extractor(index, scores)
                heat = cv2.resize(cam[0].numpy(), image.size)
                mask = (heat > 0.2 * heat.max()).astype("uint8")
                cv2.connectedComponentsWithStats(mask, connectivity=8)


def build_seconds() -> float:
    """Time to build the network, which the other timings do not contain."""
    began = time.perf_counter()
    Localizer()
    return time.perf_counter() - began


def main() -> None:
    """Time everything in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--overlays", action="store_true")
    options = parser.parse_args()

    found: FoundImages = find_images([options.folder])
    sources = found.sources[: options.images]
    paths = [s.path for s in sources]
    localizer = Localizer()
    prepared: list[PreparedImage] = [localizer.prepare(s) for s in sources]
    model = timm.create_model("tf_efficientnet_lite0")
    model.load_state_dict(bundled_state("timm/tf_efficientnet_lite0", model))
    model.eval()
    extractor = CAM(model, target_layer="bn2", fc_layer="classifier")

    tasks: dict[str, Callable[[], None]] = {
        "decode": lambda: on_all_cores(localizer.prepare, sources),
        "forward": lambda: on_all_cores(lambda p: forward(localizer, p), prepared),
        "localize": lambda: run_localize(paths, options.overlays),
        "loop": lambda: torchcam_loop(model, extractor, paths),
    }
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()  # warm up
    for _ in range(options.rounds):
        build = build_seconds()
        for name, task in tasks.items():
            torch.set_num_threads(CORES)
            began = time.perf_counter()
            task()
            seconds = time.perf_counter() - began - (build if name == "localize" else 0)
            rates[name].append(len(sources) / seconds)

    bounds = [1 / (1 / d + 1 / f) for d, f in zip(rates["decode"], rates["forward"], strict=True)]
    print(f"{len(sources)} images, {CORES} cores, {options.rounds} rounds, images per second:")
    for name, values in {**rates, "bound": bounds}.items():
        print(f"  {name:9} {summary(values)}")
    for name, others in {"bound": bounds, "loop": rates["loop"]}.items():
        ratios = [a / b for a, b in zip(rates["localize"], others, strict=True)]
        print(f"  localize / {name}: {summary(ratios)}")


def summary(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
