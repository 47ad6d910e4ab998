"""What `camtool train` refuses to save, to go on with, or to pass over in silence."""

from __future__ import annotations

import multiprocessing
import os
import shutil

import pytest
import torch

from camtool.errors import ModelError, RunError
from camtool.pipelines.checkpoint import read_state
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.train import train
from camtool.runs import checkpoint_store as store
from camtool.settings import load_settings
from camtool.training.loop import Loop
from tests.builders import draw_shapes
from tests.cli.test_train_command import failed, history, weights
from tests.commands import SMALL, run_here, shapes_data


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=3)


def test_what_is_not_looked_at_is_not_saved(shapes, tmp_path, monkeypatch):
    """On a GPU the loss is looked at now and then, but always before a checkpoint."""
    monkeypatch.setattr(Loop, "_looks_often", lambda _: False)
    wild = ("--set", "train.optimizer.learning_rate=1e30", "--set", "train.checkpoint_steps=2")
    code, message = failed(*shapes_data(shapes), *SMALL, *wild, "-o", tmp_path / "run")
    assert code == 4
    assert message.startswith("the loss is not finite in epoch 1, step 2")
    assert not (tmp_path / "run" / "checkpoints" / "last").exists()


def test_a_stop_saves_no_loss_that_is_not_finite(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(Loop, "_looks_often", lambda _: False)
    options = [*shapes_data(shapes), *SMALL, "train.optimizer.learning_rate=1e30"]
    options += [f'run.dir="{tmp_path}/run"']
    settings = load_settings(Experiment, None, [v for v in options if v != "--set"])
    asked = iter((False, True))
    with pytest.raises(ModelError, match="the loss is not finite in epoch 1, step 2"):
        train(settings, stop=lambda: next(asked))
    assert not (tmp_path / "run" / "checkpoints" / "last").exists()


def test_weights_that_are_not_finite_are_not_saved(shapes, tmp_path, monkeypatch):
    """The loss of the step that breaks them is finite still."""
    step, left = torch.optim.SGD.step, [5]

    def breaking(optimizer, *arguments, **options):
        step(optimizer, *arguments, **options)
        left[0] -= 1
        if not left[0]:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].fill_(float("inf"))

    monkeypatch.setattr(torch.optim.SGD, "step", breaking)
    run, often = tmp_path / "run", ("--set", "train.checkpoint_steps=1")
    code, message = failed(*shapes_data(shapes), *SMALL, *often, "-o", run)
    assert code == 4
    assert message.startswith("the weights are not finite in epoch 2, step 2: stopped, nothing of")
    told = store.read_checkpoint(run / "checkpoints" / "last")
    assert (told["epoch"], told["step"]) == (1, 1)


def test_data_that_changed_are_not_gone_on_with(shapes, tmp_path):
    """A class with another name, or an image less: the settings cannot tell."""
    root, run = shutil.copytree(shapes, tmp_path / "set"), tmp_path / "run"
    options = (*shapes_data(root)[:4], *SMALL, "--set", "train.epochs=1", "-o", run)
    assert run_here("train", *options).code == 0
    image = root / "train" / "ring" / "ring_000.png"
    image.rename(tmp_path / "elsewhere.png")
    code, message = failed(*options, "--resume")
    assert code == 6
    assert "holds a training run of 24 images, and now there are 23 to train on" in message
    (tmp_path / "elsewhere.png").rename(image)
    for part in ("train", "val"):
        (root / part / "disk").rename(root / part / "zebra")
    code, message = failed(*options, "--resume")
    assert code == 6
    assert "of other classes than the data have now (disk, zebra): choose another" in message


def test_boxes_of_no_known_class(shapes, tmp_path):
    text = (shapes / "val_boxes.csv").read_text()
    boxes = tmp_path / "boxes.csv"
    other = ("--set", f'data.boxes="{boxes}"', "-o", tmp_path / "run")
    boxes.write_text(text.replace(",disk\n", ",Disc\n"))
    ran = run_here("train", *shapes_data(shapes), *SMALL, "--set", "train.epochs=1", *other)
    assert ran.code == 0
    assert "9 of 12 validation images have boxes that count" in ran.err
    boxes.write_text("\n".join(row + "s" for row in text.splitlines()).replace("labels", "label"))
    code, message = failed(*shapes_data(shapes), *SMALL, *other[:2], "-o", tmp_path / "none")
    assert code == 3
    assert message == (
        f"{boxes}: no box counts for any validation image (class unknown to the network; the first"
        " box is of 'disks', the classes are 'disk' and so on): correct the names, or train without"
        " boxes"
    )


def test_classes_that_are_named_by_numbers(shapes, tmp_path):
    """Their boxes are of the class of that name, not of that index."""
    root = shutil.copytree(shapes, tmp_path / "set")
    boxes = root / "val_boxes.csv"
    for number, name in enumerate(("disk", "ring", "square", "triangle"), start=1):
        for part in ("train", "val"):
            (root / part / name).rename(root / part / f"{number:02d}")
        boxes.write_text(boxes.read_text().replace(f",{name}\n", f",{number:02d}\n"))
    runs = {}
    for name, data in (("names", shapes), ("numbers", root)):
        ran = run_here("train", *shapes_data(data), *SMALL, "-o", tmp_path / name)
        assert ran.code == 0, ran.err
        runs[name] = [row["val"] for row in history(tmp_path / name)]
    assert runs["numbers"][0]["boxed_images"] == 12
    assert runs["numbers"] == runs["names"]


def test_no_epoch_that_can_be_judged(shapes, tmp_path):
    root, run = shutil.copytree(shapes, tmp_path / "set"), tmp_path / "run"
    for path in (root / "val").rglob("*.png"):
        path.write_text("no picture")
    ran = run_here("train", *shapes_data(root)[:4], *SMALL, "-o", run)
    assert ran.code == 0
    assert "no epoch could be judged by top1: the last one is kept as best" in ran.err
    assert "best: epoch 2 by top1" in ran.out
    assert weights(run, "best") == weights(run, "last")


@pytest.mark.parametrize(
    ("place", "value"),
    [("pooling", "{name: gmp}"), ("dropout", "0.5"), ("keep_known_classes", "true"),
     ("pooling", "{name: per-class, by: {name: lse}}")],
)  # fmt: skip
def test_a_head_of_the_methods_own_leaves_no_place(place, value, shapes, tmp_path):
    acol = ("--set", "train.method.name=acol", "--set", f"model.{place}={value}")
    code, message = failed(*shapes_data(shapes), *SMALL, *acol, "-o", tmp_path / "run")
    assert code == 2
    assert message.startswith(f"model.{place}: has no place, since train.method acol puts a head")


def test_a_gpu_of_too_little_memory(shapes, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(Loop, "_backward", full)
    assert failed(*shapes_data(shapes), *SMALL, "-o", tmp_path / "run") == (
        4,
        "the GPU has too little memory for a step: raise train.accumulate, or lower"
        " train.batch_size (in validation: run.batch_size)",
    )


class Harmful:
    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


def test_a_training_state_that_would_run_code(tmp_path):
    torch.save({"module": Harmful(tmp_path / "done")}, tmp_path / "training.pt")
    with pytest.raises(ModelError) as raised:
        read_state(tmp_path / "training.pt")
    assert str(raised.value) == (
        f"{tmp_path}/training.pt: not a training state: damaged, or it holds other things than"
        " tensors and plain data, which are never built"
    )
    assert not (tmp_path / "done").exists()


@pytest.mark.slow
def test_a_reader_that_is_killed(shapes, tmp_path):
    """As the system does when memory runs out."""

    def kill():
        for process in multiprocessing.active_children():
            process.kill()
        return False

    options = [*shapes_data(shapes), *SMALL, "run.workers=1", "train.epochs=50"]
    options += [f'run.dir="{tmp_path}/run"']
    settings = load_settings(Experiment, None, [v for v in options if v != "--set"])
    with pytest.raises(RunError, match=r"^a process that reads images was ended from outside"):
        train(settings, stop=kill)
