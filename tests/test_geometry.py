from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from camtool.geometry import axis, clip, iou, resize_map, scale
from camtool.structures import Box

# Numbers whose products and sums are exact in double precision.
EXACT = st.integers(-4000, 4000).map(lambda n: n / 4)


@st.composite
def boxes(draw) -> Box:
    x0, y0 = draw(EXACT), draw(EXACT)
    return Box(x0, y0, x0 + draw(st.integers(1, 4000)) / 4, y0 + draw(st.integers(1, 4000)) / 4)


def test_iou_of_the_known_case():
    a, b = Box.from_inclusive(1, 2, 5, 6), Box.from_inclusive(3, 1, 4, 5)
    assert iou(a, b) == 8 / 27


def test_iou_of_exactly_one_half():
    assert iou(Box(0, 0, 10, 10), Box(0, 0, 5, 10)) == 0.5
    assert iou(Box(0, 0, 300, 1), Box(100, 0, 400, 1)) == 0.5
    # One pixel of 100 million less.
    assert iou(Box(0, 0, 20_000, 10_000), Box(0, 0, 9_999, 10_000)) < 0.5


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 4, 4), 1.0),
        (Box(4, 0, 8, 4), 0.0),  # touching sides share no pixel
        (Box(4, 4, 8, 8), 0.0),
        (Box(-9, -9, -5, -5), 0.0),
        (Box(1, 1, 2, 2), 1 / 16),
        (Box(2, 0, 6, 2), 4 / 20),
    ],
)
def test_iou_by_hand(other, expected):
    assert iou(Box(0, 0, 4, 4), other) == expected
    assert iou(other, Box(0, 0, 4, 4)) == expected


@given(boxes(), boxes(), st.sampled_from([0.25, 2, 8]))
def test_iou_does_not_depend_on_scale(a, b, factor):
    scaled = [Box(*(factor * c for c in box.xyxy)) for box in (a, b)]
    assert iou(*scaled) == iou(a, b)
    assert 0 <= iou(a, b) <= 1
    assert iou(a, a) == 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(1, 2, 3, 4), Box(1, 2, 3, 4)),
        (Box(-5, -6, 3, 4), Box(0, 0, 3, 4)),
        (Box(15, 8, 30, 40), Box(15, 8, 20, 10)),
        (Box(-1, -1, 99, 99), Box(0, 0, 20, 10)),
        (Box(20, 0, 30, 5), None),
        (Box(0, 10, 5, 11), None),
        (Box(-5, 0, 0, 5), None),
        (Box(0, -5, 5, 0), None),
    ],
)
def test_clip(box, expected):
    assert clip(box, (20, 10)) == expected


def test_scale_multiplies_each_axis_by_its_own_factor():
    assert scale(Box(10, 20, 30, 40), (100, 200), (50, 400)) == Box(5, 40, 15, 80)
    assert scale(Box(10, 20, 30, 40), (7, 7), (7, 7)) == Box(10, 20, 30, 40)


SHAPES = [(7, 7), (1, 1), (1, 5), (6, 1), (5, 9), (2, 2)]
SIZES = [(224, 224), (31, 17), (17, 31), (1, 1), (3, 200), (7, 7), (4, 3), (2, 5)]


def random_map(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
def test_resize_map_of_a_whole_image_is_that_of_opencv_and_torch(shape, size):
    """Also where the image has fewer pixels than the map has cells: no smoothing there either."""
    values = random_map(shape)
    resized = resize_map(values, (0, 0, *size), size)
    assert resized.shape == (size[1], size[0])
    assert resized.dtype == np.float64
    by_opencv = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR).reshape(size[::-1])
    np.testing.assert_allclose(resized, by_opencv, atol=1e-5)
    by_torch = F.interpolate(
        torch.from_numpy(values)[None, None], size[::-1], mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(resized, by_torch[0, 0].numpy(), atol=1e-5)


def test_resize_map_by_hand():
    values = np.array([[0, 4]], np.float32)
    np.testing.assert_array_equal(resize_map(values, (0, 0, 4, 2), (4, 2)), [[0, 1, 3, 4]] * 2)
    np.testing.assert_array_equal(resize_map(values.T, (0, 0, 1, 4), (1, 4)).ravel(), [0, 1, 3, 4])


def test_resize_map_of_one_cell_is_constant():
    resized = resize_map(np.full((1, 1), 3.5, np.float32), (0, 0, 9, 4), (9, 4))
    np.testing.assert_array_equal(resized, np.full((4, 9), 3.5))


def test_resize_map_of_a_centre_crop():
    """The map lies on the crop exactly, and nowhere else."""
    values = random_map((4, 6))
    resized = resize_map(values, (10, 20, 40, 44), (50, 60), outside=-7.0)
    crop = cv2.resize(values, (30, 24), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized[20:44, 10:40], crop, atol=1e-6)
    resized[20:44, 10:40] = -7
    np.testing.assert_array_equal(resized, np.full((60, 50), -7.0))


def test_resize_map_covers_pixels_by_their_centres():
    resized = resize_map(np.ones((2, 2), np.float32), (1.5, 0.6, 3.4, 3), (5, 3), outside=-np.inf)
    covered = np.isfinite(resized)
    # Column 1 has its centre at 1.5, the region's very start; column 3 at 3.5, past its end.
    np.testing.assert_array_equal(covered.any(0), [False, True, True, False, False])
    np.testing.assert_array_equal(covered.any(1), [False, True, True])


def test_resize_map_keeps_the_range():
    values = random_map((5, 8), seed=3)
    resized = resize_map(values, (0, 0, 301, 203), (301, 203))
    assert resized.min() >= values.min()
    assert resized.max() <= values.max()


def test_resize_map_of_a_flat_map_is_exactly_flat():
    """No rounding may part the pixels of a flat map, or a threshold would see structure in it."""
    resized = resize_map(np.full((7, 7), 0.1, np.float32), (0, 0, 333, 77), (333, 77))
    assert (resized == np.float32(0.1)).all()


def test_axis_is_shared_and_cannot_be_written():
    along = axis(7, 0.0, 100.0, 100)
    assert axis(7, 0.0, 100.0, 100) is along
    assert (along.start, along.stop) == (0, 100)
    assert (np.diff(along.cell) >= 0).all()
    with pytest.raises(ValueError, match="read-only"):
        along.cell[0] = 1
