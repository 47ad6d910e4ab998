from __future__ import annotations

import re

import pytest

from tests.commands import run_here


def test_describe_tells_every_meaning_whole():
    ran = run_here("config", "describe")
    assert ran.code == 0
    head, _, *lines = ran.out.splitlines()
    columns = [m.start() for m in re.finditer(r"\S+( \S+)*", head)]
    assert head.split("  ")[0] == "setting"
    assert "only with" in head
    weights = next(line for line in lines if line.startswith("model.weights "))
    assert weights[columns[-1] :] == (
        "`imagenet`: pretrained, from an installed package or downloaded once by the library; "
        "`none`: random, by `run.seed`; otherwise a `.safetensors` file of the backbone's state, "
        "or, for `localize`, a checkpoint of `train`, which `--model` puts here."
    )
    sizes = [line for line in lines if line.startswith("localize.preprocess.size ")]
    assert [line[columns[1] : columns[2]].strip() for line in sizes] == ["squeeze", "center-crop"]


@pytest.mark.parametrize("name", ["resnet50", "torch/resnet50", "timm/", "timm/a b", "timm/a\n"])
def test_a_backbone_without_its_library(name):
    ran = run_here("config", "show", "--set", f"model.backbone={name!r}")
    assert ran.code == 2
    assert "model.backbone: expected timm/NAME, torchvision/NAME or paper/NAME, got '" in ran.err
    assert ran.err.endswith("; `camtool models` lists them\n")
