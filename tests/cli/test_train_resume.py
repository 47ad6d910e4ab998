"""A run that was stopped or killed, anywhere, ends with the weights of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from camtool.pipelines.experiment import Experiment
from camtool.pipelines.localize import StoppedError
from camtool.pipelines.train import train
from camtool.settings import load_settings
from camtool.training.loop import Loop
from tests.builders import draw_shapes
from tests.cli.test_train_command import history, timeless, weights
from tests.commands import SMALL, shapes_data, started, wait_for
from tests.networks import one_thread  # noqa: F401 (a fixture of this file)


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Four epochs of three steps, with everything on that has a state."""
    shapes = draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=2)
    return (
        *shapes_data(shapes), *SMALL,
        "--set", "train.epochs=4",
        "--set", "train.ema=0.9",
        "--set", "train.schedule.name=one-cycle",
        "--set", "model.dropout=0.2",
        "--set", "train.augment.colour=0.2",
    )  # fmt: skip


def experiment(options, run, *more):
    values = [v for v in (*options, *more) if v != "--set"]
    return load_settings(Experiment, None, [*values, f'run.dir="{run}"'])


@pytest.fixture(scope="module")
def uninterrupted(options, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    train(experiment(options, run))
    return run


def same(run, uninterrupted):
    for name in ("last", "best"):
        assert weights(run, name) == weights(uninterrupted, name), name
    assert timeless(history(run)) == timeless(history(uninterrupted))


def stop_after(asked):
    """A `stop` that says yes at the given number of times it is asked."""
    left = [asked]

    def stop():
        left[0] -= 1
        return left[0] <= 0

    return stop


@pytest.mark.parametrize("steps", [1, 3, 5, 8, 15, 25, 40])
def test_stopped_and_gone_on_with(steps, options, uninterrupted, tmp_path):
    """At a step, at an epoch's end, or in the middle of a validation."""
    settings = experiment(options, tmp_path / "run")
    with pytest.raises(StoppedError, match="everything saved: start again with --resume"):
        train(settings, stop=stop_after(steps))
    train(settings, resume=True)
    same(tmp_path / "run", uninterrupted)


def test_gone_on_with_where_the_loss_is_looked_at_now_and_then(
    options, uninterrupted, tmp_path, monkeypatch
):
    """On a GPU no look may be due in the first step after the resume."""
    monkeypatch.setattr(Loop, "_looks_often", lambda _: False)
    settings = experiment(options, tmp_path / "run")
    with pytest.raises(StoppedError):
        train(settings, stop=stop_after(1))
    train(settings, resume=True)
    same(tmp_path / "run", uninterrupted)


def test_stopped_again_and_again(options, uninterrupted, tmp_path):
    settings = experiment(options, tmp_path / "run", "train.checkpoint_steps=2")
    for _ in range(20):
        try:
            train(settings, resume=True, stop=stop_after(13))
        except StoppedError:
            continue
        break
    same(tmp_path / "run", uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_signal(number, options, uninterrupted, tmp_path):
    run = tmp_path / "run"
    longer = ("--set", "train.checkpoint_steps=1")
    process = started(*options, *longer, "-o", run)
    wait_for(run / "checkpoints" / "last" / "checkpoint.json", process)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 75, err
    assert "stopped early in epoch" in err.splitlines()[-1]
    train(experiment(options, run), resume=True)
    same(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 2])
def test_killed_in_the_middle_of_an_epoch(epochs, options, uninterrupted, tmp_path):
    """Two epochs and two epochs are four, and so is any other share."""
    run = tmp_path / "run"
    process = started(*options, "--set", "train.checkpoint_steps=1", "-o", run)
    description = run / "checkpoints" / "last" / "checkpoint.json"
    wait_for(description, process)
    while json.loads(_text(description))["epoch"] < epochs:
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not (run / "curves.png").exists()
    train(experiment(options, run), resume=True)
    same(run, uninterrupted)


def _text(path):
    while True:
        try:
            return path.read_text()
        except FileNotFoundError:  # between the names of two checkpoints
            continue


KILLED = """
import os, pathlib, signal, sys
from camtool.cli import main
left, rename = [int(sys.argv.pop(1))], pathlib.Path.rename
def dying(self, target):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = dying
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("rename", [1, 3, 5, 7])
def test_killed_between_two_names_of_a_checkpoint(rename, options, uninterrupted, tmp_path):
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(rename), "train", *options, "-o", str(run)]
    killed = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, timeout=100
    )
    assert killed.returncode == -signal.SIGKILL
    train(experiment(options, run), resume=True)
    same(run, uninterrupted)
    assert {p.name for p in (run / "checkpoints").iterdir()} == {
        "last",
        "previous",
        "best",
        ".lock",
    }
