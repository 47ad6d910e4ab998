"""Run `camtool localize` again and again, killing it each time, until it ends by itself.

usage: python killing.py moments SEED ARGUMENT...   SIGKILL after random times
       python killing.py renames SEED ARGUMENT...   SIGKILL before the 1st, 2nd, … file appears,
                                                    each in a fresh folder

Prints a JSON object. The program is imported and the network built once; every attempt is a fork
of that state, which makes dozens of attempts a matter of seconds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

import camtool.pipelines.localize as pipeline
from camtool.cli import main
from camtool.models import ModelSettings
from tests.commands import TINY_MODEL

PART_IMAGES = 8


def child(arguments: list[str], kill_at: int | None = None) -> int:
    """Start an attempt; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    pipeline._PART_IMAGES = PART_IMAGES
    pipeline._PART_SECONDS = 3600.0
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if kill_at is not None:
        kill_at_rename(kill_at)
    sys.argv = ["camtool", "localize", *arguments]
    try:
        main()
    except SystemExit as end:
        sys.stderr.flush()
        # Without taking a whole interpreter down, which takes longer than the run.
        os._exit(end.code if isinstance(end.code, int) else 0)
    os._exit(99)


def kill_at_rename(number: int) -> None:
    """Die just before the `number`-th file takes its final name; or before `parts` is removed."""
    left = [number]
    replace, remove = Path.replace, shutil.rmtree

    def die_if_due() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def dying_replace(self: Path, target: Path) -> Path:
        die_if_due()
        return replace(self, target)

    def dying_remove(*arguments: object, **options: object) -> None:
        die_if_due()
        remove(*arguments, **options)

    Path.replace = dying_replace  # type: ignore[method-assign]
    shutil.rmtree = dying_remove  # type: ignore[assignment]


def wait(pid: int) -> int:
    """Return the exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def parts(run: Path) -> int:
    """Return how many parts are saved.

    Asked while the run goes on, which may end and remove its parts between two looks of a glob.
    """
    try:
        return len(list((run / "parts").glob("*/*.jsonl")))
    except FileNotFoundError:
        return 0


def moments(seed: int, arguments: list[str], run: Path) -> dict[str, object]:
    """Kill at random times: at once, or some moments after one or two more parts are saved.

    So the same happens on a fast machine and on a slow one.
    """
    draw = random.Random(seed)
    saved: list[int] = []
    for _ in range(200):
        aim = parts(run) + draw.choice((0, 1, 1, 2))
        pid = child(arguments)
        while parts(run) < aim and not ended(pid):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        code = wait(pid)
        if code != -signal.SIGKILL:
            return {"code": code, "saved": saved}
        if not (run / "manifest.json").exists():
            saved.append(parts(run))
    return {"code": None, "saved": saved}


def ended(pid: int) -> bool:
    """Tell whether the process is over, leaving its exit code to `wait`."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def renames(arguments: list[str], run: Path) -> dict[str, object]:
    """Kill before each rename, and let the same command end what is there."""
    ends = []
    number, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        number += 1
        shutil.rmtree(run, ignore_errors=True)
        code = wait(child(arguments, number))
        again = wait(child(arguments))
        files = sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())
        lines = (run / "predictions.jsonl").read_text() if again == 0 else None
        ends.append({"killed": code, "again": again, "files": files, "predictions": lines})
    return {"ends": ends}


def build_once() -> None:
    # One thread: a fork does not take threads along, and a pool without its threads hangs.
    torch.set_num_threads(1)
    network = TINY_MODEL.build(0)
    # The first forward is slow: its kernels are made here, for all forks.
    with torch.inference_mode():
        network(torch.zeros(1, 3, 64, 64).contiguous(memory_format=torch.channels_last))
    ModelSettings.build = lambda *_: network  # type: ignore[method-assign]


if __name__ == "__main__":
    how, seed, *rest = sys.argv[1:]
    folder = Path(rest[rest.index("-o") + 1])
    build_once()
    ended = moments(int(seed), rest, folder) if how == "moments" else renames(rest, folder)
    sys.stdout.write(json.dumps(ended))
