from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from camtool.evaluation.result import Comparison, PairedMetric, RunGroup, RunPair
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
        "runs/a → runs/b_1: 1,200 images (3 left out: in one run only)",
        "",
        "accuracy %                 a    b_1  change   95 % interval  better  w"
        "orse        p      n",
        "---------------------  -----  -----  ------  --------------  ------  -"
        "----  -------  -----",
        "top-1 classification   80.00  80.00   +0.00  +0.00 to +0.00       0   "
        "   0   1.0000  1,200",
        "GT-known localization  75.00  80.00   +5.00  +2.46 to +7.50      62   "
        "   2  <0.0001  1,200",
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
        "  verdict: b_1 is better in GT-known localization, beyond the interval, than a",
        "",
        "convention",
        "  hit: IoU >= 0.5",
        "  threshold: as stored",
        "",
        "warnings",
        "  - see <b>",
    ]


def test_markdown(comparison):
    text = to_markdown(comparison)
    assert "### runs/a → runs/b\\_1: 1,200 images (3 left out: in one run only)" in text
    assert (
        "| GT-known localization | 75.00 | 80.00 | +5.00 | +2.46 to +7.50 | 62 | 2 | \\<0.0001 |"
        " 1,200 |"
    ) in text
    assert "- **GT-known localization**: 62 better (i1, i2, i3, i4, i5 …); 2 worse (j\\_1, j2)" in (
        text
    )
    assert "- see \\<b>" in text.replace("\\>", ">")


def test_json(comparison):
    record = json.loads(to_json(comparison))
    assert list(record) == [
        "schema_version", "protocol", "measure", "convention", "pairs", "groups", "warnings",
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
    assert "  convention: IoU >= 0.5; as stored" in text.splitlines()
    assert "<0.0001" not in text
    assert "better (i1" not in text
    assert "first run, then" not in text
    assert "--details" in text


def many(comparison):
    """Three runs of one method against two of another, and a third."""
    (pair,) = comparison.pairs
    pairs = tuple(replace(pair, first="runs/a (3 runs)", second=name) for name in ("b", "c"))
    rates = {"gt_known_error": (25.0, 26.0, 24.0)}
    groups = (
        RunGroup("runs/a (3 runs)", ("1", "2", "3"), rates),
        RunGroup("b", ("b",), {"gt_known_error": (20.0,)}),
        RunGroup("c", ("c",), {"gt_known_error": (20.0,)}),
    )
    return replace(comparison, pairs=pairs, groups=groups)


def test_many_runs_are_rows_with_means_deviations_and_changes(comparison):
    lines = to_table(many(comparison), details=False).splitlines()
    assert lines[2:14] == [
        "accuracy %  GT-known localization",
        "----------  ---------------------",
        "a (3 runs)           75.00 ± 1.00",
        "b                           80.00",
        "c                           80.00",
        "  ±: standard deviation over the runs of a group",
        "",
        "change  GT-known localization",
        "------  ---------------------",
        "b         +5.0 (+2.5 to +7.5)",
        "c         +5.0 (+2.5 to +7.5)",
        "  change: against a (3 runs), in points; in brackets the 95 % interval, paired",
    ]
    record = json.loads(to_json(many(comparison)))
    assert record["groups"][0]["metrics"]["gt_known_error"] == {
        "mean": 25.0, "sd": 1.0, "values": [25.0, 26.0, 24.0],
    }  # fmt: skip


def test_no_clear_difference_is_said(comparison):
    (pair,) = comparison.pairs
    metric = pair.metrics["top1_classification_error"]
    same = replace(comparison, pairs=(replace(pair, metrics={"gt_known_error": metric}),))
    assert "b_1 is not told apart from a: every interval holds 0" in to_table(same, details=False)


def test_tables_for_papers(comparison):
    found = comparison_document(comparison)
    rows = list(csv.reader(io.StringIO(document.to_csv(found))))
    assert rows[0] == ["accuracy %", "a", "b_1", "change", "95 % interval", "better", "worse"]
    assert rows[2][:4] == ["GT-known localization", "75.00", "80.00", "+5.00"]
    tex = document.to_latex(found).splitlines()
    assert r"accuracy \% & a & b\_1 & change & 95 \% interval & better & worse \\" in tex
    assert r"\begin{tabular}{lrrrrrr}" in tex
    assert tex.count(r"\end{tabular}") == 1
