"""The shipped training configs: the smoke run trains, the others build the networks they name."""

from __future__ import annotations

from pathlib import Path

import pytest

from camtool.models import ModelSettings
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.train import train
from camtool.settings import load_settings
from tests.builders import draw_shapes

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs" / "train").glob("*.yaml"))


def test_the_smoke_run_learns_and_localizes(tmp_path):
    (smoke,) = (c for c in CONFIGS if c.stem == "smoke")
    shapes = draw_shapes(tmp_path / "shapes", train=60, val=20, size=64)
    here = (f'run.dir="{tmp_path}/run"', "run.workers=0", "train.epochs=4")
    data = (f'data.root="{shapes}"', f'data.boxes="{shapes}/val_boxes.csv"')
    result = train(load_settings(Experiment, smoke, [*here, *data]))
    last = result.history[-1]["val"]
    assert last["images"] == last["boxed_images"] == 80
    assert last["top1"] > 60  # four classes
    assert last["gt_known"] > 40
    assert result.best_rule == "top1"
    assert not result.uses_boxes


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.stem)
def test_networks_are_there(config):
    experiment = load_settings(Experiment, config)
    assert experiment.data is not None
    bare: ModelSettings = experiment.model.model_copy(update={"weights": "none"})
    assert bare.build(0, 7).num_classes == 7
