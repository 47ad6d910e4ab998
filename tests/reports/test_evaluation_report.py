from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from camtool.evaluation.result import Counts, Evaluation
from camtool.metrics.baselines import Baseline
from camtool.metrics.curves import Curve
from camtool.metrics.intervals import Difference, Rate, Tally
from camtool.metrics.thresholds import AtThreshold, ThresholdChoice
from camtool.reports import document
from camtool.reports.evaluation import evaluation_document

OF_NO_NETWORK = {
    "centred_gaussian": 60.0,
    "whole_image": 30.0,
    "centred_0.7": 55.0,
    "centred_0.6": 50.0,
}


def to_table(evaluation, *, details=True):
    return document.to_text(evaluation_document(evaluation, details=details))


def to_markdown(evaluation):
    return document.to_markdown(evaluation_document(evaluation, details=True))


def to_json(evaluation):
    return document.to_json(evaluation_document(evaluation))


NO_TALLY = Tally(np.zeros(0, np.int64), np.zeros(0, np.int64))
LACKING = "the predictions carry 1 guess an image, not 2"


@pytest.fixture
def evaluation():
    return Evaluation(
        protocol="ilsvrc",
        convention={"hit": "IoU >= 0.5", "true_boxes": "any true box of the class"},
        counts=Counts(1200, 1199, 1198, {"no prediction": 1, "image could not be read": 1}),
        metrics={
            "top1_classification_error": Rate(43.774, (42.8, 44.746), 1198),
            "gt_known_error": Rate(25.0, (20.0, 30.0), 1196),
        },
        absent={"top2_classification_error": LACKING, "top2_localization_error": LACKING},
        baselines={
            "whole_image": Baseline(598, Rate(50.0, (47.2, 52.8), 1196), NO_TALLY),
            "centred_0.9": Baseline(299, Rate(25.0, (22.5, 27.5), 1196), NO_TALLY),
        },
        join={"exact": 1000, "without_extension": 198, "base_name": 0},
        warnings=("sizes differ for <b>a_b|c</b>",),
    )


def test_table_as_a_whole(evaluation):
    assert to_table(evaluation).splitlines() == [
        "protocol ilsvrc",
        "",
        "metric                 accuracy %   95 % interval      n",
        "---------------------  ----------  --------------  -----",
        "top-1 classification        56.23  55.25 to 57.20  1,198",
        "GT-known localization       75.00  70.00 to 80.00  1,196",
        "",
        "GT-known, no network            accuracy %  right   95 % interval      n",
        "------------------------------  ----------  -----  --------------  -----",
        "these predictions                    75.00    897  70.00 to 80.00  1,196",
        "whole image *                        50.00    598  47.20 to 52.80  1,196",
        "centred box, 90 % of each side       25.00    299  22.50 to 27.50  1,196",
        "  *: best side: 1; chosen on these images, as an oracle chooses its threshold",
        "",
        "not given",
        "  top-2 classification, top-2 localization: the predictions carry 1 guess an image, not 2",
        "",
        "  images: 1,198 scored (1,200 annotated, 1,199 predicted)",
        "  left out: no prediction: 1; image could not be read: 1",
        "  joined by image id: exact: 1,000; without extension: 198",
        "",
        "convention",
        "  hit: IoU >= 0.5",
        "  true boxes: any true box of the class",
        "",
        "warnings",
        "  - sizes differ for <b>a_b|c</b>",
    ]


def test_the_default_report_has_a_box_and_the_best_threshold_beside_each_figure(evaluation):
    rules = {"run": AtThreshold(0.2, 25.0), "oracle": AtThreshold(0.31, 21.5)}
    found = replace(
        evaluation,
        convention=evaluation.convention | {"threshold": "paper, fixed before scoring"},
        thresholds={"gt_known_error": ThresholdChoice(rules, "run")},
        verdict=Difference(50.0, 75.0, 25.0, (21.5, 28.5), 1196),
        warnings=tuple(f"warning {k}" for k in range(5)),
    )
    assert to_table(found, details=False).splitlines() == [
        "protocol ilsvrc",
        "",
        "metric                 right %   95 % interval      n  centred         oracle",
        "---------------------  -------  --------------  -----  -------  -------------",
        "top-1 classification     56.23  55.25 to 57.20  1,198",
        "GT-known localization    75.00  70.00 to 80.00  1,196    50.00  78.50 at 0.31",
        "",
        "not given",
        "  top-2 classification, top-2 localization: the predictions carry 1 guess an image, not 2",
        "",
        "  verdict: better than the best centred box (100 % of each side), GT-known: 75.00 against"
        " 50.00,",
        "      +25.00 (+21.50 to +28.50) on the same 1,196",
        "  images: 1,198 of 1,200 annotated scored; left out: no prediction: 1; image could not be"
        " read:",
        "      1",
        "  convention: IoU >= 0.5; paper, fixed before scoring",
        "",
        "warnings",
        "  - warning 0",
        "  - warning 1",
        "  - warning 2",
        "  - and 2 more: --details",
        "",
        "  more: --details: all tables, the convention; --per-image FILE: the table of images",
    ]


def test_a_narrow_terminal_cuts_the_first_column_only(evaluation):
    text = document.to_text(evaluation_document(evaluation, details=True), 70)
    assert max(map(len, text.splitlines())) <= 70
    (line,) = (one for one in text.splitlines() if one.startswith("centred box"))
    assert "…" in line
    assert line.split()[-6:] == ["25.00", "299", "22.50", "to", "27.50", "1,196"]


def test_long_sentences_are_wrapped(evaluation):
    evaluation.convention["hit"] = "a rule of many words " * 20
    assert max(map(len, to_table(evaluation).splitlines())) <= 96


def test_table_of_baselines_alone():
    counts = Counts(4, 0, 4, {})
    found = Evaluation(
        "ilsvrc",
        {},
        counts,
        {},
        {},
        {"whole_image": Baseline(1, Rate(25.0, (0.0, 75.0), 4), NO_TALLY)},
    )
    table = to_table(found)
    assert "metric" not in table
    assert "these predictions" not in table
    assert "  left out: none" in table
    assert "warnings" not in table


def test_json_is_the_contract(evaluation):
    assert json.loads(to_json(evaluation)) == {
        "schema_version": 1,
        "protocol": "ilsvrc",
        "convention": {"hit": "IoU >= 0.5", "true_boxes": "any true box of the class"},
        "counts": {
            "annotated": 1200,
            "predicted": 1199,
            "scored": 1198,
            "left_out": {"no prediction": 1, "image could not be read": 1},
        },
        "metrics": {
            "top1_classification_error": {
                "value": 43.774,
                "ci95": [42.8, 44.746],
                "n": 1198,
                "measure": "error",
            },
            "gt_known_error": {
                "value": 25.0,
                "ci95": [20.0, 30.0],
                "n": 1196,
                "measure": "error",
            },
        },
        "baselines": {
            "whole_image": {
                "gt_known_accuracy": 50.0,
                "gt_known_accuracy_ci95": [47.2, 52.8],
                "gt_known_error": 50.0,
                "right": 598,
                "n": 1196,
            },
            "centred_0.9": {
                "gt_known_accuracy": 25.0,
                "gt_known_accuracy_ci95": [22.5, 27.5],
                "gt_known_error": 75.0,
                "right": 299,
                "n": 1196,
            },
        },
        "absent": {"top2_classification_error": LACKING, "top2_localization_error": LACKING},
        "join": {"exact": 1000, "without_extension": 198, "base_name": 0},
        "warnings": ["sizes differ for <b>a_b|c</b>"],
        "best_centred_box": {"name": "whole_image", "side": 1.0},
    }


def test_curves_and_baselines_of_maps(evaluation):
    curve = Curve((0.0, 0.5), {"IoU ≥ 0.5": (40.0, 62.5)}, "threshold", "accuracy, %")
    rates = {name: {"max_box_acc": Rate(v, (v - 9, v + 9), 8)} for name, v in OF_NO_NETWORK.items()}
    found = replace(
        evaluation,
        metrics={"max_box_acc": Rate(62.5, (50.0, 75.0), 8)},
        map_baselines=rates,
        curves={"box_accuracy": curve},
    )
    record = json.loads(to_json(found))
    assert record["curves"]["box_accuracy"] == {
        "x_label": "threshold",
        "y_label": "accuracy, %",
        "x": [0.0, 0.5],
        "y": {"IoU ≥ 0.5": [40.0, 62.5]},
    }
    assert '"x": [0.0, 0.5]' in to_json(found)
    assert record["map_baselines"]["centred_0.7"]["max_box_acc"]["value"] == 55.0
    lines = to_table(found).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("no network"))
    assert lines[start + 2].split("  ")[-1].strip() == "55.00 (46.0–64.0), 0.7 *"
    assert "60.00 (51.0–69.0)" in lines[start + 2]
    assert "chosen on these images" in to_table(found)
    assert "55.00 (46.0–64.0), 0.7 \\*" in to_markdown(found)


def test_markdown(evaluation):
    lines = to_markdown(evaluation).splitlines()
    assert lines[:6] == [
        "## protocol ilsvrc",
        "",
        "| metric | accuracy % | 95 % interval | n |",
        "| --- | ---: | ---: | ---: |",
        "| top-1 classification | 56.23 | 55.25 to 57.20 | 1,198 |",
        "| GT-known localization | 75.00 | 70.00 to 80.00 | 1,196 |",
    ]
    assert "| whole image \\* | 50.00 | 598 | 47.20 to 52.80 | 1,196 |" in lines
    assert "- **hit**: IoU \\>= 0.5" in lines
    assert lines[-1] == "- sizes differ for \\<b\\>a\\_b\\|c\\</b\\>"
