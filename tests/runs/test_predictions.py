from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool.errors import DataError, RunError
from camtool.runs import read_manifest, read_predictions
from camtool.runs.predictions import from_json, to_json, to_line
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox

# Any text, line breaks and lone surrogates (names that are not UTF-8) among it.
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=()), st.sampled_from('\n\r\u2028"\\\udce9')),
    min_size=1,
)
COORDINATES = st.one_of(st.integers(0, 10**6), st.floats(0, 10**6))
# As many digits as a record keeps.
SCORES = st.integers(0, 10**5).map(lambda n: n / 10**5)
GUESSES = st.none() | st.integers(0, 9)


@st.composite
def boxes(draw) -> ScoredBox:
    x, y = (
        sorted(draw(st.tuples(COORDINATES, COORDINATES))),
        sorted(draw(st.tuples(COORDINATES, COORDINATES))),
    )
    return ScoredBox(Box(x[0], y[0], x[1] + 1, y[1] + 1), draw(SCORES), draw(GUESSES))


CLASSES = st.builds(
    ClassPrediction,
    name=TEXT,
    score=st.none() | SCORES,
    boxes=st.lists(boxes(), max_size=3).map(tuple),
    rank=st.integers(1, 1000),
    index=st.none() | st.integers(0, 999),
    title=st.none() | st.text(),
    target=st.booleans(),
    map=st.none() | st.integers(0, 10**6),
)
SIZES = st.none() | st.tuples(st.integers(1, 10**5), st.integers(1, 10**5))
PREDICTIONS = st.one_of(
    st.builds(
        Prediction,
        image_id=TEXT,
        path=TEXT,
        size=SIZES,
        classes=st.lists(CLASSES, max_size=4).map(tuple),
        maps=st.none() | st.just("maps/00000.npz"),
    ),
    st.builds(Prediction, image_id=TEXT, path=TEXT, size=SIZES, error=st.text()),
)


@given(PREDICTIONS)
def test_round_trip(prediction):
    line = to_line(to_json(prediction))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) >= 1  # valid UTF-8, whatever the names
    assert from_json(json.loads(line)) == prediction


def test_the_form_of_a_record():
    prediction = Prediction(
        "sub/ünï",
        "images/sub/ünï.jpg",
        (640, 480),
        (
            ClassPrediction(
                "n02119789", 0.987654321, (ScoredBox(Box(1, 2.5, 30.0, 40), 1.0),), 1, 278,
                "kit fox", map=0,
            ),
            ClassPrediction("n02119022", 1e-9, (), 7, 277, "red fox", target=True, map=1),
        ),
        maps="maps/00000.npz",
    )  # fmt: skip
    assert to_line(to_json(prediction)).decode() == (
        '{"image_id": "sub/ünï", "path": "images/sub/ünï.jpg", "width": 640, "height": 480,'
        ' "classes": [{"index": 278, "name": "n02119789", "title": "kit fox", "score": 0.987654,'
        ' "rank": 1, "boxes": [{"x0": 1, "y0": 2.5, "x1": 30, "y1": 40, "score": 1}], "map": 0},'
        ' {"index": 277, "name": "n02119022", "title": "red fox", "score": 1e-09, "rank": 7,'
        ' "target": true, "boxes": [], "map": 1}], "maps": "maps/00000.npz"}\n'
    )


def test_the_form_of_an_error():
    prediction = Prediction("a", "a.jpg", None, error="empty file (0 bytes)")
    assert to_line(to_json(prediction)) == (
        b'{"image_id": "a", "path": "a.jpg", "error": "empty file (0 bytes)"}\n'
    )


def test_names_that_are_not_utf8_are_escaped():
    line = to_line({"image_id": "\udce9t\udce9"})
    assert line == b'{"image_id": "\\udce9t\\udce9"}\n'


def test_numbers_that_are_none_are_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line({"score": math.nan})


def test_what_other_programs_may_leave_out():
    """Rank, score of a box and path are optional; ranks follow the order."""
    box = {"x0": 0, "y0": 0, "x1": 2, "y1": 2}
    record = {"image_id": "a", "classes": [{"name": "x", "boxes": [box]}, {"name": 5, "boxes": []}]}
    assert from_json(record) == Prediction(
        "a",
        "a",
        None,
        (
            ClassPrediction("x", None, (ScoredBox(Box(0, 0, 2, 2), 1.0),), 1),
            ClassPrediction("5", None, (), 2),
        ),
    )


ONE = '{"image_id": "a", "classes": [{"name": "x", "boxes": [%s]}]}'
WRONG = {
    "{": "not a prediction record (Expecting property name",
    "[1]": "not a prediction record (",
    "1": "not a prediction record (",
    "null": "not a prediction record (",
    '{"classes": []}': "the record has no 'image_id'",
    '{"image_id": "a"}': "the record has no 'classes'",
    '{"image_id": 5, "classes": []}': "not a prediction record (image_id and error must be texts)",
    '{"image_id": "", "classes": []}': "not a prediction record (image_id must not be empty",
    '{"image_id": "a", "error": 1}': "not a prediction record (image_id and error must be texts)",
    '{"image_id": "a", "width": 5, "classes": []}': "the record has no 'height'",
    '{"image_id": "a", "width": 0, "height": 5, "classes": []}':
        "not a prediction record (width and height are 0 and 5)",
    '{"image_id": "a", "width": Infinity, "height": 5, "classes": []}': "not a prediction record (",
    '{"image_id": "a", "width": 1e300, "height": 5, "classes": []}':
        "not a prediction record (width",
    '{"image_id": "a", "classes": [{"name": "x", "rank": 1e300, "boxes": []}]}':
        "not a prediction record (rank must be a whole number",
    '{"image_id": "a", "classes": [{"name": "x", "rank": 4294967296, "boxes": []}]}':
        "not a prediction record (rank is 4.29e+09, more than there can be)",
    '{"image_id": "a", "classes": [{"name": "x", "rank": 0, "boxes": []}]}':
        "not a prediction record (a class has rank 0",
    '{"image_id": "a", "classes": 5}': "not a prediction record (",
    '{"image_id": "a", "classes": [], "maps": 5}': "not a prediction record (image_id must not be",
    ONE % '{"x0": 0, "y0": 0, "x1": 1}': "the record has no 'y1'",
    ONE % '{"x0": 9, "y0": 0, "x1": 1, "y1": 1}': "not a prediction record (not a box: x0=9.0, y0=",
    ONE % '{"x0": 0, "y0": 0, "x1": NaN, "y1": 1}': "not a prediction record (not a box",
    ONE % ('{"x0": 0, "y0": 0, "x1": 1%s, "y1": 1}' % ("0" * 400)): "not a prediction record (",
    ONE % '{"x0": "z", "y0": 0, "x1": 1, "y1": 1}': "not a prediction record (could not convert",
    ONE % '{"x0": 0, "y0": 0, "x1": 1, "y1": 1, "score": NaN}':
        "not a prediction record (a score is nan)",
    '{"image_id": "a", "classes": [{"name": "x", "score": "1", "boxes": []}]}':
        "not a prediction record (a score is '1')",
    '{"image_id": "a", "classes": [{"name": "x", "boxes": [], "map": "0"}]}':
        "not a prediction record (map must be a whole number, it is '0')",
    '{"image_id": "a", "classes": [{"name": "x", "boxes": [], "index": 1.5}]}':
        "not a prediction record (index must be a whole number, it is 1.5)",
    '{"image_id": "a", "classes": [{"name": "x", "boxes": [], "index": true}]}':
        "not a prediction record (index must be a whole number, it is True)",
    "[" * 100_000: "not a prediction record (maximum recursion depth",
    '{"image_id": "a", "classes": %s}' % ("9" * 5000): "not a prediction record (",
    '{"image_id": "\\n%s", "classes": 5}' % ("x" * 100_000): "not a prediction record (",
}  # fmt: skip


@pytest.mark.parametrize("line", [pytest.param(w, id=str(i)) for i, w in enumerate(WRONG)])
def test_wrong_lines_are_named(line, tmp_path):
    path = tmp_path / "predictions.jsonl"
    good = '{"image_id": "good", "classes": []}'
    path.write_text(f"{good}\n\n{line}\n")
    predictions = read_predictions(path)
    assert next(predictions).image_id == "good"
    with pytest.raises(DataError) as raised:
        next(predictions)
    assert f"predictions.jsonl:3: {WRONG[line]}" in str(raised.value)
    assert len(str(raised.value)) < 700


def test_bytes_that_are_not_utf8(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"image_id": "\xff", "classes": []}\n')
    with pytest.raises(DataError, match=r"p\.jsonl:1: not a prediction record \('utf-8'"):
        list(read_predictions(path))


def test_predictions_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(No such file or directory\)$"):
        list(read_predictions(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match=r"predictions\.jsonl: cannot be read"):
        list(read_predictions(tmp_path))


def test_an_unfinished_run(tmp_path):
    (tmp_path / "parts").mkdir()
    with pytest.raises(RunError) as raised:
        list(read_predictions(tmp_path))
    assert str(raised.value) == f"{tmp_path}: an unfinished run; start it again to go on"
    with pytest.raises(RunError) as raised:
        read_manifest(tmp_path)
    assert str(raised.value) == f"{tmp_path}: an unfinished run; start it again to go on"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, ": not a run folder"),
        ("{", "/manifest.json: cannot be read (Expecting property name"),
        ("[]", "/manifest.json: damaged: its root: "),
        ("\udcff", "/manifest.json: cannot be read ('utf-8' codec"),
    ],
)
def test_manifests_that_cannot_be_read(content, message, tmp_path):
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunError) as raised:
        read_manifest(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path}{message}")


def test_a_manifest(tmp_path):
    (tmp_path / "manifest.json").write_text('{"schema_version": 1}')
    assert read_manifest(tmp_path) == {"schema_version": 1}


def test_a_box_says_which_guess_it_is_only_where_it_is_one():
    box = Box(1, 2, 3, 4)
    found = ClassPrediction("a", None, (ScoredBox(box, 1.0, 3), ScoredBox(box, 0.5)), 1)
    record = to_json(Prediction("a", "a.jpg", None, (found,)))
    entered, other = record["classes"][0]["boxes"]
    assert entered == {"x0": 1, "y0": 2, "x1": 3, "y1": 4, "score": 1, "guess": 3}
    assert "guess" not in other
    entered["guess"] = -1
    with pytest.raises(ValueError, match="a box is guess -1; the first is 1, and 0 is none"):
        from_json(record)
