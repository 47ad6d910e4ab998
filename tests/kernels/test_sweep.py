from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camtool.boxes import MultiBoxes, PaperBoxes, SweptRule
from camtool.kernels import BINS, boxes_at_thresholds, level_histogram
from camtool.structures import ScoreMap
from tests.kernels.bodies import take

GRID = np.arange(100) / 100

VALUES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
    # Few values make ties and plateaus; the others anything finite.
    elements=st.one_of(
        st.sampled_from([-1.0, 0.0, 0.125, 0.25, 0.5, 1.0]),
        st.floats(-100, 100, width=32, allow_subnormal=False),
    ),
)


def over(values, size, region=None) -> ScoreMap:
    whole = (0.0, 0.0, float(size[0]), float(size[1]))
    return ScoreMap(np.asarray(values, np.float32), region or whole, size)


@st.composite
def score_maps(draw) -> ScoreMap:
    values = draw(VALUES)
    size = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    kind = draw(st.sampled_from(["whole", "cell a pixel", "part"]))
    if kind == "whole":
        return over(values, size)
    if kind == "cell a pixel":
        return over(values, values.shape[::-1])
    x, y = (draw(st.floats(-3, n - 0.5)) for n in size)
    w, h = (draw(st.floats(0.5, n + 3)) for n in size)
    return over(values, size, (x, y, x + w, y + h))


@st.composite
def grids(draw):
    """Ascending thresholds; few, equal ones, as many as an 8-bit map has, or the usual ones."""
    some = st.lists(st.sampled_from([0.0, 0.125, 0.2, 0.25, 0.3, 0.5, 0.99]), max_size=8)
    return draw(
        st.one_of(some.map(sorted).map(np.array), st.just(GRID), st.just(np.arange(255) / 255))
    )


def one_by_one(rule: SweptRule, score_map: ScoreMap, shares) -> np.ndarray:
    """The first box at each threshold, each found by itself."""
    found = np.zeros((len(shares), 4), np.int64)
    for i, share in enumerate(shares):
        if boxes := rule.at(float(share)).boxes(score_map):
            found[i] = boxes[0].box.xyxy
    return found


def boxes_at(score_map: ScoreMap, shares, body="compiled") -> np.ndarray:
    return getattr(boxes_at_thresholds, body)(score_map.values, *score_map.axes, shares)


RULES = st.one_of(
    st.builds(
        PaperBoxes,
        scale=st.sampled_from(["max", "min-max"]),
        components=st.sampled_from(["largest", "all"]),
        min_area=st.sampled_from([0.0, 0.01, 0.1]),
    ),
    st.builds(
        MultiBoxes,
        scale=st.sampled_from(["max", "min-max"]),
        min_area=st.sampled_from([0.0, 0.01, 0.1]),
        nms=st.sampled_from([0.0, 0.5, 1.0]),
        max_boxes=st.sampled_from([1, 100]),
    ),
)


@settings(max_examples=600, deadline=None)
@given(RULES, score_maps(), grids())
def test_boxes_equal_those_of_each_threshold_by_itself(rule, score_map, shares):
    expected = one_by_one(rule, score_map, shares)
    for body in ("compiled", "plain"):
        with pytest.MonkeyPatch.context() as patch:
            take(patch, body, "camtool.boxes.paper")
            np.testing.assert_array_equal(rule.boxes_at(score_map, shares), expected)


@pytest.mark.parametrize("scale", ["max", "min-max"])
@pytest.mark.parametrize("body", ["compiled", "plain"])
def test_among_equally_strong_components_each_rule_has_its_own_first(scale, body, monkeypatch):
    """Three components of one maximum: the first, a larger one, and one too small to count."""
    values = np.zeros((9, 12), np.float32)
    values[0, 11] = values[1:3, 1:3] = values[4:7, 4:7] = values[8, 9:12] = 1
    values[3, 10] = 0.9
    take(monkeypatch, body, "camtool.boxes.paper")
    found = {
        rule: rule.boxes_at(over(values, (12, 9)), np.array([0.5]))[0].tolist()
        for rule in (
            PaperBoxes(scale=scale, components="all", min_area=0.02),
            MultiBoxes(scale=scale, min_area=0.02),
            MultiBoxes(scale=scale, min_area=0.2),
        )
    }
    assert list(found.values()) == [[1, 1, 3, 3], [4, 4, 7, 7], [0, 0, 0, 0]]


def smooth(random, cells: int) -> np.ndarray:
    values = random.random((cells, cells))
    for axis in (0, 1):
        values = sum(np.roll(values, k, axis) for k in (-1, 0, 1))
    return values


@pytest.mark.parametrize("scale", ["max", "min-max"])
@pytest.mark.parametrize("cells", [7, 14, 28])
def test_boxes_of_maps_on_photos(cells, scale):
    random = np.random.default_rng(cells)
    rule = PaperBoxes(scale=scale)
    for values in (
        random.normal(size=(cells, cells)),
        smooth(random, cells),
        random.integers(0, 4, (cells, cells)),
        np.eye(cells) + 0.2 * random.random((cells, cells)),
    ):
        score_map = over(values, (500, 375))
        found = boxes_at_thresholds.compiled(
            score_map.values, *score_map.axes, GRID, of_range=scale == "min-max"
        )
        np.testing.assert_array_equal(found, one_by_one(rule, score_map, GRID))


def test_among_equal_components_the_first_in_raster_order_is_taken():
    values = np.zeros((5, 9), np.float32)
    values[1:3, 6:8] = values[3:5, 1:3] = 1
    for body in ("compiled", "plain"):
        assert boxes_at(over(values, (9, 5)), np.array([0.5]), body).tolist() == [[6, 1, 8, 3]]


@pytest.mark.parametrize(
    "values", [np.zeros((3, 3)), -np.ones((3, 3)), np.full((3, 3), np.nan), [[1, np.inf]]]
)
def test_a_map_without_a_positive_maximum_has_no_box(values):
    score_map = over(values, (30, 20))
    for body in ("compiled", "plain"):
        assert not boxes_at(score_map, GRID, body).any()
        histogram = getattr(level_histogram, body)
        assert not histogram(score_map.values, *score_map.axes).any()


def test_a_map_that_covers_no_pixel_has_no_box():
    score_map = over(np.ones((2, 2)), (4, 4), (0.6, 0.6, 1.4, 1.4))
    for body in ("compiled", "plain"):
        assert not boxes_at(score_map, GRID, body).any()
        histogram = getattr(level_histogram, body)
        assert not histogram(score_map.values, *score_map.axes).any()


def test_thresholds_must_ascend():
    for body in ("compiled", "plain"):
        with pytest.raises(ValueError, match="thresholds must ascend"):
            boxes_at(over(np.ones((2, 2)), (4, 4)), np.array([0.5, 0.2]), body)


@settings(max_examples=200, deadline=None)
@given(score_maps(), st.booleans())
def test_the_histogram_counts_pixels_by_their_share(score_map, of_range):
    pixels = score_map.at_image_size(outside=np.nan)
    pixels = pixels[np.isfinite(pixels)]
    expected = np.zeros(BINS, np.int64)
    base = pixels.min() if of_range and pixels.size else 0.0
    if pixels.size and pixels.max() > base:
        edges = base + np.arange(1, BINS) / BINS * (pixels.max() - base)
        expected = np.bincount(np.searchsorted(edges, pixels), minlength=BINS)
    for histogram in (level_histogram.compiled, level_histogram.plain):
        found = histogram(score_map.values, *score_map.axes, of_range=of_range)
        np.testing.assert_array_equal(found, expected)
