from __future__ import annotations

from camtool.settings import SettingRow, describe, schema
from tests.settings.sample_settings import Experiment, Strict


def test_every_setting_has_a_row():
    rows = {(row.key, row.when): row for row in describe(Experiment)}
    assert rows["run.seed", ""] == SettingRow("run.seed", "integer", "0", "")
    assert rows["localize.boxes.name", ""] == SettingRow(
        "localize.boxes.name", "paper | all", "paper", "How boxes come from a map."
    )
    assert rows["localize.boxes.threshold", "localize.boxes.name=paper"] == SettingRow(
        "localize.boxes.threshold",
        "number, at least 0, less than 1",
        "0.2",
        "Share of the maximum.",
        "localize.boxes.name=paper",
    )
    assert rows["localize.more[].smallest", "localize.more[].name=all"].default == "1"


def test_defaults_are_those_of_the_default_objects():
    rows = {(row.key, row.when): row.default for row in describe(Experiment)}
    assert rows["localize.mode", ""] == "crop"
    assert rows["localize.tuned.threshold", "localize.tuned.name=paper"] == "0.7"
    assert rows["localize.second.name", ""] == "null"
    assert rows["localize.resolution_wh", ""] == "[224, 224]"


def test_types_are_in_words():
    rows = {row.key: row.type for row in describe(Experiment)}
    assert rows["localize.resolution_wh"] == "[integer, integer]"
    assert rows["localize.grid"] == "list of [integer, integer], at most 3 long"
    assert rows["localize.mode"] == "squeeze | crop"
    assert rows["localize.labels"] == "path | null"
    assert rows["localize.overlays"] == "true or false"
    assert rows["localize.top"] == "integer | labels"
    assert rows["run.weights"] == "mapping of number"


def test_a_required_setting_has_no_default():
    assert describe(Strict)[0] == SettingRow("needed", "integer", None, "Must be given.")


def test_the_schema_is_json_schema():
    found = schema(Strict)
    assert found["required"] == ["needed"]
    assert found["properties"]["needed"]["type"] == "integer"
    assert found["additionalProperties"] is False
