from __future__ import annotations

import pytest

from tests.commands import run_here


def test_describe_tells_every_meaning_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ran = run_here("config", "describe")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    told = " ".join(ran.out.split())
    assert "model.scores: softmax | sigmoid | null (default null) How the network's scores" in told
    assert "localize.boxes.threshold: number | otsu | percentile | by-class | stored" in told
    assert "(default null; only with localize.preprocess.name=center-crop)" in told


def test_describe_one_setting():
    ran = run_here("config", "describe", "classes.k")
    assert ran.out.splitlines()[0].startswith("localize.classes.k: integer, at least 1, at most")
    ran = run_here("config", "describe", "treshold")
    assert ran.code == 2
    assert ran.err.endswith("no setting has 'treshold' in its name; did you mean 'threshold'?\n")


@pytest.mark.parametrize("name", ["resnet50", "torch/resnet50", "timm/", "timm/a b", "timm/a\n"])
def test_a_backbone_without_its_library(name):
    ran = run_here("config", "show", "--set", f"model.backbone={name!r}")
    assert ran.code == 2
    assert "model.backbone: expected timm/NAME, torchvision/NAME or paper/NAME, got '" in ran.err
    assert ran.err.endswith("; `camtool models` lists them\n")
