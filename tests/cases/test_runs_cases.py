"""Inputs that people brought, rebuilt in `../shared/cases`: networks and what they say."""

from __future__ import annotations

import os
import shutil

from camtool.runs import read_predictions
from tests.commands import run_alone


def test_networks_of_several_classes_an_image(shared, tmp_path):
    """Case 02: two pictures hold two classes each, and one holds none."""
    case = shutil.copytree(shared / "cases" / "02-multilabel-sigmoid", tmp_path / "case")
    assert run_alone("train", "-c", "c.yaml", cwd=case).code == 0
    assert run_alone("localize", "two", "-m", "runs/case", "-o", "runs/two", cwd=case).code == 0
    found = {
        prediction.image_id: {c.name: c.score for c in prediction.classes}
        for prediction in read_predictions(case / "runs" / "two")
    }
    assert min(found["180"]["red"], found["180"]["blue"]) > 0.9
    assert min(found["182"]["red"], found["182"]["blue"]) > 0.9
    assert max(found["none"].values()) < 0.3


def test_networks_without_a_classifier(shared, tmp_path):
    """Case 10: a network whose last layer is the identity answers with features."""
    name = "timm/vit_small_patch16_dinov3"
    images = shared / "cases" / "09-train-csv-takes-second-column" / "img"
    given = ("--set", f"model.backbone={name}", "--set", "model.weights=none")
    ran = run_alone("localize", images, *given, "-o", "run", cwd=tmp_path)
    assert ran.code == 4
    assert ran.err.startswith(f"camtool: {name} has no classifier: it was published for its")
    assert not (tmp_path / "run").exists()
    own = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert "has no classifier" in run_alone("models", "--probe", name, env=own).out
