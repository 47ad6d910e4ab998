"""The point of a map against the enlarged map, and the pointing game at its borders."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.boxes.point import peak
from camtool.geometry import Box
from camtool.metrics.pair_metrics import points_at
from camtool.structures import ScoreMap


def score_map(values, size, region=None):
    region = region or (0.0, 0.0, float(size[0]), float(size[1]))
    return ScoreMap(np.array(values, np.float32), region, size)


def dense(given):
    at = given.at_image_size(outside=-np.inf)
    y, x = np.unravel_index(int(at.argmax()), at.shape)
    return int(x), int(y)


def random_maps(seed):
    random = np.random.default_rng(seed)
    for _ in range(400):
        height, width = random.integers(1, 9, 2)
        size = tuple(int(s) for s in random.integers(1, 60, 2))
        values = random.normal(size=(height, width))
        style = random.integers(4)
        if style == 1:  # plateaus and ties
            values = random.integers(0, 3, (height, width))
        elif style == 2:  # one value, where only rounding decides
            values = np.full((height, width), random.normal())
        elif style == 3:  # all negative
            values = -np.abs(values)
        x0, y0 = random.uniform(-3, size[0] / 2), random.uniform(-3, size[1] / 2)
        region = (x0, y0, x0 + random.uniform(1, size[0]), y0 + random.uniform(1, size[1]))
        yield score_map(values, size, region if random.random() < 0.5 else None)


@pytest.mark.parametrize("seed", range(5))
def test_the_point_is_the_argmax_of_the_enlarged_map(seed):
    compared = 0
    for given in random_maps(seed):
        found = peak(given)
        if found is None:
            assert np.isneginf(given.at_image_size(outside=-np.inf)).all()
        else:
            assert found == dense(given)
            compared += 1
    assert compared > 300


def test_a_photo_of_many_pixels():
    random = np.random.default_rng(0)
    given = score_map(random.normal(size=(14, 14)), (1700, 1100))
    assert peak(given) == dense(given)


def test_the_first_of_equals_row_by_row():
    assert peak(score_map([[0, 1], [1, 1]], (2, 2))) == (1, 0)
    assert peak(score_map([[2, 2], [2, 2]], (5, 3))) == (0, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_map_that_is_not_finite_points_nowhere(value):
    given = score_map([[0, value], [0, 0]], (4, 4))
    assert peak(given) is None
    assert points_at(given, [Box(0, 0, 4, 4)], None) == (False, False)


def test_a_map_that_covers_no_pixel_points_nowhere():
    assert peak(score_map([[1]], (4, 4), (4.6, 0.0, 5.0, 4.0))) is None


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(50, 50, 51, 51), (True, True)),
        (Box(49, 50, 50, 51), (False, True)),
        (Box(51, 50, 60, 51), (False, True)),
        (Box(68, 50, 80, 51), (False, True)),
        (Box(69, 50, 80, 51), (False, False)),
        (Box(10, 50, 33, 51), (False, True)),
        (Box(10, 50, 32, 51), (False, False)),
        (Box(50, 68, 51, 90), (False, True)),
        (Box(50, 69, 51, 90), (False, False)),
        (Box(68, 68, 90, 90), (False, True)),
        (Box(69, 68, 90, 90), (False, False)),
    ],
)
def test_a_hit_ends_where_the_grown_box_ends(box, expected):
    values = np.zeros((100, 100))
    values[50, 50] = 1  # the centre of this pixel is (50.5, 50.5)
    assert points_at(score_map(values, (100, 100)), [box], (100, 100)) == expected
    assert points_at(score_map(values, (100, 100)), [Box(0, 0, 1, 1), box], None) == expected


def test_the_tolerance_is_in_pixels_of_the_annotated_image():
    values = np.zeros((100, 100))
    values[50, 50] = 1
    given = score_map(values, (100, 100))
    # The same picture, annotated at twice the width and half the height: the point is (101, 25.25).
    assert points_at(given, [Box(101, 25, 102, 26)], (200, 50)) == (True, True)
    assert points_at(given, [Box(119, 25, 130, 26)], (200, 50)) == (False, True)
    assert points_at(given, [Box(120, 25, 130, 26)], (200, 50)) == (False, False)
