"""Kinds of errors and further figures from the command line, on drawn pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from camtool.annotations import read_annotations
from camtool.geometry import scale
from camtool.runs import MapFiles, read_predictions
from tests.builders import draw_pictures, write_voc
from tests.commands import TINY, run_here

KINDS = ["right", "wrong_class", "part", "too_large", "several_instances", "background", "other"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A run over twelve pictures that all show the same class, in boxes of growing size."""
    folder = tmp_path_factory.mktemp("diagnosis")
    pictures = draw_pictures(folder / "pictures", 12)
    write_voc(folder / "boxes", {f"{n:05d}": [(4 * n, 0, 47, 35)] for n in range(12)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        ran = run_here(
            "localize", pictures, "-o", folder / "run", *TINY, "--labels", folder / "boxes",
            "--set", "localize.boxes.components=all", "--set", "localize.boxes.min_area=0",
        )  # fmt: skip
        assert ran.code == 0, ran.err
    return folder


def evaluated(desk, *more):
    ran = run_here("eval", desk / "run", "--boxes", desk / "boxes", *more)
    assert ran.code == 0, ran.err
    return ran.out


def test_json(desk):
    report = json.loads(evaluated(desk, "--format", "json"))
    diagnosis, metrics = report["diagnosis"], report["metrics"]
    for name, metric in (("top1", "top1_localization_error"), ("gt_known", "gt_known_error")):
        found = diagnosis[name]
        assert list(found["kinds"]) == KINDS
        assert sum(kind["count"] for kind in found["kinds"].values()) == metrics[metric]["n"] == 12
        assert found["kinds"]["right"]["share"] == pytest.approx(100 - metrics[metric]["value"])
        for groups in ("by_size", "by_aspect", "by_instances"):
            assert sum(group["n"] for group in found[groups]) == 12
            assert all(sum(g["counts"].values()) == g["n"] for g in found[groups])
            assert all(sum(g["shares"].values()) == pytest.approx(100) for g in found[groups])
        (own,) = found["by_class"].values()
        assert own == {
            "title": own["title"], "n": 12,
            "counts": {kind: k["count"] for kind, k in found["kinds"].items()},
        }  # fmt: skip
    assert len(diagnosis["iou_histogram"]["edges"]) == 21
    assert sum(diagnosis["iou_histogram"]["counts"]) == 12
    assert {metrics[name]["measure"] for name in metrics if name.endswith("_error")} == {"error"}
    assert metrics["corloc"]["measure"] == metrics["pointing_game_0"]["measure"] == "accuracy"
    assert metrics["largest_box_precision"]["measure"] == "precision"
    assert metrics["mean_iou"]["measure"] == "mean IoU"


def test_the_pointing_game_against_the_enlarged_maps(desk):
    """The network's own maps at image size, as plainly as can be."""
    truths = read_annotations(desk / "boxes", None).annotations
    files = MapFiles(desk / "run")
    hits = []
    for prediction in read_predictions(desk / "run" / "predictions.jsonl"):
        truth = truths[prediction.image_id.removesuffix(".png")]
        (own,) = (c for c in prediction.classes if c.target)
        values = files.load(prediction, own.map).at_image_size()
        y, x = np.unravel_index(values.argmax(), values.shape)
        (box,) = (scale(b, truth.size, prediction.size) for b in truth.boxes(truth.labels[0]))
        hits.append(
            [box.x0 - t <= x + 0.5 < box.x1 + t and box.y0 - t <= y + 0.5 < box.y1 + t
             for t in (0, 18)]
        )  # fmt: skip
    report = json.loads(evaluated(desk, "--format", "json"))["metrics"]
    expected = 100 * np.mean(hits, axis=0)
    assert report["pointing_game_0"]["value"] == pytest.approx(expected[0])
    assert report["pointing_game_18"]["value"] == pytest.approx(expected[1])
    assert 0 < expected[0] < 100


def test_table_and_markdown_say_the_same(desk):
    table, markdown = evaluated(desk), evaluated(desk, "--format", "markdown")
    for words in (
        "further figures", "CorLoc", "pointing game, 18 px tolerance", "top-1 guess: what it is",
        "true class's box, by object, %", "12 of 12", "1 object",
    ):  # fmt: skip
        assert words in table
        assert words in markdown
    assert "error kinds: Gao et al. 2021" in table
    assert "1,000 resamples for corloc, mean_iou, pointing_game" in table
    assert not [line for line in table.splitlines() if line != line.rstrip()]


def test_thresholds_are_settings(desk):
    strict = json.loads(
        evaluated(
            desk, "--format", "json", "--set", "eval.diagnosis.size_edges=[0.5]",
            "--set", "eval.diagnosis.part_iop=1", "--set", "eval.diagnosis.large_iog=1",
        )
    )["diagnosis"]  # fmt: skip
    assert {group["from"] for group in strict["gt_known"]["by_size"]} == {None, 0.5}
    assert strict["gt_known"]["kinds"]["part"]["count"] == 0
    out = evaluated(desk, "--set", "eval.diagnosis.enabled=false")
    assert "further figures" not in out
    assert "CorLoc" not in out
    ran = run_here(
        "eval", desk / "run", "--boxes", desk / "boxes",
        "--set", "eval.diagnosis.aspect_edges=[2, 1]",
    )  # fmt: skip
    assert ran.code == 2
    assert "eval.diagnosis" in ran.err
    assert "aspect_edges must rise: 2, 1" in ran.err


def test_map_protocols_point_and_leave_boxes_out(desk):
    report = json.loads(evaluated(desk, "--protocol", "maxboxacc", "--format", "json"))
    plain = json.loads(evaluated(desk, "--format", "json"))
    assert report["metrics"]["pointing_game_18"] == plain["metrics"]["pointing_game_18"]
    assert "corloc" not in report["metrics"]
    reason = report["absent"]["top1_kinds"]
    assert reason.startswith("the protocol maxboxacc judges maps, not the predicted boxes")
    assert reason == report["absent"]["mean_iou"]
    assert report["diagnosis"] == {}
