"""Starts `camtool train` in processes of its own, alone or as one of several, and waits for it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "camtool", "train"]


def started(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Start the command, on one thread: then its sums are those of every other process here."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
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
