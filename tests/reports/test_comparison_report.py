from __future__ import annotations

import json

import pytest

from camtool.evaluation.result import Comparison, PairedMetric, RunPair
from camtool.metrics.diagnosis import KINDS
from camtool.metrics.intervals import Difference, McNemar
from camtool.reports import document
from camtool.reports.comparison import comparison_document


def to_table(comparison, *, details=True):
    return document.to_text(comparison_document(comparison, details=details))


def to_markdown(comparison):
    return document.to_markdown(comparison_document(comparison, details=True))


def to_json(comparison):
    return document.to_json(comparison_document(comparison))


@pytest.fixture
def comparison():
    pair = RunPair(
        first="runs/a",
        second="runs/b_1",
        images=1200,
        left_out=3,
        metrics={
            "top1_classification_error": PairedMetric(
                Difference(20.0, 20.0, 0.0, (0.0, 0.0), 1200), McNemar(1.0), 0, 0, (), ()
            ),
            "gt_known_error": PairedMetric(
                Difference(25.0, 20.0, -5.0, (-7.5, -2.456), 1200),
                McNemar(0.00002, 17.36),
                62,
                2,
                ("i1", "i2", "i3", "i4", "i5"),
                ("j_1", "j2"),
            ),
        },
        absent={f"top{n}_localization_error": "runs/a: too few guesses" for n in (4, 5)},
        kinds={"gt_known": {"part": {**dict.fromkeys(KINDS, 0), "right": 62, "part": 1000}}},
    )
    return Comparison(
        "ilsvrc", "error", {"hit": "IoU >= 0.5", "threshold": "as stored"}, (pair,), ("see <b>",)
    )


def test_table_as_a_whole(comparison):
    assert to_table(comparison).splitlines() == [
        "protocol ilsvrc",
        "",
        "runs/a → runs/b_1",
        "",
        "  images: 1,200 (3 left out: in one run only)",
        "",
        "metric                 first %  second %  change   95 % interval"
        "  better  worse        p      n",
        "---------------------  -------  --------  ------  --------------"
        "  ------  -----  -------  -----",
        "top-1 classification     20.00     20.00   +0.00  +0.00 to +0.00"
        "       0      0   1.0000  1,200",
        "GT-known localization    25.00     20.00   -5.00  -7.50 to -2.46"
        "      62      2  <0.0001  1,200",
        "",
        "true class's box: first run, then  right   part  too large  "
        "several  backgr.  other      n",
        "---------------------------------  -----  -----  ---------  "
        "-------  -------  -----  -----",
        "part                                  62  1,000          0  "
        "      0        0      0  1,062",
        "",
        "images that changed",
        "  GT-known localization: 62 better (i1, i2, i3, i4, i5 …); 2 worse (j_1, j2)",
        "",
        "not given",
        "  top-4 localization, top-5 localization: runs/a: too few guesses",
        "",
        "convention",
        "  hit: IoU >= 0.5",
        "  threshold: as stored",
        "  first, second: error in percent",
        "",
        "warnings",
        "  - see <b>",
    ]


def test_markdown(comparison):
    text = to_markdown(comparison)
    assert "### runs/a → runs/b\\_1\n\n- **images**: 1,200 (3 left out: in one run only)" in text
    assert (
        "| GT-known localization | 25.00 | 20.00 | -5.00 | -7.50 to -2.46 | 62 | 2 | \\<0.0001 |"
        " 1,200 |"
    ) in text
    assert "- **GT-known localization**: 62 better (i1, i2, i3, i4, i5 …); 2 worse (j\\_1, j2)" in (
        text
    )
    assert "- see \\<b>" in text.replace("\\>", ">")


def test_json(comparison):
    record = json.loads(to_json(comparison))
    assert list(record) == [
        "schema_version", "protocol", "measure", "convention", "pairs", "warnings",
    ]  # fmt: skip
    (pair,) = record["pairs"]
    assert (pair["first"], pair["second"]) == ("runs/a", "runs/b_1")
    assert pair["counts"] == {"images": 1200, "left_out": 3}
    assert pair["metrics"]["gt_known_error"] == {
        "first": 25.0,
        "second": 20.0,
        "difference": -5.0,
        "ci95": [-7.5, -2.456],
        "n": 1200,
        "mcnemar": {"p": 0.00002, "test": "chi2", "chi2": 17.36},
        "better": {"images": 62, "first_ids": ["i1", "i2", "i3", "i4", "i5"]},
        "worse": {"images": 2, "first_ids": ["j_1", "j2"]},
    }
    exact = pair["metrics"]["top1_classification_error"]["mcnemar"]
    assert exact == {"p": 1.0, "test": "exact", "chi2": None}
    assert pair["absent"]["top4_localization_error"] == "runs/a: too few guesses"


def test_the_default_report_leaves_out_what_takes_room(comparison):
    text = to_table(comparison, details=False)
    assert "  convention: error in percent; IoU >= 0.5; as stored" in text.splitlines()
    assert "better (i1" not in text
    assert "first run, then" not in text
    assert "--details" in text
