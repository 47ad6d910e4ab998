from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool.structures import AnnotatedObject, Annotation, Box, Prediction, ScoreMap

WHOLE_NUMBERS = st.integers(-5000, 5000)


@pytest.mark.parametrize(
    "corners",
    [
        (5, 0, 5, 9), (6, 0, 5, 9), (0, 9, 5, 9), (0, 9, 5, 1),
        (float("nan"), 0, 1, 1), (0, float("nan"), 1, 1), (0, 0, float("nan"), 1),
        (0, 0, 1, float("nan")), (0, 0, float("inf"), 1), (-float("inf"), 0, 1, 1),
        (float("inf"), 0, float("inf"), 1),
    ],
)  # fmt: skip
def test_what_is_no_box(corners):
    with pytest.raises(ValueError, match=r"^not a box: x0="):
        Box(*corners)


def test_the_message_of_a_wrong_box_names_all_corners():
    with pytest.raises(ValueError, match=r"^not a box: x0=40, y0=2, x1=12, y1=5$"):
        Box(40, 2, 12, 5)


def test_constructors_by_hand():
    """The same 4×3 pixels in every convention."""
    box = Box(10, 20, 14, 23)
    assert Box.from_inclusive(10, 20, 13, 22) == box
    assert Box.from_one_based(11, 21, 14, 23) == box
    assert Box.from_xywh(10, 20, 4, 3) == box
    assert box.to_inclusive() == (10, 20, 13, 22)
    assert box.xyxy == (10, 20, 14, 23)
    assert box.area == 12


def test_a_box_of_one_pixel():
    assert Box.from_inclusive(7, 8, 7, 8) == Box(7, 8, 8, 9)
    assert Box.from_one_based(1, 1, 1, 1) == Box(0, 0, 1, 1)
    with pytest.raises(ValueError, match="not a box"):
        Box.from_xywh(7, 8, 0, 1)


@given(WHOLE_NUMBERS, WHOLE_NUMBERS, st.integers(0, 5000), st.integers(0, 5000))
def test_round_trips(x, y, width, height):
    inclusive = (x, y, x + width, y + height)
    box = Box.from_inclusive(*inclusive)
    assert box.to_inclusive() == inclusive
    assert Box(*box.xyxy) == box
    assert Box.from_one_based(x + 1, y + 1, x + width + 1, y + height + 1) == box
    assert Box.from_xywh(x, y, width + 1, height + 1) == box
    assert box.area == (width + 1) * (height + 1)


def test_records_are_frozen():
    for record in (Box(0, 0, 1, 1), Prediction("a", "a.jpg", (1, 1)), Annotation("a", None, ())):
        field = dataclasses.fields(record)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, field, 1)


def test_annotation_groups_boxes_by_label():
    first, second, third = Box(0, 0, 1, 1), Box(1, 1, 2, 2), Box(2, 2, 3, 3)
    annotation = Annotation(
        "a",
        (9, 9),
        (
            AnnotatedObject("dog", first),
            AnnotatedObject("cat", second),
            AnnotatedObject("dog", third),
            AnnotatedObject("dog", None),
            AnnotatedObject(3, None),
        ),
    )
    assert annotation.labels == ("dog", "cat", 3)
    assert annotation.boxes("dog") == (first, third)
    assert annotation.boxes("cat") == (second,)
    assert annotation.boxes(3) == annotation.boxes("bird") == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", None, ()), "^an annotation needs an image id$"),
        (("a", (0, 5), ()), r"^not an image size: \(0, 5\)$"),
        (("a", (5, -1), ()), r"^not an image size: \(5, -1\)$"),
    ],
)
def test_what_is_no_annotation(arguments, message):
    with pytest.raises(ValueError, match=message):
        Annotation(*arguments)


GRID = np.zeros((2, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((GRID.astype(np.float64), (0, 0, 1, 1), (1, 1)), r"^not a map: float64 of shape \(2, 3\)"),
        ((GRID[None], (0, 0, 1, 1), (1, 1)), r"^not a map: float32 of shape \(1, 2, 3\)"),
        ((GRID[:0], (0, 0, 1, 1), (1, 1)), r"^not a map: float32 of shape \(0, 3\)"),
        ((GRID, (1, 0, 1, 1), (1, 1)), r"^not a region: \(1, 0, 1, 1\)"),
        ((GRID, (0, 2, 1, 1), (1, 1)), "^not a region"),
        ((GRID, (0, 0, float("nan"), 1), (1, 1)), "^not a region"),
        ((GRID, (0, 0, 1, 1), (0, 1)), r"^not an image size: \(0, 1\)"),
    ],
)
def test_what_is_no_score_map(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScoreMap(*arguments)


def test_score_map_at_image_size():
    score_map = ScoreMap(np.array([[0, 4]], np.float32), (1, 0, 5, 1), (6, 1))
    np.testing.assert_array_equal(score_map.at_image_size(), [[0, 0, 1, 3, 4, 0]])
    np.testing.assert_array_equal(score_map.at_image_size(-1.0), [[-1, 0, 1, 3, 4, -1]])
