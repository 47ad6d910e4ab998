from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool import errors
from camtool.errors import AnnotationError, CamtoolError, DataError, ImageReadError, shorten


def test_the_drawing_of_the_tree_is_the_tree():
    """Name, exit code and parent of every error stand in the docstring as they are."""
    drawn: dict[str, tuple[str, int]] = {}
    above: list[str] = []
    code = 1
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│├└─ ]*)(\w+Error)\b(?: +exit (\d))?", line)
        if match:
            depth = len(match[1]) // 3
            code = int(match[3]) if match[3] else code
            above[depth:] = [match[2]]
            drawn[match[2]] = (above[depth - 1] if depth else "", code)
    assert set(drawn) == {n for n in vars(errors) if re.fullmatch("[A-Z]\\w*Error", n)}
    for name, (parent, code) in drawn.items():
        kind = getattr(errors, name)
        assert kind.exit_code == code
        assert issubclass(kind, getattr(errors, parent) if parent else Exception)


@pytest.mark.parametrize("kind", [ImageReadError, AnnotationError])
def test_placed_errors_keep_place_and_reason(kind):
    error = kind("images/a.jpg", "empty file (0 bytes)")
    assert str(error) == "images/a.jpg: empty file (0 bytes)"
    assert (error.place, error.reason) == ("images/a.jpg", "empty file (0 bytes)")
    assert isinstance(error, DataError)
    assert isinstance(error, CamtoolError)
    assert error.exit_code == 3


def test_a_place_stays_on_one_line():
    assert str(ImageReadError("new\nline.JPEG", "no")) == "new\\nline.JPEG: no"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("short", "short"),
        ("ünï-日本-🐶", "ünï-日本-🐶"),
        ("a\tb\x00c\x1b[31m", "a\\tb\\x00c\\x1b[31m"),
        ("not UTF-8: \udce9", "not UTF-8: \\udce9"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 39 + "…" + "x" * 39),
    ],
)
def test_shorten(text, expected):
    assert shorten(text) == expected


@given(st.text(max_size=400), st.integers(5, 60))
def test_shortened_text_is_printable_and_short(text, limit):
    result = shorten(text, limit)
    assert len(result) <= limit
    assert result.isprintable()


def test_shorten_keeps_both_ends_of_long_text():
    result = shorten("start" + "-" * 10_000_000 + "end")
    assert result.startswith("start")
    assert result.endswith("end")
    assert len(result) == 79
