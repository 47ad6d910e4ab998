"""One's own network: from a file of weights to boxes in one command, and on to training."""

from __future__ import annotations

import json

import pytest
import timm
import torch

from camtool.runs import read_predictions
from tests.builders import draw_pictures, draw_shapes
from tests.commands import SMALL, run_here, shapes_data

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu"]
SMALL_INPUT = ("--set", "localize.preprocess.size=64", "--set", "localize.boxes.scale=min-max")


@pytest.fixture
def weights(tmp_path):
    """A checkpoint of seven classes, as a trainer on several devices writes it."""
    torch.manual_seed(5)
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()}
    content = {"epoch": 9, "arch": "test_resnet", "state_dict": wrapped}
    torch.save(content, tmp_path / "best.pth.tar")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    return tmp_path / "best.pth.tar"


def test_a_checkpoint_of_seven_classes(weights, tmp_path):
    pictures = draw_pictures(tmp_path / "pictures", 2)
    given = ("-m", weights, "--class-names", tmp_path / "names.txt", "-o", tmp_path / "run")
    ran = run_here("localize", pictures, *given, *SMALL_INPUT)
    assert ran.code == 0, ran.err
    assert f"{weights}: of the network timm/test_resnet, as it says" in ran.err
    found = list(read_predictions(tmp_path / "run"))
    assert {c.name for p in found for c in p.classes} <= set(NAMES)
    assert all(len(p.classes) == 5 for p in found)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["backbone"] == "timm/test_resnet"
    assert [row["name"] for row in manifest["classes"]] == NAMES


def test_a_backbone_by_name(tmp_path):
    pictures = draw_pictures(tmp_path / "pictures", 1)
    given = ("-m", "timm/test_resnet", "--set", "model.weights=none", "-o", tmp_path / "run")
    ran = run_here("localize", pictures, *given, *SMALL_INPUT)
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere.pth", "nowhere.pth: no such file or folder; --model takes a run"),
        (".", "a folder without a checkpoint; --model takes a run"),
    ],
)
def test_nothing_to_load(model, message, tmp_path):
    ran = run_here("localize", tmp_path, "-m", model)
    assert ran.code == 4
    assert message in ran.err


def test_training_begins_with_a_file(weights, tmp_path):
    shapes = draw_shapes(tmp_path / "shapes", train=4, val=1)
    given = (*shapes_data(shapes), *SMALL, "--set", "train.epochs=1")
    ran = run_here("train", *given, "--set", f"model.weights={weights}", "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    assert f"{weights}: of 7 classes: the last layer of 4 is new" in ran.err


def test_training_goes_on_from_a_run(tmp_path):
    shapes = draw_shapes(tmp_path / "shapes", train=4, val=1)
    given = (*shapes_data(shapes), *SMALL, "--set", "train.epochs=1")
    assert run_here("train", *given, "-o", tmp_path / "one").code == 0
    slow = [o for o, following in zip(given, (*given[1:], ""), strict=True)
            if "model." not in f"{o}{following}"]  # fmt: skip
    slow += ["--set", "train.optimizer.learning_rate=1e-9", "--set", "train.batch_norm=stored"]
    ran = run_here("train", *slow, "-m", tmp_path / "one", "-o", tmp_path / "two")
    assert ran.code == 0, ran.err
    losses = [
        json.loads((tmp_path / run / "history.jsonl").read_text().splitlines()[-1])["val"]["loss"]
        for run in ("one", "two")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_training_goes_on_with_other_classes(tmp_path):
    shapes = draw_shapes(tmp_path / "shapes", train=4, val=1)
    given = (*shapes_data(shapes), *SMALL, "--set", "train.epochs=1")
    assert run_here("train", *given, "-o", tmp_path / "one").code == 0
    for part in ("train", "val"):
        (tmp_path / "shapes" / part / "disk").rename(tmp_path / "shapes" / part / "coin")
    (tmp_path / "shapes" / "val_boxes.csv").unlink()
    here = ("--set", "data.name=folder", "--set", f"data.root={shapes}", "--set", "train.epochs=1")
    more = ("--set", "run.workers=0", "--set", "train.batch_size=8")
    ran = run_here("train", *here, *more, "-m", tmp_path / "one", "-o", tmp_path / "two")
    assert ran.code == 0, ran.err
    assert "of 4 classes, here are 4: its last layer is new, but for the 3 of the same name" in (
        ran.err
    )
