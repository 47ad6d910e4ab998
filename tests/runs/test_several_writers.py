"""Processes that write one run folder at once, killed at random and started again.

Whatever happens, a finished run is exactly that of one of the experiments; all others are refused.
`CAMTOOL_WRITER_TRIES` sets the number of tries (a hundred take two minutes).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from camtool.errors import RunError
from camtool.runs import RunFolder, Shard
from tests.runs.sample_run import IDENTITY, append, contents, different, prediction, write_run

TRIES = int(os.environ.get("CAMTOOL_WRITER_TRIES", "3"))
WRITER = """
import random, sys, time
from pathlib import Path
from camtool.errors import RunError
from camtool.runs import RunFolder, Shard
from tests.runs.sample_run import append, different, prediction

path, index, count, experiment, overwrite = sys.argv[1:6]
identity = {"experiment": experiment}
shard = Shard(int(index), int(count))
folder = RunFolder(Path(path), shard, 40, identity)
ids = [prediction(n)[0].image_id for n in range(folder.images)]
try:
    if overwrite == "no":
        folder.check(different)
        if folder.is_finished():
            folder.tidy()
            sys.exit(0)
    with folder.open(experiment, different, overwrite=overwrite == "yes"):
        if folder.is_finished():
            folder.tidy()
            sys.exit(0)
        own = list(range(shard.index, folder.images, shard.count))
        while folder.done() < len(own):
            append(folder, own[folder.done() : folder.done() + random.randint(1, 5)])
            time.sleep(random.random() / 100)
        if folder.is_complete():
            folder.assemble({"experiment": experiment}, ids)
except RunError as error:
    print(error, file=sys.stderr)
    sys.exit(6)
"""
# Each writer: shard, number of shards, experiment, overwrite.
COMBINATIONS = {
    "the same twice": [("0", "1", "a", "no"), ("0", "1", "a", "no")],
    "other settings": [("0", "1", "a", "no"), ("0", "1", "b", "no")],
    "overwrite beside a writer": [("0", "1", "a", "no"), ("0", "1", "b", "yes")],
    "two overwrite": [("0", "1", "a", "yes"), ("0", "1", "a", "yes")],
    "shards": [("0", "2", "a", "no"), ("1", "2", "a", "no")],
    "shards with other settings": [("0", "2", "a", "no"), ("1", "2", "b", "no")],
    "shards that overwrite": [("0", "2", "a", "yes"), ("1", "2", "a", "yes")],
    "shards and a whole": [("0", "2", "a", "no"), ("1", "2", "a", "no"), ("0", "1", "a", "no")],
    "a shard and one that overwrites": [("0", "2", "a", "no"), ("1", "2", "b", "yes")],
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> dict[str, dict[str, bytes]]:
    """The files of the run of each experiment, written by one process."""
    found = {}
    for experiment in ("a", "b"):
        path = tmp_path_factory.mktemp(experiment)
        arguments = [sys.executable, "-c", WRITER, path, "0", "1", experiment, "no"]
        subprocess.run(arguments, check=True)
        found[experiment] = contents(path)
    return found


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_writers_started_together(combination, tmp_path, expected):
    for number in range(TRIES):
        run = tmp_path / str(number)
        chance = random.Random(number)
        writers = [[sys.executable, "-c", WRITER, run, *w] for w in COMBINATIONS[combination]]
        for kill in (chance.random() < 0.7, False):
            started = [_started(w) for w in writers]
            if kill:
                time.sleep(0.15 + chance.random() / 3)
                for process in started:
                    if chance.random() < 0.8:
                        process.send_signal(signal.SIGKILL)
            _ended(started)
        # In turn, those that may go on end what is left; with --overwrite one would begin anew.
        for writer in (w for w in writers if w[-1] == "no"):
            _ended([_started(writer)])
        if (run / "manifest.json").exists():
            assert contents(run) in expected.values()
        else:
            _ended([_started([*writers[0][:-1], "yes"])])
            assert not (run / "predictions.jsonl").exists() or contents(run) in expected.values()


def _started(arguments: list) -> subprocess.Popen:
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def _ended(processes: list[subprocess.Popen]) -> None:
    """Wait for processes, each of which is done, refused with a sentence, or killed."""
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in {0, 6, -signal.SIGKILL}, stderr
        assert "Traceback" not in stderr


def test_an_overwrite_leaves_a_run_alone_that_is_being_written(tmp_path):
    with RunFolder(tmp_path, Shard(0, 2), 6, IDENTITY).open("a: 1\n", different) as folder:
        append(folder, [0, 2])
        before = contents(tmp_path)
        other = RunFolder(tmp_path, Shard(1, 2), 6, {"b": 2})
        with pytest.raises(RunError, match="another process is writing this run"):
            other.open("b: 2\n", different, overwrite=True)
        assert contents(tmp_path) == before
    with other.open("b: 2\n", different, overwrite=True):
        assert other.done() == 0
        assert folder.path == other.path
        with pytest.raises(RunError, match="holds another experiment"):
            folder.check(different)


def test_a_shard_with_other_settings_comes_too_late(tmp_path):
    """Also where it looked before the other had named the run."""
    other = RunFolder(tmp_path, Shard(1, 2), 6, {**IDENTITY, "inputs": "2e"})
    other.check(different)
    with RunFolder(tmp_path, Shard(0, 2), 6, IDENTITY).open("a: 1\n", different):
        with pytest.raises(RunError, match=r"holds another experiment \(inputs differs\)"):
            other.open("b: 2\n", different)
    assert (tmp_path / "experiment.yaml").read_text() == "a: 1\n"


def test_parts_of_another_run_are_not_joined(tmp_path):
    """As a file system without locks lets them come about."""
    run, other = tmp_path / "run", tmp_path / "other"
    for path, identity, index in ((run, IDENTITY, 0), (other, {"b": 2}, 1)):
        with RunFolder(path, Shard(index, 2), 4, identity).open("", different) as folder:
            append(folder, [index, index + 2])
    (other / "parts" / "00001-of-00002").rename(run / "parts" / "00001-of-00002")
    folder = RunFolder(run, Shard(0, 2), 4, IDENTITY)
    with pytest.raises(RunError, match="of a run with other settings or inputs"):
        folder.assemble({})


@pytest.mark.parametrize("numbers", [[0, 1, 1], [0, 2, 1], [0, 1], [0, 1, 2, 3]])
def test_joining_compares_every_record_with_the_images(numbers, tmp_path):
    ids = [prediction(n)[0].image_id for n in range(3)]
    with RunFolder(tmp_path, Shard(), 3, IDENTITY).open("", different) as folder:
        append(folder, numbers)
        with pytest.raises(RunError, match=r"damaged \(.*\): start again with --overwrite$"):
            folder.assemble({}, ids)
    assert not (tmp_path / "manifest.json").exists()


def test_parts_that_overlap_are_not_joined(tmp_path):
    with RunFolder(tmp_path, Shard(), 5, IDENTITY).open("", different) as folder:
        append(folder, [0, 1])
        append(folder, [2, 3, 4])
        parts = tmp_path / "parts" / "00000-of-00001"
        for path in list(parts.glob("00000002-*")):
            path.rename(path.with_name(path.name.replace("00000002", "00000001")))
        with pytest.raises(RunError, match="it does not go on from record 2"):
            folder.assemble({})


def test_a_process_that_comes_when_the_run_is_done(tmp_path):
    """It has looked before the end, and opens the folder after it."""
    write_run(tmp_path, 6)
    before = contents(tmp_path)
    with RunFolder(tmp_path, Shard(), 6, IDENTITY).open("a: 1\n", different) as late:
        assert late.is_finished()
        late.tidy()
    assert contents(tmp_path) == before
