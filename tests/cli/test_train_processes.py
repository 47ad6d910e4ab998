"""Two processes on one machine: the steps of one process, and a job that ends when one ends."""

from __future__ import annotations

import pytest

from tests.builders import draw_shapes
from tests.cli.test_train_command import history, timeless, weights
from tests.commands import SMALL, ranks, shapes_data, started, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A network without batch norm: its statistics would be those of each process's own share."""
    shapes = draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=3)
    return (
        *shapes_data(shapes), *SMALL,
        "--set", "model.backbone=timm/test_convnext",
        "--set", "model.output_stride=null",
        "--set", "train.optimizer.learning_rate=0.005",
    )  # fmt: skip


def ended(processes):
    outcomes = [p.communicate(timeout=200) for p in processes]
    return [p.returncode for p in processes], outcomes


@pytest.mark.parametrize("slurm", [False, True])
def test_two_processes_take_the_steps_of_one(slurm, options, tmp_path):
    (code,), alone = ended([started(*options, "-o", tmp_path / "one")])
    assert code == 0, alone
    codes, said = ended(ranks(2, *options, "-o", tmp_path / "two", slurm=slurm))
    assert codes == [0, 0], said
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert b["train"]["loss"] == pytest.approx(a["train"]["loss"], rel=1e-4)
        assert b["train"]["top1"] == a["train"]["top1"]
        # Each image counts once, though 12 do not go evenly into what a process sees at once.
        assert b["val"]["images"] == 12
        assert b["val"]["loss"] == pytest.approx(a["val"]["loss"], rel=1e-4)
    assert said[0][1].count("epoch 1:") == 1
    assert "epoch 1:" not in said[1][1]
    assert said[0][0].count("best: epoch") == 1
    assert said[1][0] == ""


@pytest.mark.parametrize("method", ["acol", "spg"])
def test_methods_with_branches_of_their_own_and_kept_parts(method, options, tmp_path):
    """All that is trained has a gradient in each step; otherwise the processes would wait."""
    extra = ("--set", f"train.method.name={method}", "--set", "train.rates={stem: 0}")
    codes, said = ended(ranks(2, *options, *extra, "-o", tmp_path / "two"))
    assert codes == [0, 0], said
    assert len(history(tmp_path / "two")) == 2


def test_a_process_that_dies_ends_the_job_which_resumes(options, tmp_path):
    longer = (*options, "--set", "train.epochs=5", "--set", "train.checkpoint_steps=1")
    run = tmp_path / "run"
    processes = ranks(2, *longer, "-o", run)
    wait_for(run / "checkpoints" / "last" / "checkpoint.json", *processes)
    processes[1].kill()
    (code, _), said = ended(processes)
    assert code == 6, said
    assert "another process of this job ended or cannot be reached" in said[0][1]
    assert said[0][1].splitlines()[-1].endswith("start the job again with --resume")
    assert "Traceback" not in said[0][1]
    codes, said = ended(ranks(2, *longer, "-o", run, "--resume"))
    assert codes == [0, 0], said
    codes, said = ended(ranks(2, *longer, "-o", tmp_path / "whole"))
    assert codes == [0, 0], said
    assert weights(run) == weights(tmp_path / "whole")
    assert timeless(history(run)) == timeless(history(tmp_path / "whole"))
