"""Machines that are short of something: said in words, or done without."""

from __future__ import annotations

import subprocess
import sys

import pytest

from camtool.cli.shortage import shortage_of
from camtool.training import batches
from tests.builders import draw_shapes
from tests.commands import SMALL, run_here, shapes_data

CAMTOOL = f"exec {sys.executable} -m camtool"


def limited(limit: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command under a limit of the shell."""
    command = ["bash", "-c", f'ulimit {limit}; {CAMTOOL} "$@"', "camtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    shapes = draw_shapes(tmp_path_factory.mktemp("data") / "shapes", train=6, val=1)
    return (*shapes_data(shapes), *SMALL, "--set", "train.epochs=1", "--set", "run.workers=1")


@pytest.mark.parametrize("command", ["localize", "train", "eval"])
def test_little_address_space(command, tmp_path):
    ran = limited("-v 300000", command, *([tmp_path] if command != "train" else []))
    assert ran.returncode == 6
    assert ran.stderr == (
        "camtool: the address space is limited to 0.3 GB (ulimit -v), which is too little:"
        " networks need 6 GB of it, scores 2 GB\n"
    )


def test_few_files(data, tmp_path):
    ran = limited("-n 24", "train", *data, "-o", tmp_path / "run")
    assert ran.returncode == 6
    assert ran.stderr.splitlines()[-1] == (
        "camtool: only 24 files may be open, and processes that read images need 64: raise the"
        " limit (ulimit -n 1024), or set run.workers=0"
    )


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (OSError(24, "Too many open files"), "too many open files"),
        (RuntimeError("Too many open files. Communication with"), "too many open files"),
        (MemoryError(), "out of memory"),
    ],
)
def test_what_libraries_raise(error, begins):
    assert shortage_of(error).startswith(begins)


def test_a_defect_is_no_shortage():
    assert shortage_of(RuntimeError("shape mismatch")) is None
    assert shortage_of(OSError(2, "No such file or directory")) is None


def test_batches_are_the_same_without_shared_memory(data, tmp_path, monkeypatch):
    assert run_here("train", *data, "-o", tmp_path / "shared").code == 0
    monkeypatch.setattr(batches, "_ROOM", 1 << 40)
    ran = run_here("train", *data, "-o", tmp_path / "piped")
    assert ran.code == 0
    assert "they go through pipes, which is slower" in ran.err
    one, other = (
        (tmp_path / run / "checkpoints/last/weights.safetensors").read_bytes()
        for run in ("shared", "piped")
    )
    assert one == other
