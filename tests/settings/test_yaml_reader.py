from __future__ import annotations

import math

import pytest

from camtool.errors import SettingsError
from camtool.settings.yaml_text import YamlReader, plain_scalar


def read(text: str):
    return YamlReader(text, "f.yaml").read()


def message(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E+3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("false", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
    ],
)
def test_plain_scalars_that_are_something(text, value):
    found = plain_scalar(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *["yes", "no", "on", "off", "y", "True", "TRUE", "False", "nil"],
        *["010", "007.5", "1:30", "1_000", "0b11", "0X1F", "1e", "e5", ".", "-x", "1.2.3", "١"],
        *["2024-01-01", "2024-01-01 10:00:00", "inf", "nan", "9" * 301],
    ],
)
def test_plain_scalars_that_are_text(text):
    assert plain_scalar(text) == text
    assert read(f"a: {text}") == {"a": text}


def test_nan():
    assert math.isnan(plain_scalar(".nan"))


def test_quotes_make_text():
    assert read("a: '1'\nb: \"true\"\nc: |\n  2\nd: >-\n  null\n") == {
        "a": "1",
        "b": "true",
        "c": "2\n",
        "d": "null",
    }


def test_places():
    reader = YamlReader("a:\n  - 1\n  - {b: 2,\n     c:\n       3}\n", "f.yaml")
    assert reader.read() == {"a": [1, {"b": 2, "c": 3}]}
    assert {path: place.line for path, place in reader.keys.items()} == {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 1): 3,
        ("a", 1, "b"): 3,
        ("a", 1, "c"): 4,
    }
    assert {path: place.line for path, place in reader.values.items()} == {
        ("a", 0): 2,
        ("a", 1, "b"): 3,
        ("a", 1, "c"): 5,
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: {x: 1,\n  x: 2}", "f.yaml:2: a.x: given twice, first on line 1; keep one of them"),
        ("a: 1\n'a': 1", "f.yaml:2: a: given twice, first on line 1; keep one of them"),
        ("a: 1\nb: *q", "f.yaml:2: b: aliases (*q) are not read; write it out"),
        ("a: &q 1", "f.yaml:1: a: anchors (&name) are not read; write the settings out"),
        ("a: &q [1]", "f.yaml:1: a: anchors (&name) are not read; write the settings out"),
        ("<<: {a: 1}", "f.yaml:1: merge keys ('<<') are not read; write the settings out"),
        (
            "a: !!python/object/apply:os.system [ls]",
            "f.yaml:1: a: tags (tag:yaml.org,2002:python/object/apply:os.system) are not read; "
            "remove it",
        ),
        ("a: !x 1", "f.yaml:1: a: tags (!x) are not read; remove it"),
        ("a: !!str 1", "f.yaml:1: a: tags (tag:yaml.org,2002:str) are not read; remove it"),
        ("a: 1\n1: 2", "f.yaml:2: the key '1' is not text; put it in quotes"),
        ("true: 2", "f.yaml:1: the key 'true' is not text; put it in quotes"),
        ("? [a]\n: 3", "f.yaml:1: a key must be text, not a list, mapping or alias"),
        ("a: 1\n---\nb: 2", "f.yaml:2: a second document ('---'); keep only one"),
        ("a: 1\n\tb: 2", "f.yaml:2:1: a tab where YAML wants spaces; indent with spaces"),
        ("a: [1, 2", "f.yaml:1:9: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (
            "a:\r\n- 1\r\nb: [",
            "f.yaml:3:5: not valid YAML: expected the node content, but found '<stream end>'",
        ),
        (
            "a: b: c",
            "f.yaml:1:5: not valid YAML: mapping values are not allowed here; "
            "put text that holds ': ' in quotes, and check the indentation",
        ),
        ("a: \x07", "f.yaml:1:4: the character U+0007 cannot stand in YAML; remove it"),
        ('a: "\\U00110000"', "f.yaml: an escape or a version out of range"),
        ('a: "\\ud800"', "f.yaml:1: a: text with a NUL or half a surrogate pair; remove it"),
        ('a: "\\0"', "f.yaml:1: a: text with a NUL or half a surrogate pair; remove it"),
        ("[" * 100_000, "f.yaml:1: [0][0][0]: more than 50 levels of nesting"),
        ("a: " + "- " * 20, "f.yaml:1:4: not valid YAML: sequence entries are not allowed here"),
        ("- " * 100_000, "f.yaml:1: [0][0][0]: more than 50 levels of nesting"),
    ],
)
def test_what_is_refused(text, expected):
    assert message(text) == expected


def test_all_problems_of_structure_are_listed():
    assert message("a: 1\na: 2\nb: *x\n2: 3\n").split("\n") == [
        "f.yaml:2: a: given twice, first on line 1; keep one of them",
        "f.yaml:3: b: aliases (*x) are not read; write it out",
        "f.yaml:4: the key '2' is not text; put it in quotes",
    ]


def test_an_alias_bomb_stops_early():
    bomb = "a: &a [x]\n" + "".join(f"k{i}: [*a, *a, *a, *a]\n" for i in range(10_000))
    assert len(message(bomb).split("\n")) <= 51


def test_fifty_levels_are_allowed():
    data = read("[" * 50 + "]" * 50)
    for _ in range(49):
        (data,) = data
    assert data == []
