"""A last layer fitted on a network's features: what it is, and how training begins with it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from camtool import Experiment, train
from camtool.errors import SettingsError
from camtool.pipelines import probe
from camtool.pipelines.train import Training
from camtool.training.data.sets import Example
from camtool.training.losses import CrossEntropy, Logistic
from tests.builders import draw_shapes
from tests.commands import SMALL, run_here, shapes_data


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=3)


def rows_of(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_the_layer_is_the_minimum_of_its_loss():
    """At the minimum every derivative is 0, worked out here without the program's own loss."""
    draw = torch.Generator().manual_seed(0)
    read = torch.randn(60, 4, generator=draw) * torch.tensor([1.0, 5.0, 0.1, 2.0]) + 3
    labels = torch.arange(60) % 3
    read[torch.arange(60), labels] += 2
    weight, bias = probe._fitted(read, labels, 3, CrossEntropy())
    mean, spread = read.double().mean(0), read.double().std(0, correction=0)
    inputs, plain = (read.double() - mean) / spread, weight.double() * spread
    logits = read.double() @ weight.double().T + bias.double()
    wrong = logits.softmax(1) - torch.eye(3, dtype=torch.float64)[labels]
    assert (wrong.T @ inputs / 60 + 0.01 * plain).abs().max() < 1e-5
    assert wrong.mean(0).abs().max() < 1e-5


def test_of_several_classes_each_has_a_regression_of_its_own():
    read = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).repeat(5, 1)
    targets = read.double()
    weight, bias = probe._fitted(read, targets, 2, Logistic())
    found = torch.sigmoid(read.double() @ weight.double().T + bias.double())
    assert torch.equal(found > 0.5, targets > 0.5)


def test_of_many_images_each_class_gives_as_many(monkeypatch):
    monkeypatch.setattr(probe, "MOST_IMAGES", 12)
    examples = [Example(None, (k % 3 if k < 90 else 0,)) for k in range(100)]
    chosen = probe._balanced(examples, 7)
    assert np.bincount([e.labels[0] for e in chosen]).tolist() == [4, 4, 4]
    assert probe._balanced(examples, 7) == chosen
    assert probe._balanced(examples[:12], 7) == examples[:12]


def test_epoch_0_is_the_fitted_layer_and_the_features_stay(shapes, tmp_path):
    settings = ("--set", "train.start=probe")
    alone = run_here(
        "train", *shapes_data(shapes), *SMALL, *settings, "--set", "train.epochs=0",
        "-o", tmp_path / "alone",
    )  # fmt: skip
    assert alone.code == 0, alone.err
    assert "fitted layer: training loss" in alone.err
    assert "best: epoch 0 by top1" in alone.out
    (row,) = rows_of(tmp_path / "alone")
    assert row["epoch"] == 0
    assert row["val"]["images"] == 12
    on = run_here(
        "train", *shapes_data(shapes), *SMALL, *settings, "-o", tmp_path / "on",
    )  # fmt: skip
    assert on.code == 0, on.err
    first, *others = rows_of(tmp_path / "on")
    assert first == row
    assert [r["epoch"] for r in others] == [1, 2]
    best = json.loads((tmp_path / "on" / "checkpoints" / "best" / "checkpoint.json").read_text())
    assert max(r["val"]["top1"] for r in (first, *others)) == best["best"]["value"][0]


def test_a_killed_run_goes_on_behind_the_fitted_layer(shapes, tmp_path, monkeypatch):
    whole = ("train", *shapes_data(shapes), *SMALL, "--set", "train.start=probe")
    assert run_here(*whole, "-o", tmp_path / "whole").code == 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "_end_epoch", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            _train(shapes, tmp_path / "killed")
    assert [r["epoch"] for r in rows_of(tmp_path / "killed")] == [0]
    monkeypatch.setattr(
        "camtool.pipelines.train.fit_probe", lambda *_: pytest.fail("fitted a second time")
    )
    ran = run_here(*whole, "-o", tmp_path / "killed", "--resume")
    assert ran.code == 0, ran.err
    one, other = (
        (tmp_path / name / "checkpoints" / "last" / "weights.safetensors").read_bytes()
        for name in ("whole", "killed")
    )
    assert one == other


def _train(shapes, out):
    from camtool.settings import load_settings

    given = [*shapes_data(shapes), *SMALL, "--set", "train.start=probe"]
    overrides = [
        text for flag, text in zip(given[::2], given[1::2], strict=True) if flag == "--set"
    ]
    train(load_settings(Experiment, None, [*overrides, f"run.dir={out}", "run.device=cpu"]))


def test_a_folder_alone_says_what_was_chosen(shapes, tmp_path):
    """Few images: the network stays as it is; asked for, all of it is trained."""
    place = SMALL.index("train.epochs=2")
    few = (*SMALL[: place - 1], *SMALL[place + 1 :])
    ran = run_here("train", shapes / "train", *few, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert "images are few: the network stays as it is" in ran.err
    assert [r["epoch"] for r in rows_of(tmp_path / "run")] == [0]
    ran = run_here("train", tmp_path / "none", "-o", tmp_path / "other")
    assert (ran.code, ran.err) == (3, f"camtool: {tmp_path}/none: no such file or folder\n")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("train.epochs=0",), "train.epochs: 0 trains nothing without train.start: probe"),
        (("train.start=probe", "train.method=acol"), "puts a head of its own: leave one of"),
    ],
)
def test_what_does_not_fit(shapes, tmp_path, settings, message):
    more = [part for text in settings for part in ("--set", text)]
    ran = run_here("train", *shapes_data(shapes), *SMALL, *more, "-o", tmp_path / "run")
    assert ran.code == 2
    assert message in ran.err


def test_a_head_that_is_no_linear_layer(shapes, tmp_path):
    settings = {
        "run": {"dir": tmp_path / "run", "device": "cpu", "workers": 0},
        "model": {"backbone": "timm/test_resnet", "weights": "none",
                  "pooling": {"name": "per-class", "by": {"name": "gmp"}}},
        "data": {"name": "folder", "root": shapes / "train"},
        "train": {"start": "probe", "epochs": 0},
    }  # fmt: skip
    with pytest.raises(SettingsError, match="fits a linear layer on pooled features"):
        train(Experiment.model_validate(settings))


def test_what_photos_may_be(tmp_path):
    """Published data sets are known by their files."""
    from camtool.cli.train_command import _settings_of

    (tmp_path / "tiny" / "val").mkdir(parents=True)
    (tmp_path / "tiny" / "val" / "val_annotations.txt").touch()
    (tmp_path / "cub").mkdir()
    for name in ("images.txt", "classes.txt"):
        (tmp_path / "cub" / name).touch()
    for given, wanted in (
        ("tiny", "tiny-imagenet, root"), ("cub", "cub, root"), ("other", "folder, root"),
        ("table.csv", "csv, train"),
    ):  # fmt: skip
        (data,) = _settings_of(tmp_path / given)
        assert data == f'data={{name: {wanted}: "{tmp_path / given}"}}'
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "one.jpg").touch()
    assert _settings_of(tmp_path / "flat")[0].startswith("data={name: images, root: ")
