"""A run goes on only with what it was started with; a wrong choice of classes starts none."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from camtool.errors import ModelError, RunError, SettingsError
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.localize import localize
from camtool.settings import load_settings
from tests.builders import draw_pictures
from tests.commands import TINY, TINY_MODEL

BOX = (
    "<annotation><filename>00000</filename><object><name>n01440764</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def picture(tmp_path) -> str:
    return str(draw_pictures(tmp_path / "pictures", 1) / "00000.png")


def experiment(*overrides: str) -> Experiment:
    tiny = [item for item in TINY if item != "--set"]
    return load_settings(Experiment, None, [*tiny, "run.dir=run", *overrides])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("{name: list, classes: [tench, macaww]}", "has no class 'macaww'; did you mean 'macaw'?"),
        ("{name: labels}", "'labels' needs the true classes of the images: give --labels"),
    ],
)
def test_a_wrong_choice_of_classes_costs_no_run(picture, classes, message):
    settings = experiment(f"localize.classes={classes}")
    with pytest.raises(SettingsError) as raised:
        localize([picture], settings)
    assert message in str(raised.value)
    assert not Path("run").exists()
    localize([picture], experiment())
    before = Path("run/predictions.jsonl").read_bytes()
    with pytest.raises(SettingsError):
        localize([picture], settings, overwrite=True)
    assert Path("run/predictions.jsonl").read_bytes() == before


def test_labels_of_a_list_are_labels(picture):
    Path("list.csv").write_text(f"file,class\n{picture},tench\n")
    assert localize(["list.csv"], experiment("localize.classes.name=labels")).finished


def test_labels_with_boxes_are_not_those_without(picture):
    """They leave the pictures in stored pixel order, so that maps and boxes may differ."""
    Path("labels.csv").write_text("file,class\n00000,n01440764\n")
    for folder, text in (("boxes", BOX), ("other", BOX.replace("<xmin>1<", "<xmin>2<"))):
        Path(folder).mkdir()
        Path(folder, "00000.xml").write_text(text)
    assert localize([picture], experiment(), labels=Path("labels.csv")).finished
    with pytest.raises(RunError, match=r"another experiment \(the set of images or labels differs"):
        localize([picture], experiment(), labels=Path("boxes"))
    assert localize([picture], experiment(), labels=Path("boxes"), overwrite=True).finished
    assert localize([picture], experiment(), labels=Path("other")).finished


def test_other_weights_in_the_same_file_are_another_experiment(picture):
    for seed, file in ((0, "a.safetensors"), (1, "b.safetensors")):
        network = _network(seed)
        save_file({k: v.contiguous() for k, v in network.items()}, file)
    Path("a.safetensors").replace("w.safetensors")
    settings = experiment("model.weights=w.safetensors")
    assert localize([picture], settings).finished
    assert localize([picture], settings).finished
    Path("b.safetensors").replace("w.safetensors")
    with pytest.raises(RunError, match=r"\(the content of model.weights differs\)"):
        localize([picture], settings)
    Path("w.safetensors").unlink()
    with pytest.raises(RunError, match=r"\(the content of model.weights differs\)"):
        localize([picture], settings)
    with pytest.raises(ModelError, match=r"^w.safetensors: no such file"):
        localize([picture], settings, overwrite=True)


def _network(seed: int) -> dict[str, object]:
    import timm
    import torch

    torch.manual_seed(seed)
    return timm.create_model(TINY_MODEL.backbone.removeprefix("timm/")).state_dict()
