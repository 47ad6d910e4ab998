from __future__ import annotations

import cv2
import numpy as np
import pytest

from camtool.metrics.wsol_frame import (
    FRAME,
    boxes_to_frame,
    centred_gaussian,
    eight_bit,
    map_to_frame,
    mask_to_frame,
    unit_map,
)


def test_a_map_is_enlarged_by_bicubic_interpolation_and_scaled():
    cells = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    enlarged = cv2.resize(cells, (224, 224), interpolation=cv2.INTER_CUBIC)
    enlarged -= enlarged.min()
    enlarged /= enlarged.max()
    found = map_to_frame(cells)
    assert found.dtype == np.float32
    assert (found == enlarged).all()
    assert (found.min(), found.max()) == (0, 1)


def test_a_map_at_the_frame_is_only_scaled():
    values = np.random.default_rng(0).random((224, 224), dtype=np.float32) + 3
    before = values.copy()
    assert (map_to_frame(values) == unit_map(values)).all()
    assert (values == before).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_flat_maps_and_maps_that_are_not_finite_become_zeros(odd):
    values = np.array([[1, 2], [odd, 3]], np.float32)
    assert map_to_frame(values).tolist() == np.zeros((224, 224)).tolist()
    assert map_to_frame(np.full((3, 3), 7.0)).max() == 0


def test_eight_bits_are_truncated():
    assert eight_bit(np.array([[0, 0.999, 1, 0.5, 1 / 255]])).tolist() == [[0, 254, 255, 127, 1]]


@pytest.mark.parametrize("odd", [np.nan, -0.001, 1.001])
def test_eight_bits_need_a_map_in_range(odd):
    with pytest.raises(ValueError) as caught:
        eight_bit(np.array([[0.5, odd]]))
    assert str(caught.value) == "the map's values are not all within [0, 1]"


def test_what_is_no_map():
    with pytest.raises(ValueError) as caught:
        map_to_frame(np.zeros((0, 3)))
    assert str(caught.value) == "not a map: shape (0, 3)"


def test_boxes_are_scaled_and_truncated():
    found = boxes_to_frame([(0, 0, 499, 374), (111, 50, 222, 100)], (500, 375))
    assert found.tolist() == [[0, 0, 223, 223], [49, 29, 99, 59]]
    assert boxes_to_frame([], (500, 375)).shape == (0, 4)


def test_masks_are_resized_by_nearest_neighbour():
    mask = np.zeros((2, 4), np.uint8)
    mask[1, 2] = 1
    found = mask_to_frame(mask)
    assert found.dtype == np.bool_
    assert found.sum() == 112 * 56
    assert found[112:, 112:168].all()


def test_the_map_is_centred_round_and_spans_all_sizes():
    values = centred_gaussian()
    assert (values.shape, values.dtype) == ((FRAME, FRAME), np.float32)
    assert (values.min(), values.max()) == (0, 1)
    for turned in (values[::-1], values[:, ::-1], values.T):
        assert turned == pytest.approx(values, abs=1e-6)
    eight = eight_bit(values)
    widths = {int((eight[FRAME // 2] > level).sum()) for level in range(255)}
    assert max(widths) == FRAME
    assert min(widths) <= 20
    assert max(np.diff(sorted(widths))) <= 10


def test_another_shape_has_the_same_map_stretched():
    wide = centred_gaussian((56, 224))
    assert wide.shape == (56, 224)
    assert wide[:, 100].argmax() in (27, 28)
    assert wide[28].argmax() in (111, 112)
