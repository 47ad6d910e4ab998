"""`eval --per-image`: the table of trials as a file, which agrees with the figures."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from camtool.evaluation.per_image import FIELDS
from tests.cli.test_eval_command import WHOLE, boxes, predicted, predictions  # noqa: F401
from tests.commands import run_here


@pytest.fixture
def given(boxes, predictions):  # noqa: F811
    return ("--predictions", predictions, "--boxes", boxes)


def test_csv_holds_a_row_for_each_image_and_class(given, tmp_path):
    path = tmp_path / "table.csv"
    ran = run_here("eval", *given, "--per-image", path, "--format", "json")
    assert ran.code == 0, ran.err
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list("abcd")
    assert list(rows[0]) == [name for name, _ in FIELDS]
    first = {name: rows[0][name] for name in ("class", "located", "rank", "first_right", "right")}
    assert first == {
        "class": "n01440764", "located": "1", "rank": "1", "first_right": "1", "right": "1",
    }  # fmt: skip
    assert (rows[0]["iou"], rows[0]["box_area"], rows[0]["kind"]) == ("1.0", "1728.0", "right")
    # Right as the second guess; a class that is not stored at all.
    assert (rows[1]["rank"], rows[1]["first_right"], rows[1]["top1_kind"]) == (
        "2", "2", "wrong_class",
    )  # fmt: skip
    assert [rows[2][name] for name in ("rank", "first_right", "right", "iou", "kind")] == [""] * 5
    # The whole picture for its right quarter.
    assert (rows[3]["right"], rows[3]["iou"], rows[3]["kind"]) == ("0", "0.25", "too_large")
    metrics = json.loads(ran.out)["metrics"]
    wrong = np.mean([not row["first_right"] == "1" for row in rows])
    assert metrics["top1_localization_error"]["value"] == 100 * wrong


def test_json_lines_have_the_same_values_and_null_for_none(given, tmp_path):
    run_here("eval", *given, "--per-image", tmp_path / "t.csv")
    ran = run_here("eval", *given, "--per-image", tmp_path / "t.jsonl", "--protocol", "ts-cam")
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert (rows[0]["right"], rows[2]["right"], rows[2]["iou"]) == (True, None, None)
    with (tmp_path / "t.csv").open() as file:
        for row, text in zip(rows, csv.DictReader(file), strict=True):
            assert text["rank"] == ("" if row["rank"] is None else str(row["rank"]))


def test_map_protocols_say_what_is_right_at_the_fixed_threshold(given, tmp_path):
    maps = tmp_path / "maps.npz"
    hill = np.zeros((224, 224), np.float32)
    hill[:, 100:] = 1
    np.savez(maps, **dict.fromkeys("abcd", hill))
    path = tmp_path / "table.jsonl"
    ran = run_here(
        "eval", "--predictions", maps, *given[2:], "--protocol", "maxboxacc", "--per-image", path
    )
    assert ran.code == 0, ran.err
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    # A good half of the picture against the whole one, then against its right quarter.
    assert [row["right_50"] for row in rows] == [True, True, True, False]
    assert [row["right_70"] for row in rows] == [False] * 4
    assert "right" not in rows[0]
    assert "iou" not in rows[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--per-image", "table.xlsx"], "the table is written as .csv or .jsonl"),
        (["--per-image", "missing/table.csv"], "no such folder as missing"),
        (["--per-image", "table.csv", "--baselines-only"], "baselines alone have no table"),
    ],
)
def test_mistakes(given, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run_here("eval", *given, *arguments)
    assert ran.code in (2, 6)
    assert message in ran.err
