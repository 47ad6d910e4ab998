"""An interrupt at any moment is one line and exit code 130; `CAMTOOL_INTERRUPTS` sets the tries."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.builders import draw_pictures
from tests.commands import TINY, run_here

TRIES = int(os.environ.get("CAMTOOL_INTERRUPTS", "6"))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> list:
    """A command that scores a run and draws plots."""
    folder = tmp_path_factory.mktemp("interrupts")
    draw_pictures(folder / "pictures", 12)
    lines = [f"{n:05d}.png,5,5,40,30,n01440764" for n in range(12)]
    (folder / "boxes.csv").write_text("\n".join(lines))
    given = ("--labels", folder / "boxes.csv", "-o", folder / "run")
    assert run_here("localize", folder / "pictures", *TINY, *given).code == 0
    return ["eval", folder / "run", "--boxes", folder / "boxes.csv", "--plots", folder / "plots"]


def test_an_interrupted_command_says_one_line(evaluated):
    command = [sys.executable, "-c", "from camtool.cli import main; main()", *map(str, evaluated)]
    began = time.monotonic()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    whole = time.monotonic() - began
    chance = random.Random(0)
    for _ in range(TRIES):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # Not while the interpreter itself starts, which no program can catch.
        time.sleep(0.1 + chance.random() * whole)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert b"Traceback" not in err, err.decode()
        assert process.returncode in (0, 130)
        if process.returncode == 130:
            assert err.endswith(b"camtool: interrupted; start again to go on\n")


SWALLOWED = """
import os, signal
import camtool.pipelines.localize as p
class Loud:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
each = p.localize_each
def interrupted_within(*given, **more):
    for number, outcome in enumerate(each(*given, **more)):
        if number == 4:
            Loud()  # what is raised while it is destroyed is dropped by Python
        yield outcome
p.localize_each, p._PART_IMAGES = interrupted_within, 2
from camtool.cli import main
main()
"""


def test_an_interrupt_that_a_library_swallows(tmp_path):
    pictures = draw_pictures(tmp_path / "pictures", 12)
    given = ["localize", str(pictures), *TINY, "-o", str(tmp_path / "run")]
    command = [sys.executable, "-c", SWALLOWED, *given]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "camtool: interrupted; start again to go on\n")
    assert run_here(*given).code == 0
