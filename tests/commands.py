"""Commands as users give them: in this process, in one of its own, or in several at once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from click.testing import CliRunner

from camtool.cli.group import camtool
from camtool.models import ModelSettings

if TYPE_CHECKING:
    from pathlib import Path

TINY_MODEL = ModelSettings(backbone="timm/test_resnet", weights="none")

# A small network with random weights on small inputs. `min-max` makes boxes that differ between
# pictures, which the nearly flat maps of random weights otherwise do not.
TINY = (
    "--set", f"model.backbone={TINY_MODEL.backbone}",
    "--set", f"model.weights={TINY_MODEL.weights}",
    "--set", "localize.preprocess.size=64",
    "--set", "localize.boxes.scale=min-max",
    "--set", "localize.overlays.enabled=false",
)  # fmt: skip

# The same to train with, on the pictures of `builders.draw_shapes`.
SMALL = (
    "--set", "run.workers=0",
    "--set", "model.backbone=timm/test_resnet",
    "--set", "model.weights=none",
    "--set", "model.output_stride=8",
    "--set", "train.batch_size=8",
    "--set", "train.epochs=2",
    "--set", "train.optimizer.learning_rate=0.02",
    "--set", "localize.preprocess.size=48",
)  # fmt: skip


def shapes_data(root: Path) -> tuple[str, ...]:
    """Return the options that train on a folder of `draw_shapes`."""
    return (
        "--set", "data.name=folder",
        "--set", f'data.root="{root}"',
        "--set", f'data.boxes="{root}/val_boxes.csv"',
    )  # fmt: skip


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def run_here(*arguments: object) -> Ran:
    """Run the command in this process; a defect is raised as what it is."""
    result = CliRunner().invoke(camtool, [str(a) for a in arguments], prog_name="camtool")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.stderr
    return Ran(result.exit_code, result.stdout, result.stderr)


def run_alone(*arguments: object, **options) -> Ran:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "camtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


TRAIN = [sys.executable, "-m", "camtool", "train"]


def started(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start `camtool train`, on one thread: then its sums are those of every other process here."""
    return subprocess.Popen(
        [*TRAIN, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ranks(count: int, *arguments: object, slurm: bool = False) -> list[subprocess.Popen[str]]:
    """Start `count` processes that share the work, as torchrun or srun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS") if slurm else ("RANK", "WORLD_SIZE")
    return [
        started(
            *arguments,
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            **dict(zip(names, (str(rank), str(count)), strict=True)),
        )
        for rank in range(count)
    ]


def wait_for(path: Path, *processes: subprocess.Popen[str]) -> None:
    """Wait until a file is there."""
    limit = time.monotonic() + 100
    while not path.exists():
        assert all(p.poll() is None for p in processes), [p.communicate() for p in processes]
        assert time.monotonic() < limit, f"{path} does not appear"
        time.sleep(0.01)
