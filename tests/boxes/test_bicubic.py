"""Rules on a map that bicubic interpolation brought to image size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from camtool.boxes import MultiBoxes, PaperBoxes, PointBoxes
from camtool.boxes import enlarged as module
from camtool.boxes.enlarged import by_pixel
from camtool.structures import ScoreMap
from tests.boxes.test_paper import flood, rules
from tests.kernels.bodies import take
from tests.kernels.test_sweep import GRID, grids, one_by_one, score_maps

SIZE = (90, 60)
BODIES = st.sampled_from(["compiled", "plain"])


def over(values, size=SIZE, region=None):
    return ScoreMap(np.asarray(values, np.float32), region or (0.0, 0.0, *map(float, size)), size)


def noise(seed, shape=(5, 7)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("threshold", [0.1, 0.2, 0.6])
@pytest.mark.parametrize("seed", range(4))
def test_the_box_is_that_of_opencvs_bicubic_map(threshold, seed):
    pixels = cv2.resize(noise(seed), SIZE, interpolation=cv2.INTER_CUBIC)
    parts = flood(pixels > threshold * pixels.max())
    ys, xs = np.array(max(parts, key=len)).T
    expected = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
    rule = PaperBoxes(threshold=threshold, interpolation="bicubic")
    (found,) = rule.boxes(over(noise(seed)))
    assert found.box.xyxy == expected
    strongest = max(parts, key=lambda part: max(pixels[y, x] for y, x in part))
    ys, xs = np.array(strongest).T
    multi = MultiBoxes(thresholds=(threshold,), interpolation="bicubic", min_area=0)
    first = multi.boxes(over(noise(seed)))[0]
    assert first.box.xyxy == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert first.score == 1


@pytest.mark.parametrize("seed", range(6))
def test_the_point_is_the_maximum_of_opencvs_bicubic_map(seed, monkeypatch):
    pixels = cv2.resize(noise(seed), SIZE, interpolation=cv2.INTER_CUBIC)
    y, x = np.unravel_index(pixels.argmax(), pixels.shape)
    rule = PointBoxes(interpolation="bicubic")
    assert rule.boxes(over(noise(seed)))[0].box.xyxy == (x, y, x + 1, y + 1)
    monkeypatch.setattr(module, "_BY_PIXEL_SIDE", 45)
    (rough,) = rule.boxes(over(noise(seed)))
    assert rough.box.xyxy == pytest.approx((x, y, x + 1, y + 1), abs=2)


def test_it_is_another_box_than_that_of_the_bilinear_map():
    pairs = [
        [PaperBoxes(interpolation=how).boxes(over(noise(seed))) for how in ("bilinear", "bicubic")]
        for seed in range(8)
    ]
    assert any(a != b for a, b in pairs)


@settings(max_examples=150, deadline=None)
@given(st.one_of(rules(), st.just(MultiBoxes())), score_maps(), grids(), BODIES)
def test_boxes_of_all_thresholds_equal_those_of_each(rule, score_map, shares, body):
    rule = rule.model_copy(update={"interpolation": "bicubic"})
    with pytest.MonkeyPatch.context() as patch:
        take(patch, body, "camtool.boxes.paper")
        found = rule.boxes_at(score_map, np.asarray(shares, np.float64))
    np.testing.assert_array_equal(found, one_by_one(rule, score_map, shares))


@settings(max_examples=150, deadline=None)
@given(rules(), score_maps())
def test_a_cell_a_pixel_needs_no_interpolation(rule, score_map):
    """So that nothing is lost on the way: of a map of pixels both give the same boxes."""
    # Values at the edge of what a float32 can hold are flushed to 0 on the way.
    assume(not (0 < score_map.values.max() < 1e-30))
    height, width = score_map.values.shape
    one_to_one = ScoreMap(score_map.values, (0, 0, width, height), (width, height))
    found = rule.model_copy(update={"interpolation": "bicubic"}).boxes(one_to_one)
    assert [b.box for b in found] == [b.box for b in rule.boxes(one_to_one)]


@pytest.mark.parametrize("components", ["largest", "all"])
def test_a_large_picture_is_worked_on_smaller(components, monkeypatch):
    rule = PaperBoxes(interpolation="bicubic", components=components)
    score_map = over(noise(3), (900, 600))
    exact = rule.boxes(score_map)
    monkeypatch.setattr(module, "_BY_PIXEL_SIDE", 300)
    assert by_pixel(score_map, "bicubic").size == (300, 200)
    rough = rule.boxes(score_map)
    assert len(rough) == len(exact) > 0
    for a, b in zip(exact, rough, strict=True):
        assert b.box.xyxy == pytest.approx(a.box.xyxy, abs=3)
        assert all(side == int(side) for side in b.box.xyxy)
    np.testing.assert_array_equal(rule.boxes_at(score_map, GRID), one_by_one(rule, score_map, GRID))


def test_values_beyond_single_precision_stay_finite():
    values = np.zeros((3, 3))
    values[1, 1] = np.finfo(np.float32).max
    values[0] = -values[1, 1]
    assert np.isfinite(by_pixel(over(values), "bicubic").values).all()
    assert PaperBoxes(interpolation="bicubic").boxes(over(values))
