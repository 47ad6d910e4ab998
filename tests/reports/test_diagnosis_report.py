"""The tables of kinds of errors, row by row."""

from __future__ import annotations

from camtool.evaluation.details import Details
from camtool.metrics.diagnosis import KINDS, Diagnosis, Group
from camtool.metrics.intervals import Rate
from camtool.metrics.pair_metrics import Figure
from camtool.reports.diagnosis import detail_tables
from camtool.reports.document import columns

COUNTS = (5, 1, 1, 1, 1, 1, 0)


def diagnosis(by_class, **groups):
    kinds = {k: Rate(10.0 * n, (1, 60), 10) for k, n in zip(KINDS, COUNTS, strict=True)}
    found = {"by_size": (), "by_aspect": (), "by_instances": ()} | groups
    return Diagnosis(kinds, dict(zip(KINDS, COUNTS, strict=True)), by_class=by_class, **found)


def tables(**details):
    return [(table.head, table.rows) for table in detail_tables(Details(**details))]


def test_nothing_to_tell():
    assert detail_tables(None) == []
    assert tables() == []


def test_further_figures():
    figures = {"corloc": Figure(Rate(62.904, (60.1, 65.8), 1867), "accuracy")}
    ((head, rows),) = tables(figures=figures)
    assert columns(head, rows).splitlines() == [
        "further figures   measure      %   95 % interval      n",
        "---------------  --------  -----  --------------  -----",
        "CorLoc           accuracy  62.90  60.10 to 65.80  1,867",
    ]


def test_kinds_with_their_intervals():
    (head, rows), *_ = tables(diagnoses={"top1": diagnosis({"cat": COUNTS})})
    assert head == ("top-1 guess: what it is", "share %", "95 % interval", "number")
    assert rows[0] == ("right", "50.00", "1.00 to 60.00", "5 of 10")
    assert [row[0] for row in rows] == [kind.replace("_", " ") for kind in KINDS]


def test_of_the_true_class_the_class_is_never_wrong():
    given = diagnosis(
        {"cat": COUNTS}, by_size=(Group("under 20 %", None, 0.2, (3, 0, 0, 0, 0, 0, 1)),)
    )
    (_, kinds), (head, groups), _ = tables(diagnoses={"gt_known": given})
    assert "wrong class" not in [row[0] for row in kinds]
    assert "class" not in head
    assert groups == [("under 20 %", "75.0", "0.0", "0.0", "0.0", "0.0", "25.0", "4")]


def test_the_worst_and_the_best_classes():
    by_class = {f"n{i:02}": (i, 30 - i, 0, 0, 0, 0, 0) for i in range(25)}
    *_, (_, rows) = tables(diagnoses={"top1": diagnosis(by_class)}, class_titles={"n00": "cat"})
    assert [row[0] for row in rows] == [
        "n00 cat", *(f"n{i:02}" for i in range(1, 10)),
        "… 5 classes between", *(f"n{i:02}" for i in range(15, 25)),
    ]  # fmt: skip
    few = dict(list(by_class.items())[:20])
    *_, (_, rows) = tables(diagnoses={"top1": diagnosis(few)})
    assert [row[0] for row in rows] == list(few)


def test_of_equal_classes_the_larger_is_further_outside():
    by_class = {"a": (0, 1, 0, 0, 0, 0, 0), "b": (0, 9, 0, 0, 0, 0, 0)}
    by_class |= {"c": (9, 0, 0, 0, 0, 0, 0), "d": (1, 0, 0, 0, 0, 0, 0)}
    *_, (_, rows) = tables(diagnoses={"top1": diagnosis(by_class)})
    assert [row[0] for row in rows] == ["b", "a", "d", "c"]
