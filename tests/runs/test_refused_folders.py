from __future__ import annotations

import json
import subprocess
import sys

import pytest

from camtool.errors import RunError
from camtool.runs import RunFolder, Shard
from tests.runs.sample_run import IDENTITY, append, contents, different, write_run


def test_a_foreign_folder_is_refused_and_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    folder = RunFolder(tmp_path, Shard(), 1, IDENTITY)
    for action in (
        lambda: folder.check(different),
        lambda: folder.open("", different),
        lambda: folder.open("", different, overwrite=True),
    ):
        with pytest.raises(RunError) as raised:
            action()
        assert str(raised.value) == (
            f"{tmp_path}: not empty, and not a run folder: choose another --out"
        )
    assert contents(tmp_path) == {"precious.txt": b"x"}


def test_clearing_removes_what_is_the_runs_own(tmp_path):
    run = tmp_path / "run"
    write_run(run, 6)
    (run / "overlays").mkdir()
    (run / "overlays" / "a.jpg").write_bytes(b"x")
    (run / "notes.txt").write_text("mine")
    with RunFolder(run, Shard(), 6, IDENTITY).open("b: 2\n", different, overwrite=True):
        assert sorted(contents(run)) == [
            "experiment.yaml",
            "notes.txt",
            "parts/00000-of-00001/lock",
            "parts/lock",
            "parts/run.json",
        ]
    assert (run / "experiment.yaml").read_text() == "b: 2\n"


def test_an_empty_or_missing_folder_is_fine(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        folder = RunFolder(path, Shard(), 1, IDENTITY)
        folder.check(different)
        assert not folder.is_finished()
        assert folder.done() == 0


@pytest.mark.parametrize("finished", [True, False])
def test_another_experiment_is_refused(finished, tmp_path):
    run = tmp_path / "run"
    if finished:
        write_run(run, 3)
    else:
        with RunFolder(run, Shard(), 3, IDENTITY).open("", different) as folder:
            append(folder, [0])
    before = contents(run)
    other = RunFolder(run, Shard(), 3, {**IDENTITY, "localize": {"cam": {"name": "other"}}})
    with pytest.raises(RunError) as raised:
        other.check(different)
    assert str(raised.value) == (
        f"{run} holds another experiment (localize differs): choose another --out or --overwrite"
    )
    assert contents(run) == before


def test_another_number_of_shards_is_refused(tmp_path):
    with RunFolder(tmp_path, Shard(0, 2), 3, IDENTITY).open("", different):
        pass
    with pytest.raises(RunError) as raised:
        RunFolder(tmp_path, Shard(0, 3), 3, IDENTITY).check(different)
    assert str(raised.value) == (
        f"{tmp_path} was started with 2 shards, not 3: go on with as many, choose another --out or"
        " --overwrite"
    )
    RunFolder(tmp_path, Shard(1, 2), 3, IDENTITY).check(different)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"identity": 5}', b"\xff"])
def test_a_damaged_mark_of_a_run(content, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "run.json").write_bytes(content)
    with pytest.raises(RunError) as raised:
        RunFolder(tmp_path, Shard(), 3, IDENTITY).check(different)
    assert str(raised.value).startswith(f"{tmp_path}/parts/run.json: damaged (")
    assert str(raised.value).endswith("): choose another --out or --overwrite")


def test_a_second_process_is_refused(tmp_path):
    """And let in once the first is gone; another shard is no matter."""
    program = (
        "import sys; from pathlib import Path; from camtool.runs import RunFolder, Shard;"
        "folder = RunFolder(Path(sys.argv[1]), Shard(int(sys.argv[2]), 2), 3, {});"
        "folder.open('', lambda *_: []).close()"
    )

    def other(index: int) -> str:
        arguments = [sys.executable, "-c", program, tmp_path, str(index)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False).stderr

    with RunFolder(tmp_path, Shard(0, 2), 3, {}).open("", different):
        assert other(0).endswith(
            f"camtool.errors.RunError: {tmp_path}: another process is writing this run\n"
        )
        assert other(1) == ""
    assert other(0) == ""


def test_identities_are_compared_as_json(tmp_path):
    """A tuple is written as a list: the same run must not differ from itself."""
    identity = {"classes": ("a", "b")}
    with RunFolder(tmp_path, Shard(), 3, identity).open("", different):
        pass
    again = RunFolder(tmp_path, Shard(), 3, identity)
    again.check(different)
    assert json.loads((tmp_path / "parts" / "run.json").read_text()) == {
        "identity": {"classes": ["a", "b"], "shards": 1}
    }
