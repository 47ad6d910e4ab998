"""Speed of the training loop over that of its bare arithmetic, timed in turn in one run.

python scripts/bench/train.py [--data FOLDER] [--size 112] [--workers 1] [--rounds 5]

`bare` is forward, backward and step on one batch that lies ready in memory; `loop` is camtool's
loop: decode and augment in workers, batches, schedule, sums, checks. Without --data the pictures
are drawn.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from camtool.images import Squeeze
from camtool.models import ModelSettings
from camtool.pipelines.checkpoint import Checkpoints
from camtool.pipelines.experiment import Experiment, LocalizeSettings, RunSettings
from camtool.pipelines.train import Training
from camtool.training.data import FolderData
from camtool.training.distributed import processes
from camtool.training.loop import Position
from camtool.training.optimizer import Sgd
from camtool.training.settings import TrainSettings

if TYPE_CHECKING:
    from camtool.training.loop import Loop


def drawn(folder: Path) -> Path:
    """Fill a folder with drawn pictures of 64×64 pixels, and return it."""
    script = Path(__file__).resolve().parent.parent / "draw_shapes.py"
    spec = importlib.util.spec_from_file_location("draw_shapes", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write(folder, 200, 2, 64)
    return folder / "train"


class Clock:
    """Stops the loop after some steps, and tells the rate from the end of the first one on."""

    def __init__(self, steps: int) -> None:
        """Count down from `steps`."""
        self.steps = steps
        self.times: list[float] = []

    def __call__(self) -> bool:
        """Note the end of a step."""
        self.times.append(time.perf_counter())
        return len(self.times) == self.steps

    def rate(self, batch: int) -> float:
        """Return images a second, and start anew."""
        rate = batch * (len(self.times) - 1) / (self.times[-1] - self.times[0])
        self.times = []
        return rate


def bare(loop: Loop, images: torch.Tensor, targets: torch.Tensor, steps: int) -> float:
    """Return images a second of forward, backward and step."""
    loop.module.train()
    times = []
    for _ in range(steps):
        logits = loop.module(images)
        torch.nn.functional.cross_entropy(logits, targets).backward()
        loop.optimizer.step()
        loop.optimizer.zero_grad(set_to_none=True)
        times.append(time.perf_counter())
    return len(images) * (steps - 1) / (times[-1] - times[0])


def main() -> None:
    """Time both in turn and print the ratio of each round."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="folder of class folders")
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, processes("auto") as peers:
        root = options.data or drawn(Path(scratch) / "shapes")
        experiment = Experiment(
            run=RunSettings(dir=Path(scratch) / "run", workers=options.workers),
            model=ModelSettings(output_stride=16),
            data=FolderData(root=root, val_fraction=0),
            train=TrainSettings(
                batch_size=options.batch, epochs=1000, optimizer=Sgd(learning_rate=1e-4)
            ),
            localize=LocalizeSettings(preprocess=Squeeze(size=options.size)),
        )  # fmt: skip
        sets = experiment.data.load(0)
        clock = Clock(options.steps)
        loop = Training(experiment, sets, Checkpoints(experiment, sets), peers, clock).loop
        images = torch.randn(options.batch, 3, options.size, options.size, device=peers.device)
        images = images.contiguous(memory_format=torch.channels_last)
        targets = torch.randint(len(sets.classes), (options.batch,), device=peers.device)
        ratios = []
        for number in range(options.rounds + 1):
            slow = bare(loop, images, targets, options.steps)
            loop.position = Position(number, 0)
            loop.epoch()
            fast = clock.rate(options.batch)
            if number:  # the first round warms up
                ratios.append(fast / slow)
                print(f"bare {slow:6.1f} images/s, loop {fast:6.1f}, ratio {fast / slow:.2f}")
        print(
            f"median ratio {statistics.median(ratios):.2f}"
            f" ({min(ratios):.2f} to {max(ratios):.2f});"
            f" {torch.get_num_threads()} threads, {options.workers} workers"
        )


if __name__ == "__main__":
    main()
