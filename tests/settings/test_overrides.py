from __future__ import annotations

from pathlib import Path

import pytest

from camtool.errors import SettingsError
from camtool.settings import load_settings
from tests.settings.reading import override_problems, problems, write
from tests.settings.sample_settings import AllBoxes, Experiment, Localize, PaperBoxes


def test_defaults_then_file_then_overrides_in_order():
    loaded = load_settings(
        Experiment,
        write("run: {seed: 1, note: file}"),
        ["run.seed=2", "run.seed=3", "localize.boxes.threshold=1e-1"],
    )
    assert (loaded.run.seed, loaded.run.note) == (3, "file")
    assert loaded.localize.boxes == PaperBoxes(threshold=0.1)
    assert loaded.localize.mode == "crop"


def test_values_are_yaml():
    loaded = load_settings(
        Localize,
        None,
        [
            "boxes={name: all, smallest: 7}",
            "resolution_wh=[3, 4]",
            "labels= 'a=b'",
            "second.name=all",
        ],
    )
    assert loaded.boxes == AllBoxes(smallest=7)
    assert loaded.resolution_wh == (3, 4)
    assert loaded.labels == Path("a=b")
    assert loaded.second == AllBoxes()


def test_null_in_the_file_gives_way_to_a_section():
    loaded = load_settings(Localize, write("second: null"), ["second.name=all"])
    assert loaded.second == AllBoxes()


@pytest.mark.parametrize(
    "overrides",
    [
        ["localize.boxes.name=all", "localize.boxes.smallest=7"],
        ["localize.boxes.smallest=7", "localize.boxes.name=all"],
    ],
)
def test_another_name_drops_the_settings_of_the_former_part(overrides):
    """Those of the file, not those that are given beside it."""
    file = write("localize: {boxes: {name: paper, threshold: 0.4, connectivity: 4}}")
    assert load_settings(Experiment, file, overrides).localize.boxes == AllBoxes(smallest=7)
    same = load_settings(Experiment, file, ["localize.boxes.name=paper"])
    assert same.localize.boxes == PaperBoxes(threshold=0.4, connectivity=4)
    wrong = override_problems("localize.boxes.threshold=0.1", "localize.boxes.name=all")
    assert "no setting of 'all'; it belongs to 'paper'" in wrong[0]


def test_stored_settings_stand_in_the_place_of_a_file():
    held = {"localize": {"boxes": {"name": "paper", "threshold": 0.4}}}
    stored = ("runs/a/checkpoints/best", held)
    loaded = load_settings(Experiment, None, ["localize.boxes.connectivity=4"], stored=stored)
    assert loaded.localize.boxes == PaperBoxes(threshold=0.4, connectivity=4)
    assert held == {"localize": {"boxes": {"name": "paper", "threshold": 0.4}}}
    held["localize"]["boxes"]["threshold"] = "high"
    with pytest.raises(SettingsError, match=r"^runs/a/checkpoints/best: localize.boxes"):
        load_settings(Experiment, None, [], stored=stored)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "localize.boxes.treshold=0.3",
            ": localize.boxes.treshold: unknown setting; did you mean 'threshold'?",
        ),
        (
            "localize.boxes={name: papr}",
            ": localize.boxes.name: no boxes called 'papr'; there are: paper, all "
            "(did you mean 'paper'?)",
        ),
        ("run.seed=a", ": run.seed: expected an integer, got the text 'a'"),
        ("run.seed", ": no '='; the form is --set section.key=value"),
        (
            "run.seed=",
            ": no value; write run.seed=null for none, run.seed=\"''\" for an empty text",
        ),
        ("run..seed=1", ": a part of the key is empty; the form is --set section.key=value"),
        ("=1", ": a part of the key is empty; the form is --set section.key=value"),
        ("run={seed: 1, seed: 2}", ": run.seed: given twice; keep one of them"),
        ("run={a: {b: !x 1}}", ": run.a.b: tags (!x) are not read; remove it"),
        ("run=[1", ": run: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (
            "run.note=@x",
            ": run.note: not valid YAML: found character '@' that cannot start any token; "
            "put the text in quotes",
        ),
        ("run.note=\udcff", ": run.note: the character U+DCFF cannot stand in YAML; remove it"),
    ],
)
def test_a_wrong_override_is_named(override, message):
    shown = override.replace("\udcff", "\\udcff")
    assert override_problems(override) == [f"--set {shown}{message}"]


def test_a_path_through_a_scalar_or_a_list():
    assert problems(
        "run: {seed: 1}\nlocalize: {grid: []}", "run.seed.x=1", "localize.grid.x=1"
    ) == [
        "--set run.seed.x=1: run.seed.x: run.seed is the number 1, not a section; "
        "set it as a whole",
        "--set localize.grid.x=1: localize.grid.x: localize.grid is a list, not a section; "
        "set it as a whole",
    ]


def test_the_name_of_another_part_leaves_the_old_settings_wrong():
    assert problems("localize:\n  boxes: {threshold: 0.3}", "localize.boxes.name=all") == [
        "e.yaml:2: localize.boxes.threshold: no setting of 'all'; it belongs to 'paper'"
    ]


def test_an_override_of_a_section_takes_its_lines_away():
    assert problems("run:\n  seed: 1\n", "run={seed: x}") == [
        "--set run={seed: x}: run.seed: expected an integer, got the text 'x'"
    ]


def test_a_deep_key_is_refused():
    key = ".".join(["a"] * 51)
    (line,) = override_problems(f"{key}=1")
    assert line.endswith(": a.a.a: more than 50 levels of nesting")
