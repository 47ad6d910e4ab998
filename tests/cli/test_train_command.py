"""`camtool train` as users run it, on drawn shapes."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil

import pytest
import safetensors.torch
import timm
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from camtool.runs import checkpoint_store as store
from camtool.runs import writing
from camtool.training.history import write_tensorboard
from tests.builders import draw_shapes
from tests.commands import SMALL, run_here, shapes_data


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return draw_shapes(tmp_path_factory.mktemp("shapes"), train=6, val=3)


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """A finished run of two epochs."""
    run = tmp_path_factory.mktemp("trained") / "run"
    ran = run_here("train", *shapes_data(shapes), *SMALL, "-o", run)
    assert ran.code == 0, ran.err
    return run, ran


def weights(run, name="last"):
    return (run / "checkpoints" / name / "weights.safetensors").read_bytes()


def history(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def timeless(rows):
    """Rows without what a clock says."""
    return [{k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in rows]


def test_what_a_run_leaves(trained):
    run, ran = trained
    assert "24 images to train on, 12 to validate on, 4 classes; a new run" in ran.err
    said = r"best: epoch [12] by top1 on the images of .*, which uses no box: .*/checkpoints/best"
    assert re.search(said, ran.out)
    assert f"next: camtool localize IMAGES -m {run} --labels PATH" in ran.out
    assert "GT-known" in ran.out
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [r["epoch"] for r in history(run)] == [1, 2]
    row = history(run)[1]
    assert row["step"] == 6
    assert row["val"]["images"] == row["val"]["boxed_images"] == 12
    assert row["train"]["unreadable"] == 0
    told = json.loads((run / "checkpoints" / "best" / "checkpoint.json").read_text())
    assert set(told["files"]) == {"weights.safetensors", "classes.json"}
    assert told["threshold"] == 0.2
    assert told["best"]["rule"] == "top1"
    assert told["best"]["uses_boxes"] is False
    assert told["input"]["mean"]
    assert told["experiment"]["localize"]["preprocess"]["size"] == 48
    assert {"python", "torch", "timm"} <= set(told["versions"])
    classes = json.loads((run / "checkpoints" / "best" / "classes.json").read_text())
    assert [c["name"] for c in classes] == ["disk", "ring", "square", "triangle"]


def test_same_seed_same_weights(trained, shapes, tmp_path):
    """Bit for bit, whoever decodes the images and wherever they are kept."""
    run, _ = trained
    other = ("--set", "run.workers=1", "--set", "data.cache_mb=1")
    assert run_here("train", *shapes_data(shapes), *SMALL, *other, "-o", tmp_path / "b").code == 0
    assert weights(tmp_path / "b") == weights(run)
    assert timeless(history(tmp_path / "b")) == timeless(history(run))
    seed = ("--set", "run.seed=1")
    assert run_here("train", *shapes_data(shapes), *SMALL, *seed, "-o", tmp_path / "c").code == 0
    assert weights(tmp_path / "c") != weights(run)


def test_localize_with_the_checkpoint(trained, shapes, tmp_path):
    """Class names, preprocessing and threshold come with it; validation says what eval says."""
    run, _ = trained
    out = tmp_path / "val"
    labels = ("--labels", shapes / "val_boxes.csv")
    assert run_here("localize", shapes / "val", "-m", run, *labels, "-o", out).code == 0
    scored = run_here("eval", out, "--boxes", shapes / "val_boxes.csv", "--format", "json")
    found = json.loads(scored.out)["metrics"]
    told = json.loads((run / "checkpoints" / "best" / "checkpoint.json").read_text())["metrics"]
    for ours, theirs in (
        ("top1", "top1_classification_error"),
        ("top1_localization", "top1_localization_error"),
        ("gt_known", "gt_known_error"),
    ):
        assert told[ours] == pytest.approx(100 - found[theirs]["value"], abs=1e-9), ours
    manifest = json.loads((out / "manifest.json").read_text())
    assert [c["name"] for c in manifest["classes"]] == ["disk", "ring", "square", "triangle"]
    assert manifest["experiment"]["localize"]["preprocess"]["size"] == 48


def test_settings_go_over_those_of_the_checkpoint(trained, shapes, tmp_path):
    run, _ = trained
    picture = next((shapes / "val").rglob("*.png"))
    model = ("-m", run / "checkpoints" / "last" / "weights.safetensors")
    changed = ("--set", "localize.boxes.threshold=0.5")
    assert run_here("localize", picture, *model, *changed, "-o", tmp_path / "a").code == 0
    (tmp_path / "c.yaml").write_text("localize: {boxes: {name: paper, threshold: 0.5}}\n")
    file = ("-c", tmp_path / "c.yaml")
    assert run_here("localize", picture, *model, *file, "-o", tmp_path / "b").code == 0
    for name in "ab":
        localize = json.loads((tmp_path / name / "manifest.json").read_text())["experiment"][
            "localize"
        ]
        assert localize["boxes"]["threshold"] == 0.5
        assert localize["preprocess"]["size"] == 48


def test_a_finished_run_is_left_as_it_is(trained, shapes):
    run, first = trained
    before = weights(run)
    again = run_here("train", *shapes_data(shapes), *SMALL, "-o", run)
    assert again.code == 6
    assert "holds a training run: --resume goes on with it, or choose another --out" in again.err
    resumed = run_here("train", *shapes_data(shapes), *SMALL, "-o", run, "--resume")
    assert (resumed.code, resumed.out) == (0, first.out)
    assert weights(run) == before


def test_a_run_of_localize_is_left_as_it_is(trained, shapes, tmp_path):
    picture = next((shapes / "val").rglob("*.png"))
    run = tmp_path / "out"
    assert run_here("localize", picture, "-m", trained[0], "-o", run).code == 0
    before = (run / "experiment.yaml").read_text()
    for more in ((), ("--resume",)):
        ran = run_here("train", *shapes_data(shapes), *SMALL, *more, "-o", run)
        assert ran.code == 6
        assert "holds a run of localize: choose another --out for training" in ran.err
    assert (run / "experiment.yaml").read_text() == before


def test_another_experiment_is_not_gone_on_with(trained, shapes):
    run, _ = trained
    other = ("--set", "train.epochs=3", "--resume")
    ran = run_here("train", *shapes_data(shapes), *SMALL, "-o", run, *other)
    assert ran.code == 6
    assert "holds a training run of other settings (train.epochs differs)" in ran.err


def test_moving_average_accumulation_and_clipping_run(shapes, tmp_path):
    options = (
        "--set", "train.ema=0.9", "--set", "train.accumulate=2", "--set", "train.clip=1.0",
        "--set", "train.epochs=1", "--set", "train.precision=bfloat16",
        "--set", "train.optimizer.name=adamw", "--set", "train.optimizer.learning_rate=0.001",
    )  # fmt: skip
    ran = run_here("train", *shapes_data(shapes), *SMALL, *options, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    saved = safetensors.torch.load(weights(tmp_path / "run"))
    assert all(v.isfinite().all() for v in saved.values())


@pytest.mark.parametrize("kind", ["stored", "batch"])
def test_whose_statistics_batch_norms_use(kind, shapes, tmp_path):
    torch.manual_seed(0)
    pretrained = timm.create_model("test_resnet").state_dict()
    file, run = tmp_path / "w.safetensors", tmp_path / "run"
    safetensors.torch.save_file(pretrained, file)
    options = ("--set", f'model.weights="{file}"', "--set", f"train.batch_norm={kind}")
    ran = run_here("train", *shapes_data(shapes), *SMALL, *options, "-o", run)
    assert ran.code == 0, ran.err
    saved = safetensors.torch.load(weights(run))
    norms = [key for key in saved if key.endswith(("running_mean", "running_var"))]
    assert len(norms) > 10
    kept = [torch.equal(saved[key], pretrained[key.removeprefix("features.")]) for key in norms]
    assert all(kept) if kind == "stored" else not any(kept)
    key = "conv1.0.weight"
    assert not torch.equal(saved[f"features.{key}"], pretrained[key])


def test_statistics_of_a_network_without_batch_norms(shapes, tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("test_convnext").state_dict(), file)
    code, err = failed(
        *shapes_data(shapes), *SMALL, "--set", "model.backbone=timm/test_convnext",
        "--set", "model.output_stride=null", "--set", f'model.weights="{file}"',
        "--set", "train.batch_norm=stored", "-o", tmp_path / "run",
    )  # fmt: skip
    assert code == 2
    assert err.startswith("train.batch_norm: stored, but the network has no batch norm")


def test_a_part_that_is_kept_as_it_is(shapes, tmp_path):
    torch.manual_seed(0)
    pretrained = timm.create_model("test_resnet").state_dict()
    file, run = tmp_path / "w.safetensors", tmp_path / "run"
    safetensors.torch.save_file(pretrained, file)
    rates = "train.rates={conv1: 0, bn1: 0, layer1: 0, layer2: 0.5}"
    options = ("--set", f'model.weights="{file}"', "--set", rates)
    ran = run_here("train", *shapes_data(shapes), *SMALL, *options, "-o", run)
    assert ran.code == 0, ran.err
    saved = safetensors.torch.load(weights(run))
    # Half the cosine's rate is that of layer2 alone.
    rate = 0.02 * (1 + math.cos(math.pi * 2 / 6)) / 2
    assert history(run)[0]["learning_rate"] == pytest.approx(rate)
    kept = ("conv1.", "bn1.", "layer1.")
    for key, before in pretrained.items():
        after = saved.get(f"features.{key}")
        if after is not None:
            assert torch.equal(before, after) == key.startswith(kept), key


def test_a_rate_of_no_part(shapes, tmp_path):
    code, err = failed(
        *shapes_data(shapes), *SMALL, "--set", "train.rates={layer_2: 0}", "-o", tmp_path / "run"
    )
    assert code == 4
    assert err.startswith("train.rates: timm/test_resnet has no module 'layer_2'; there are layer2")


@pytest.mark.parametrize("method", ["hide-and-seek", "cutmix", "adl", "acol", "spg"])
def test_methods_train_and_localize(method, shapes, tmp_path):
    """A method may give the network a head of its own: the checkpoint brings it back."""
    run = tmp_path / "run"
    options = ("--set", f"train.method.name={method}", "--set", "train.epochs=1")
    ran = run_here("train", *shapes_data(shapes), *SMALL, *options, "-o", run)
    assert ran.code == 0, ran.err
    picture = next((shapes / "val").rglob("*.png"))
    ran = run_here("localize", picture, "-m", run, "-o", tmp_path / "out")
    assert ran.code == 0, ran.err


# Bad input ------------------------------------------------------------------------------------


def failed(*arguments):
    ran = run_here("train", *arguments)
    assert ran.code != 0
    return ran.code, ran.err.splitlines()[-1].removeprefix("camtool: ")


def test_no_data():
    assert failed() == (2, "data: missing; a section such as data: {name: folder, root: PHOTOS}")


def test_a_class_without_an_image(shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "set")
    (root / "train" / "zebra").mkdir()
    zebra = "class without an image to train on: 'zebra'; add images or remove the class"
    assert failed(*shapes_data(root), *SMALL, "-o", tmp_path / "run") == (
        3,
        f"{root}/train: {zebra}",
    )


def test_a_class_of_val_outside_the_class_map(shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "set")
    (root / "val" / "disk").rename(root / "val" / "ellipse")
    code, message = failed(*shapes_data(root), *SMALL, "-o", tmp_path / "run")
    assert code == 3
    assert message.startswith(f"{root}/val: the class folder 'ellipse' is not in the class map")


def test_an_unreadable_image_is_counted(shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "set")
    bad = root / "train" / "ring" / "ring_000.png"
    bad.write_text("no picture")
    ran = run_here("train", *shapes_data(root), *SMALL, "-o", tmp_path / "run")
    assert ran.code == 0
    assert f"warning: {bad}: not an image: it holds text; another image stands in for it" in ran.err
    assert ran.err.count("stands in for it") == 1
    assert [r["train"]["unreadable"] for r in history(tmp_path / "run")] == [1, 1]
    assert "1 images could not be read" in ran.err


def test_no_readable_image(shapes, tmp_path):
    root = shutil.copytree(shapes, tmp_path / "set")
    for path in (root / "train").rglob("*.png"):
        path.write_text("no picture")
    code, message = failed(*shapes_data(root), *SMALL, "-o", tmp_path / "run")
    assert code == 3
    assert "24 training images in a row cannot be read; the first: " in message


def test_a_loss_that_is_not_finite(shapes, tmp_path):
    """It stops, and the last good checkpoint is what it was."""
    run = tmp_path / "run"
    wild = ("--set", "train.optimizer.learning_rate=1e30", "--set", "train.checkpoint_steps=1")
    code, message = failed(*shapes_data(shapes), *SMALL, *wild, "-o", run)
    assert code == 4
    assert re.search(r"not finite in epoch 1, step \d: stopped, nothing of it saved", message)
    told = store.read_checkpoint(run / "checkpoints" / "last")
    assert told["step"] >= 1
    assert (told["epoch"], told["metrics"]) == (0, None)


def test_no_validation_set(shapes, tmp_path):
    data = ("--set", "data.name=folder", "--set", f'data.root="{shapes}/train"')
    none = ("--set", "data.val_fraction=0.0")
    ran = run_here("train", *data, *none, *SMALL, "-o", tmp_path / "run")
    assert ran.code == 0
    assert "no validation set: the best checkpoint is the last one" in ran.err
    assert weights(tmp_path / "run", "best") == weights(tmp_path / "run", "last")
    assert store.read_checkpoint(tmp_path / "run/checkpoints/best")["best"]["rule"] == "last"


@pytest.mark.parametrize(
    ("option", "code", "message"),
    [
        ("train.batch_size=100", 2, "train.batch_size: 100 images a step, but only 24 to"),
        ("train.accumulate=3", 2, "train.batch_size: 8 images cannot be shared by 1"),
        ("train.precision=float16", 2, "train.precision: float16 needs a GPU"),
        ("train.batch_norm=stored", 2, "train.batch_norm: stored, but model.weights: none brings"),
        ("model.linear_weights=w.npz", 2, "model.linear_weights: brings classes of its own"),
        ("train.schedule.warmup_epochs=2.5", 2, "train.schedule.warmup_epochs: 2.5, but the run"),
        ("train.batch_norm=synchronized", 2, "train.batch_norm: synchronized needs GPUs"),
        ("data.root=nowhere", 3, "nowhere: no such file or folder; check the section data"),
        ("data.boxes=null", 0, ""),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit(option, code, message, shapes, tmp_path):
    if not code:  # without boxes, a rule that needs them
        option, code = "train.best=gt_known", 2
        message = "train.best: gt_known needs boxes of the validation images"
        data = shapes_data(shapes)[:4]
    else:
        data = shapes_data(shapes)
    found = failed(*data, *SMALL, "--set", option, "-o", tmp_path / "run")
    assert (found[0], found[1][: len(message)]) == (code, message)
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_an_extra(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    board = ("--set", "train.tensorboard=true")
    assert failed(*shapes_data(shapes), *SMALL, *board, "-o", tmp_path / "run") == (
        2,
        "train.tensorboard: the package is missing: pip install 'camtool[tensorboard]'",
    )


def test_event_files_tell_each_epoch_once(shapes, tmp_path):
    """An epoch that is done again, after a kill before its checkpoint, replaces what was told."""
    run = tmp_path / "run"
    board = ("--set", "train.tensorboard=true")
    ran = run_here("train", *shapes_data(shapes), *SMALL, *board, "-o", run)
    assert ran.code == 0, ran.err
    rows = history(run)
    told = rows[1] | {"val": rows[1]["val"] | {"top1": 12.5}}
    write_tensorboard(run, told)
    found = EventAccumulator(str(run / "tensorboard")).Reload()
    for part, key in (("train", "loss"), ("val", "top1"), ("val", "gt_known")):
        events = [(e.step, pytest.approx(e.value)) for e in found.Scalars(f"{part}/{key}")]
        assert events == [(1, rows[0][part][key]), (2, told[part][key])]


def test_images_of_several_classes_need_a_loss_for_them(shapes, tmp_path):
    rows = [f"{p},{p.parent.name}" for p in sorted((shapes / "train").rglob("*.png"))]
    (tmp_path / "t.csv").write_text("\n".join([rows[0] + ";ring", *rows[1:]]) + "\n")
    data = ("--set", "data.name=csv", "--set", f'data.train="{tmp_path}/t.csv"')
    code, message = failed(*data, *SMALL, "-o", tmp_path / "run")
    assert code == 3
    assert message.endswith("which train.loss cross-entropy cannot learn: take {name: logistic}")
    logistic = ("--set", "train.loss.name=logistic", "--set", "train.epochs=1")
    ran = run_here("train", *data, *SMALL, *logistic, "-o", tmp_path / "run")
    assert ran.code == 0, ran.err


# Damage ---------------------------------------------------------------------------------------


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "copied")


@pytest.mark.parametrize("file", ["training.pt", "weights.safetensors", "checkpoint.json"])
def test_the_checkpoint_before_a_damaged_one_is_used(file, copied, trained, shapes):
    (copied / "checkpoints" / "best").rename(copied / "elsewhere")  # shares files with the others
    path = copied / "checkpoints" / "last" / file
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: len(data) // 2])
    ran = run_here("train", *shapes_data(shapes), *SMALL, "-o", copied, "--resume")
    assert ran.code == 0
    assert f"{file}: damaged" in ran.err
    assert "trying the checkpoint before it" in ran.err
    assert "goes on at epoch 2, step 0" in ran.err
    assert weights(copied) == weights(trained[0])
    assert timeless(history(copied)) == timeless(history(trained[0]))


def test_no_whole_checkpoint(copied, shapes):
    for name in ("last", "previous"):
        (copied / "checkpoints" / name / "training.pt").write_bytes(b"x")
    code, message = failed(*shapes_data(shapes), *SMALL, "-o", copied, "--resume")
    assert code == 4
    assert "training.pt: damaged: 1 bytes where" in message
    assert message.endswith("no older checkpoint is whole: start with another --out")


def test_foreign_checkpoints(trained, tmp_path, shapes):
    picture = next((shapes / "val").rglob("*.png"))

    def localized(model):
        ran = run_here("localize", picture, "-m", model, "-o", tmp_path / "out")
        return ran.code, ran.err.splitlines()[-1].removeprefix("camtool: ")

    (tmp_path / "empty").mkdir()
    assert localized(tmp_path / "empty") == (
        4,
        f"{tmp_path}/empty: a folder without a checkpoint; --model takes a run of `camtool train`"
        " or its folder checkpoints/best, a file of weights (.safetensors, .pth, .pt, .ckpt), or"
        " the name of a backbone (timm/resnet50)",
    )
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "checkpoint.json").write_text('{"other": 1}')
    assert localized(foreign)[1].startswith(f"{foreign}/checkpoint.json: damaged, or of another")
    best = shutil.copytree(trained[0] / "checkpoints" / "best", tmp_path / "best")
    told = json.loads((best / "checkpoint.json").read_text())
    told["experiment"]["model"]["extra_conv"] = {"channels": 8, "kernel": 3, "groups": 1}
    (best / "checkpoint.json").write_text(json.dumps(told))
    code, message = localized(best)
    assert code == 4
    assert "checkpoint and experiment disagree: " in message


@pytest.mark.parametrize("writes", range(1, 6))
def test_a_full_disk_while_saving(writes, shapes, tmp_path, monkeypatch):
    """Whatever does not fit, what was there is whole, and the run goes on when there is room."""
    run = tmp_path / "run"
    epoch = run_here("train", *shapes_data(shapes), *SMALL, "-o", run, "--set", "run.seed=5")
    assert epoch.code == 0
    whole = {n: weights(run, n) for n in ("last", "best")}
    shutil.rmtree(run / "checkpoints" / "last")
    (run / "checkpoints" / "previous").rename(run / "checkpoints" / "last")
    fsync, left = os.fsync, [writes]

    def full(handle):
        left[0] -= 1
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    again = ("train", *shapes_data(shapes), *SMALL, "-o", run, "--set", "run.seed=5", "--resume")
    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "fsync", full)
        ran = run_here(*again)
    assert ran.code == 6
    assert "no space left on the disk; free some and start again to go on" in ran.err
    told = store.read_checkpoint(run / "checkpoints" / "last")
    assert told["epoch"] in (1, 2)
    assert not list((run / "checkpoints").glob(".writing-*"))
    assert run_here(*again).code == 0
    assert {n: weights(run, n) for n in ("last", "best")} == whole
