"""However `camtool localize` is ended, started again it ends as if nothing had happened."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from camtool.runs import writing
from tests.builders import draw_pictures
from tests.commands import TINY, run_alone, run_here

KILLING = Path(__file__).parent / "killing.py"
PARTS = (
    "import camtool.pipelines.localize as p; p._PART_IMAGES = 8;"
    "from camtool.cli import main; main()"
)


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("drawn") / "many", 160, broken=(3, 77, 78, 159))


@pytest.fixture(scope="module")
def uninterrupted(many, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run") / "whole"
    assert run_here("localize", many, "-o", run, *TINY).code == 0
    return run


def files(run: Path) -> list[str]:
    return sorted(str(p.relative_to(run)) for p in run.rglob("*") if p.is_file())


def same(run: Path, whole: Path) -> None:
    """The same records, maps and counts, and no file more."""
    assert files(run) == files(whole)
    for name in ("predictions.jsonl", "maps/00000.npz"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert manifest(run) == manifest(whole)


def manifest(run: Path) -> dict[str, object]:
    """The manifest without the name of the folder."""
    whole = json.loads((run / "manifest.json").read_text())
    assert whole["experiment"]["run"].pop("dir") == str(run)
    return whole


def killing(*arguments: object):
    command = [sys.executable, KILLING, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_killed_at_random_moments(many, uninterrupted, tmp_path):
    run = tmp_path / "run"
    ended = killing("moments", 0, many, "-o", run, *TINY)
    assert ended["code"] == 0
    # Some attempts must have been killed amid the work for this to say anything.
    assert len(set(ended["saved"])) >= 3
    assert ended["saved"] == sorted(ended["saved"])
    same(run, uninterrupted)


@pytest.mark.slow
def test_killed_at_each_file(tmp_path):
    """A run killed before any of its files appears goes on, and leaves nothing over."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    pictures = draw_pictures(tmp_path / "pictures", 12, broken=(5,))
    assert run_here("localize", pictures, "-o", whole, *TINY).code == 0
    ends = killing("renames", 0, pictures, "-o", run, *TINY)["ends"]
    # experiment.yaml, two files for each of two parts, maps, predictions, manifest; parts
    assert [e["killed"] for e in ends] == [-signal.SIGKILL] * 9 + [0]
    expected = (whole / "predictions.jsonl").read_text()
    for number, end in enumerate(ends):
        assert (number, end["again"]) == (number, 0)
        assert end["predictions"] == expected, number
        assert end["files"] == files(whole), number


def started(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PARTS, "localize", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


def wait_for_parts(process: subprocess.Popen[str], run: Path) -> None:
    until = time.monotonic() + 60
    while not list((run / "parts").glob("*/*.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "message"),
    [
        (signal.SIGINT, 130, "camtool: interrupted; start again to go on"),
        (signal.SIGTERM, 75, "images left: start again to go on"),
        (signal.SIGUSR1, 75, "images left: start again to go on"),
    ],
)
def test_signal(number, code, message, many, uninterrupted, tmp_path):
    run = tmp_path / "run"
    process = started(many, "-o", run, *TINY)
    wait_for_parts(process, run)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines()[-1].endswith(message)
    assert "Traceback" not in err
    assert not (run / "manifest.json").exists()
    assert run_here("localize", many, "-o", run, *TINY).code == 0
    same(run, uninterrupted)


def test_started_again_when_done(many, uninterrupted, tmp_path):
    run = tmp_path / "run"
    first = run_here("localize", many, "-o", run, *TINY)
    stamps = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()}
    again = run_here("localize", many, "-o", run, *TINY)
    assert (again.code, again.out) == (first.code, first.out)
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.is_file()} == stamps
    same(run, uninterrupted)


def test_overwritten(many, uninterrupted, pictures, tmp_path):
    """The run is replaced, and a file that the program did not write stays."""
    run = tmp_path / "run"
    assert run_here("localize", pictures, "-o", run, *TINY).code == 0
    (run / "own-notes.txt").write_text("kept")
    mistaken = (*TINY, "--overwrite", "--set", "model.backbone=timm/test_resnit")
    assert run_here("localize", many, "-o", run, *mistaken).code == 4
    assert (run / "manifest.json").exists()
    assert run_here("localize", many, "-o", run, *TINY, "--overwrite").code == 0
    assert (run / "own-notes.txt").read_text() == "kept"
    (run / "own-notes.txt").unlink()
    same(run, uninterrupted)


def test_two_processes_in_one_run(many, tmp_path):
    """The second is told, and the first is not disturbed."""
    run = tmp_path / "run"
    process = started(many, "-o", run, *TINY)
    wait_for_parts(process, run)
    process.send_signal(signal.SIGSTOP)
    try:
        second = run_here("localize", many, "-o", run, *TINY)
    finally:
        process.send_signal(signal.SIGCONT)
    assert second.code == 6
    assert second.err == f"camtool: {run}: another process is writing this run\n"
    assert process.wait(60) == 0
    process.communicate()


FULL = "cannot be written: no space left on the disk; free some and start again to go on"


@pytest.mark.parametrize("writes", [1, 3, 5, 9, 10, 11])
def test_full_disk(writes, pictures, tmp_path, monkeypatch):
    """Whichever file does not fit, the same command goes on when there is room."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert run_here("localize", pictures, "-o", whole, *TINY).code == 0
    monkeypatch.setattr("camtool.pipelines.localize._PART_IMAGES", 8)
    fsync, left = os.fsync, [writes]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "fsync", full)
        ran = run_here("localize", pictures, "-o", run, *TINY)
    assert ran.code == 6
    assert ran.err.splitlines()[-1].startswith(f"camtool: {run}")
    assert ran.err.splitlines()[-1].endswith(FULL)
    assert not (run / "manifest.json").exists()
    assert run_here("localize", pictures, "-o", run, *TINY).code == 0
    same(run, whole)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_small_disk(small_disk, many, uninterrupted):
    run, filler = small_disk / "run", small_disk / "filler"
    filler.write_bytes(bytes(200 << 10))
    ran = run_here("localize", many, "-o", run, *TINY)
    assert ran.code == 6
    assert ran.err.splitlines()[-1].endswith(FULL)
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert run_here("localize", many, "-o", run, *TINY).code == 0
    same(run, uninterrupted)


@pytest.mark.slow
def test_file_size_limit(many, uninterrupted, tmp_path):
    """A limit that the system sets to files, as batch systems do, ends like a full disk."""
    run = tmp_path / "run"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (40 << 10, 40 << 10))

    ran = run_alone("localize", many, "-o", run, *TINY, preexec_fn=limit)
    assert ran.code == 6
    assert "cannot be written: File too large" in ran.err
    assert run_here("localize", many, "-o", run, *TINY).code == 0
    same(run, uninterrupted)
