"""Training on images of several classes, as users run it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from camtool.images.sources import FileSource
from camtool.pipelines.localizer import Localizer
from camtool.pipelines.trained import with_model
from camtool.runs import read_manifest, read_predictions
from tests.builders import draw_shapes
from tests.cli.test_train_command import history
from tests.commands import SMALL, run_here, shapes_data


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


def test_validation_measures_the_loss_that_training_minimises(tmp_path):
    """Of all classes each by itself; against torch on the checkpoint's own scores."""
    shapes = draw_shapes(tmp_path / "shapes", train=6, val=2)
    for part in ("train", "val"):
        paths = sorted((shapes / part).rglob("*.png"))
        second = {"disk": ";round", "ring": ";round"}
        rows = [f"{p},{p.parent.name}{second.get(p.parent.name, '')}" for p in paths]
        (tmp_path / f"{part}.csv").write_text("\n".join(rows))
    data = f"data={{name: csv, train: {tmp_path}/train.csv, val: {tmp_path}/val.csv}}"
    several = ("--set", data, "--set", "train.loss.name=logistic", "--set", "train.epochs=1")
    ran = run_here("train", *SMALL, *several, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    experiment = with_model(tmp_path / "run", None, [])
    localizer = Localizer(experiment.model, settings=experiment.localize, device="cpu")
    names, losses = localizer.names.names, []
    for line in (tmp_path / "val.csv").read_text().splitlines():
        path, labels = line.split(",")
        logits = localizer.run([localizer.prepare(FileSource(path, path))])[0].logits
        truth = torch.tensor([float(name in labels.split(";")) for name in names])
        losses.append(F.binary_cross_entropy_with_logits(torch.from_numpy(logits), truth).item())
    assert len(names) == 5
    told = history(tmp_path / "run")[0]["val"]
    assert told["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert told["images"] == 8


def test_records_hold_the_probability_of_each_class_by_itself(tmp_path):
    """Of a network trained with the logistic loss; other settings of scores go before."""
    shapes = draw_shapes(tmp_path / "shapes", train=6, val=2)
    loss = ("--set", "train.loss.name=logistic", "--set", "train.epochs=1")
    ran = run_here("train", *shapes_data(shapes), *SMALL, *loss, "-o", tmp_path / "trained")
    assert ran.code == 0, ran.err
    experiment = with_model(tmp_path / "trained", None, [])
    localizer = Localizer(experiment.model, settings=experiment.localize, device="cpu")
    given = shapes / "val" / "disk"
    softmax = ("--set", "model.scores=softmax")
    for name, more in {"sigmoid": (), "softmax": softmax}.items():
        run = tmp_path / name
        ran = run_here("localize", given, "-m", tmp_path / "trained", "-o", run, *more)
        assert ran.code == 0, ran.err
        assert read_manifest(run)["model"]["scores"] == name
        for prediction in read_predictions(run):
            prepared = localizer.prepare(FileSource(prediction.path, prediction.path))
            logits = torch.from_numpy(localizer.run([prepared])[0].logits)
            expected = logits.sigmoid() if name == "sigmoid" else logits.softmax(0)
            assert len(prediction.classes) == 4
            for found in prediction.classes:
                assert found.score == pytest.approx(float(expected[found.index]), rel=1e-4)


def test_scores_that_the_loss_does_not_train(tmp_path):
    shapes = draw_shapes(tmp_path / "shapes", train=2, val=1)
    given = (*shapes_data(shapes), *SMALL, "--set", "model.scores=sigmoid")
    ran = run_here("train", *given, "-o", tmp_path / "run")
    assert ran.code == 2
    assert (
        "model.scores: sigmoid, but train.loss cross-entropy trains scores for softmax" in ran.err
    )
