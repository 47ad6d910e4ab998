"""A foreground head trained and used, as a user would, on drawn shapes."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch

from camtool import Localizer
from camtool.pipelines.localize import StoppedError
from camtool.pipelines.train import train
from camtool.pipelines.trained import with_model
from tests.builders import draw_shapes
from tests.cli.test_train_command import history, timeless, weights
from tests.commands import SMALL, run_here, shapes_data
from tests.networks import one_thread  # noqa: F401 (a fixture of this file)

HEAD = ("--set", "run.workers=0", "--set", "train.method={name: foreground, stride: 4}")


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=3)


@pytest.fixture(scope="module")
def network(shapes, tmp_path_factory):
    run = tmp_path_factory.mktemp("network") / "run"
    assert run_here("train", *shapes_data(shapes), *SMALL, "-o", run).code == 0
    return run


@pytest.fixture(scope="module")
def trained(shapes, network, tmp_path_factory):
    run = tmp_path_factory.mktemp("head") / "run"
    data = shapes_data(shapes)
    ran = run_here("train", *data, "-m", network, *HEAD, "--set", "train.epochs=3", "-o", run)
    assert ran.code == 0, ran.err
    return run, ran


def experiment(options, network, run):
    values = [v for v in options if v != "--set"]
    return with_model(network, None, [*values, f'run.dir="{run}"'])


def state(run):
    return safetensors.torch.load_file(run / "checkpoints" / "best" / "weights.safetensors")


def test_the_network_stays_as_it_is_to_the_last_bit(network, trained):
    before, after = state(network), state(trained[0])
    assert {key for key in after if key not in before} == {
        key for key in after if key.startswith("foreground.")
    }
    assert all(torch.equal(after[key], value) for key, value in before.items())
    picture = torch.rand(2, 3, 48, 48)
    plain, staged = (Localizer(run).classifier for run in (network, trained[0]))
    with torch.inference_mode():
        assert torch.equal(plain(picture).logits, staged(picture).logits)


def test_what_is_said_and_written(trained):
    run, ran = trained
    assert (
        "the network stays as it is; localize then takes cam: foreground, boxes: paper" in ran.err
    )
    assert "foreground " in ran.err and "% of the class is left" in ran.err
    assert (
        "top-1"
        not in next(line for line in ran.err.splitlines() if "epoch 1:" in line).split(";")[0]
    )  # of the frozen network it is no news
    rows = history(run)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(0 < row["train"]["area"] < 1 for row in rows)
    assert all(row["train"]["background"] >= 0 for row in rows)
    assert rows[-1]["val"]["gt_known"] >= 0  # the labels are the network's own classes
    assert {row["val"]["top1"] for row in rows} == {rows[0]["val"]["top1"]}
    table = ran.out.splitlines()
    assert table[0].split()[:5] == ["epoch", "loss", "area", "background", "val"]
    held = json.loads((run / "checkpoints" / "best" / "checkpoint.json").read_text())
    assert held["experiment"]["localize"]["cam"]["name"] == "foreground"
    assert held["experiment"]["localize"]["boxes"]["threshold"] == 0.5
    assert held["experiment"]["train"]["method"]["labels"] == "given"


def test_localize_uses_the_head_of_the_run(shapes, trained, tmp_path):
    picture = next((shapes / "val").rglob("*.png"))
    out = tmp_path / "out"
    assert run_here("localize", picture, "-m", trained[0], "-o", out).code == 0
    held = json.loads((out / "manifest.json").read_text())["experiment"]["localize"]
    assert (held["cam"]["name"], held["boxes"]["threshold"]) == ("foreground", 0.5)
    ran = run_here("localize", picture, "-m", trained[0], "--method", "cam", "-o", tmp_path / "cam")
    assert ran.code == 0, ran.err


def test_pictures_without_labels(shapes, network, tmp_path):
    """In no class folder; the network's own best guesses are learned from."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, picture in enumerate(sorted((shapes / "train").rglob("*.png"))):
        shutil.copy(picture, flat / f"{number}.png")
    options = (*HEAD, "--set", "train.epochs=1", "-m", network)
    ran = run_here("train", flat, *options, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "the images have no labels: its own best guess is learned from, of all 24" in ran.err
    assert history(tmp_path / "run")[0]["val"] is None
    ran = run_here("train", flat, "-o", tmp_path / "other", "--set", "run.workers=0")
    assert ran.code == 2
    assert "images in no class folder, and train.method: none learns classes" in ran.err


def test_labels_that_the_network_does_not_know(shapes, network, tmp_path):
    strange = shutil.copytree(shapes, tmp_path / "set")
    for part in ("train", "val"):
        (strange / part / "disk").rename(strange / part / "raccoon")
    (strange / "val.xml").unlink(missing_ok=True)
    data = ("--set", f"data={{name: folder, root: {strange / 'train'}}}", "-m", network)
    ran = run_here("train", *data, *HEAD, "--set", "train.epochs=1", "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "'raccoon' is no class of the network: its own best guess is learned from" in ran.err
    given = ("--set", "train.method={name: foreground, stride: 4, labels: given}")
    ran = run_here("train", *data, *given, "-o", tmp_path / "two")
    assert ran.code == 2
    assert "train.method.labels: given, but 'raccoon' is no class of the network" in ran.err


@pytest.mark.parametrize("setting", ["start=probe", "batch_norm=stored", "rates={head: 0}"])
def test_settings_that_would_change_the_network(setting, shapes, network, tmp_path):
    data = (*shapes_data(shapes), "-m", network, *HEAD)
    ran = run_here("train", *data, "--set", f"train.{setting}", "-o", tmp_path / "run")
    assert ran.code == 2
    assert f"train.{setting.partition('=')[0]}: " in ran.err
    assert "foreground keeps" in ran.err


def test_few_pictures_have_more_epochs(shapes, network, tmp_path):
    method = ("--set", "train.method={name: foreground, stride: 4}")
    given = experiment((*shapes_data(shapes), *method), network, tmp_path / "run")

    def stop():
        return (tmp_path / "run").exists()

    with pytest.raises(StoppedError):
        train(given, stop=stop)
    told = json.loads((tmp_path / "run/checkpoints/last/checkpoint.json").read_text())
    assert told["experiment"]["train"]["epochs"] == 160  # one batch of 16 an epoch


def test_a_run_that_was_stopped_ends_as_one_that_was_not(shapes, network, tmp_path):
    options = (
        *shapes_data(shapes),
        *HEAD,
        "--set",
        "train.epochs=3",
        "--set",
        "train.batch_size=8",
    )
    options = (*options, "--set", "train.ema=0.9")
    train(experiment(options, network, tmp_path / "whole"))
    steps = []

    def stop():
        steps.append(1)
        return len(steps) == 5

    with pytest.raises(StoppedError):
        train(experiment(options, network, tmp_path / "run"), stop=stop)
    train(experiment(options, network, tmp_path / "run"), resume=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")
    assert timeless(history(tmp_path / "run")) == timeless(history(tmp_path / "whole"))


def test_a_head_trained_further_begins_with_that_of_the_package(network, shapes, tmp_path):
    data = shapes_data(shapes)
    more = ("--set", "train.method={name: foreground, stride: 4, head: packaged}", "-m", network)
    ran = run_here("train", *data, *more, "-o", tmp_path / "run")
    assert ran.code == 4
    assert "no foreground head comes with camtool for its weights" in ran.err
