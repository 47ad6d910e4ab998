"""`threshold.json`: what was written comes back, and what was edited badly is refused by place."""

from __future__ import annotations

import json

import pytest

from camtool.errors import RunError
from camtool.runs.threshold import ChosenOn, StoredThreshold, read_threshold, write_threshold

CHOSEN = ChosenOn("boxes.csv", "runs/a", "ilsvrc", "GT-known localization", 62.5, 0.5, ("a", "b"))


def test_what_was_written_comes_back(tmp_path):
    assert read_threshold(tmp_path) is None
    for threshold in (
        StoredThreshold(0.3, CHOSEN, {"name": "paper", "min_area": 0.01}, {"n1": 0.5}, 10),
        StoredThreshold(0.25, CHOSEN, at_iou={30: 0.2, 50: 0.25, 70: 0.4}),
    ):
        path = write_threshold(tmp_path, threshold)
        assert read_threshold(tmp_path) == read_threshold(path) == threshold


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"value": True}, "value: Input should be a valid number"),
        ({"value": 1}, "a threshold is not in [0, 1)"),
        ({"at_iou": {"50": float("nan")}}, "a threshold is not in [0, 1)"),
        ({"at_iou": {"half": 0.5}}, "at_iou.half.[key]: Input should be a valid integer"),
        ({"classes": []}, "classes: Input should be an object"),
        ({"boxes": []}, "boxes: Input should be an object"),
        ({"schema_version": 2}, "schema version 2, not 1"),
        ({"chosen_on": {}}, "chosen_on.annotations: Field required"),
        ({"accuracy": "good"}, "chosen_on.accuracy: Input should be a valid number"),
        ({"accuracy": float("inf")}, "chosen_on.accuracy is no number"),
        ({"image_ids": "ab"}, "chosen_on.image_ids: Input should be a valid array"),
    ],
)
def test_edited_badly(tmp_path, edit, reason):
    path = write_threshold(tmp_path, StoredThreshold(0.3, CHOSEN))
    record = json.loads(path.read_text())
    for key, value in edit.items():
        (record if key in record else record["chosen_on"])[key] = value
    path.write_text(json.dumps(record))
    with pytest.raises(RunError) as raised:
        read_threshold(tmp_path)
    assert reason in str(raised.value)
    assert str(raised.value).startswith(f"{path}: not a readable threshold (")


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "[" * 100_000, "\x00"])
def test_no_object(tmp_path, text):
    (tmp_path / "threshold.json").write_text(text)
    with pytest.raises(RunError, match="not a readable threshold"):
        read_threshold(tmp_path)


def test_a_folder_of_its_name(tmp_path):
    (tmp_path / "threshold.json").mkdir()
    with pytest.raises(RunError, match="not a readable threshold"):
        read_threshold(tmp_path)
