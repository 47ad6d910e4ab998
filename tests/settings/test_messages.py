from __future__ import annotations

import pytest

from tests.settings.reading import override_problems, problems
from tests.settings.sample_settings import Strict


def test_all_problems_are_listed_in_the_order_of_lines():
    assert problems(
        "localize:\n  boxes:\n    treshold: 0.3\n    threshold: high\n  mode: cropp\nruns: {}\n"
    ) == [
        "e.yaml:3: localize.boxes.treshold: unknown setting; did you mean 'threshold'?",
        "e.yaml:4: localize.boxes.threshold: expected a number, got the text 'high'",
        "e.yaml:5: localize.mode: expected 'squeeze' or 'crop', got the text 'cropp'; "
        "did you mean 'crop'?",
        "e.yaml:6: runs: unknown setting; did you mean 'run'?",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zzz: 1", "zzz: unknown setting; there are: run, localize"),
        (
            "localize: {boxes: {smallest: 3}}",
            "localize.boxes.smallest: no setting of 'paper'; it belongs to 'all'",
        ),
        (
            "localize: {boxes: {name: papr}}",
            "localize.boxes.name: no boxes called 'papr'; there are: paper, all "
            "(did you mean 'paper'?)",
        ),
        (
            "localize: {boxes: {name: xyz}}",
            "localize.boxes.name: no boxes called 'xyz'; there are: paper, all",
        ),
        (
            "localize: {boxes: {name: 3}}",
            "localize.boxes.name: no boxes called 3; there are: paper, all",
        ),
        (
            "localize: {boxes: {name: }}",
            "localize.boxes.name: no boxes called null; there are: paper, all",
        ),
        (
            "localize: {boxes: papper}",
            "localize.boxes: expected a mapping, got the text 'papper'; did you mean 'paper'?",
        ),
        (
            "localize: {boxes: {threshold: -1}}",
            "localize.boxes.threshold: must be at least 0, got -1",
        ),
        (
            "localize: {boxes: {threshold: 1}}",
            "localize.boxes.threshold: must be less than 1, got 1",
        ),
        (
            "localize: {boxes: {threshold: .nan}}",
            "localize.boxes.threshold: must be a finite number, got NaN",
        ),
        (
            "localize: {boxes: {threshold: 1e999}}",
            "localize.boxes.threshold: must be a finite number, got Infinity",
        ),
        (
            "localize: {boxes: {connectivity: 6}}",
            "localize.boxes.connectivity: expected 4 or 8, got the number 6",
        ),
        (
            "localize: {boxes: {name: all, smallest: 0}}",
            "localize.boxes.smallest: must be greater than 0, got 0",
        ),
        (
            "localize: {boxes: {name: all, smallest: 13}}",
            "localize.boxes.smallest: 13 is not allowed; choose 12",
        ),
        (
            "localize: {overlays: yes}",
            "localize.overlays: expected true or false, got the text 'yes'; write true or false",
        ),
        (
            "localize: {overlays: True}",
            "localize.overlays: expected true or false, got the text 'True'; write true or false",
        ),
        ("localize: {overlays: 1}", "localize.overlays: expected true or false, got the number 1"),
        ("localize: {resolution_wh: [1]}", "localize.resolution_wh: expected 2 items, got 1"),
        ("localize: {resolution_wh: []}", "localize.resolution_wh: expected 2 items, got 0"),
        ("localize: {resolution_wh: [1, 2, 3]}", "localize.resolution_wh: expected 2 items, got 3"),
        (
            "localize: {resolution_wh: 224}",
            "localize.resolution_wh: expected a list, got the number 224",
        ),
        (
            "localize: {resolution_wh: [1.0, 2]}",
            "localize.resolution_wh[0]: expected an integer, got the number 1.0",
        ),
        (
            "localize: {grid: [[1, 2], [1, 2], [1, 2], [1, 2]]}",
            "localize.grid: must have at most 3 items, got 4",
        ),
        (
            "localize: {top: label}",
            "localize.top: expected an integer or 'labels', got the text 'label'; "
            "did you mean 'labels'?",
        ),
        (
            "localize: {labels: 3}",
            "localize.labels: expected text, got the number 3; put it in quotes",
        ),
        ("localize: {labels: true}", "localize.labels: expected text, got true; put it in quotes"),
        (
            "localize: {more: [{name: all}, {name: all, smallest: a}]}",
            "localize.more[1].smallest: expected an integer, got the text 'a'",
        ),
        (
            "localize:",
            "localize: expected a mapping, got nothing (null); remove the key to keep the defaults",
        ),
        ("run: [1]", "run: expected a mapping, got a list"),
        (
            "run: {seed: 010}",
            "run.seed: expected an integer, got the text '010'; "
            "write a plain number such as 10, 0.5 or 1e-3",
        ),
        (
            "run: {seed: 1:30}",
            "run.seed: expected an integer, got the text '1:30'; "
            "write a plain number such as 10, 0.5 or 1e-3",
        ),
        ("run: {seed: '3'}", "run.seed: expected an integer, got the text '3'; remove the quotes"),
        ("run: {seed: 1e3}", "run.seed: expected an integer, got the number 1000.0"),
        ("run: {weights: {a: b}}", "run.weights.a: expected a number, got the text 'b'"),
        (
            "run: {note: " + "x" * 201 + "}",
            f"run.note: must have at most 200 characters, got '{'x' * 39}…{'x' * 39}'",
        ),
        (
            f"run: {{seed: {2**63}}}",
            "run.seed: must be a whole number within ±9,223,372,036,854,775,807 (64 bits)",
        ),
    ],
)
def test_one_problem(text, message):
    assert problems(text) == [f"e.yaml:1: {message}"]


def test_a_missing_setting_points_at_its_section():
    assert problems("run: {seed: 1}", cls=Strict) == [
        "e.yaml: needed: a required setting is missing"
    ]
    assert override_problems("run.seed=1", cls=Strict) == [
        "settings: needed: a required setting is missing"
    ]


def test_lines_within_flow_mappings_and_nested_lists():
    text = (
        "localize: {boxes: {name: paper,\n"
        "   threshold: 2},\n"
        "  grid: [[1, 2],\n"
        "    [3,\n"
        "     x]]}\n"
        "run:\n"
        "  seed:\n"
        "    low\n"
    )
    assert [line.split(": ")[:2] for line in problems(text)] == [
        ["e.yaml:2", "localize.boxes.threshold"],
        ["e.yaml:5", "localize.grid[1][1]"],
        ["e.yaml:8", "run.seed"],
    ]


def test_a_key_called_like_a_part_is_still_a_key():
    assert problems("localize: {boxes: {name: paper, paper: 1, threshold: -1}}") == [
        "e.yaml:1: localize.boxes.threshold: must be at least 0, got -1",
        "e.yaml:1: localize.boxes.paper: unknown setting; there are: name, threshold, connectivity",
    ]


def test_the_list_of_problems_is_bounded():
    lines = problems("".join(f"key{i}: 1\n" for i in range(5000)))
    assert len(lines) == 51
    assert lines[-1] == "problems not shown: 4,950"
