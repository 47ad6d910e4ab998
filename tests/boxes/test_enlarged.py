"""Maps at image size: against geometry, OpenCV and torch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from camtool.boxes import enlarged
from camtool.boxes.enlarged import eight_bit, enlarge, reduced, reduced_size
from camtool.structures import ScoreMap


def random_map(shape, size, seed=0, region=None) -> ScoreMap:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return ScoreMap(values, region or (0.0, 0.0, *map(float, size)), size)


SHAPES = [((7, 7), (100, 60)), ((1, 1), (30, 20)), ((3, 5), (64, 91)), ((9, 2), (3, 5))]


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_bilinear_is_that_of_the_score_map(shape, size):
    score_map = random_map(shape, size)
    expected = score_map.at_image_size()
    np.testing.assert_allclose(enlarge(score_map, "bilinear"), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_bicubic_is_that_of_opencv_and_torch(shape, size):
    score_map = random_map(shape, size)
    found = enlarge(score_map, "bicubic")
    by_torch = torch.nn.functional.interpolate(
        torch.from_numpy(score_map.values)[None, None].double(),
        size=size[::-1],
        mode="bicubic",
        align_corners=False,
    )[0, 0].numpy()
    np.testing.assert_allclose(found, by_torch, rtol=0, atol=1e-6)
    by_opencv = cv2.resize(
        score_map.values.astype(np.float64), size, interpolation=cv2.INTER_CUBIC
    ).reshape(found.shape)
    np.testing.assert_allclose(found, by_opencv, rtol=0, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_region_is_the_part_of_a_larger_picture(interpolation):
    """The map of a crop at whole pixels, put back in place."""
    inside = enlarge(random_map((4, 6), (60, 40)), interpolation)
    whole = enlarge(random_map((4, 6), (100, 90), region=(20, 30, 80, 70)), interpolation)
    np.testing.assert_allclose(whole[30:70, 20:80], inside, rtol=0, atol=1e-12)
    whole[30:70, 20:80] = np.nan
    assert np.isnan(whole).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_bands_are_the_whole(monkeypatch, interpolation):
    score_map = random_map((7, 7), (50, 41), region=(-3.0, 5.2, 44.0, 39.0))
    whole, levels = enlarge(score_map, interpolation), eight_bit(score_map, "max", interpolation)
    monkeypatch.setattr(enlarged, "_BAND", 130)
    np.testing.assert_array_equal(enlarge(score_map, interpolation), whole)
    np.testing.assert_array_equal(eight_bit(score_map, "max", interpolation), levels)


def test_the_range_in_8_bits():
    values = np.array([[-1.0, 0.0, 1.0, 4.0]], np.float32)
    score_map = ScoreMap(values, (0, 0, 4, 1), (4, 1))
    assert eight_bit(score_map, "min-max", "bilinear").tolist() == [[0, 51, 102, 255]]
    # 63.75 is rounded.
    assert eight_bit(score_map, "max", "bilinear").tolist() == [[0, 0, 64, 255]]


def test_what_a_crop_leaves_out_is_0_and_counts_for_no_range():
    values = np.array([[5.0, 6.0]], np.float32)
    score_map = ScoreMap(values, (1, 0, 3, 1), (4, 1))
    assert eight_bit(score_map, "min-max", "bilinear").tolist() == [[0, 0, 255, 0]]


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_nothing_to_scale(value):
    score_map = ScoreMap(np.full((2, 2), value, np.float32), (0, 0, 9, 9), (9, 9))
    assert eight_bit(score_map, "max", "bilinear") is None
    assert eight_bit(score_map, "min-max", "bicubic") is None
    between = ScoreMap(np.ones((2, 2), np.float32), (3.6, 0, 4.4, 9), (9, 9))
    assert eight_bit(between, "max", "bilinear") is None


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 50), (100, 50)), ((1000, 400), (100, 40)), ((3, 3000), (1, 100))]
)
def test_reduced_sizes(size, expected):
    assert reduced_size(size, 100) == expected
    small = reduced(random_map((2, 2), size), 100)
    assert small.size == expected
    assert small.region == pytest.approx((0, 0, *expected))
