"""GrabCut begun from a map, on drawn pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from camtool.boxes import GrabCutBoxes
from camtool.structures import Box, ScoreMap

SIZE = 120, 80


def photo() -> Image.Image:
    """A bright block of 50×40 pixels on dark ground, both with noise."""
    pixels = np.random.default_rng(0).integers(0, 60, (80, 120, 3), np.uint8)
    pixels[20:60, 40:90] += 150
    return Image.fromarray(pixels)


def blob(factor=1.0) -> ScoreMap:
    """A map whose hat covers the block and some of the ground."""
    y, x = np.mgrid[0:8, 0:12]
    values = np.exp(-((x - 6) ** 2) / 12 - ((y - 3.5) ** 2) / 6).astype(np.float32)
    size = round(SIZE[0] * factor), round(SIZE[1] * factor)
    return ScoreMap(values, (0, 0, *size), size)


def test_it_finds_the_edge_of_the_object():
    rule = GrabCutBoxes()
    (found,) = rule.boxes(blob(), picture=rule.picture(photo()))
    assert found.box == Box(40, 20, 90, 60)
    assert 0.5 < found.score < 1


def test_it_begins_as_the_released_program_does():
    rule = GrabCutBoxes()
    picture = rule.picture(photo())
    values = blob().at_image_size()
    low, high = values.min(), values.max()
    levels = np.rint(255 * (values - low) / (high - low))
    mask = np.where(levels > 40, cv2.GC_PR_FGD, np.where(levels > 10, cv2.GC_PR_BGD, cv2.GC_BGD))
    mask = np.ascontiguousarray(mask, np.uint8)
    assert len(np.unique(mask)) == 3
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, mask, None, *models, 1, cv2.GC_INIT_WITH_MASK)
    found = cv2.boundingRect(np.argwhere(mask == cv2.GC_PR_FGD)[:, ::-1].astype(np.int32))
    assert rule.boxes(blob(), picture=picture)[0].box == Box.from_xywh(*found)


def test_the_same_every_time_whatever_was_drawn_before():
    rule = GrabCutBoxes()
    noise = np.random.default_rng(1).integers(0, 255, (80, 120, 3), np.uint8)
    expected = rule.boxes(blob(), picture=noise)
    cv2.setRNGSeed(77)
    cv2.randu(np.zeros(9), 0, 1)
    assert rule.boxes(blob(), picture=noise) == expected


def test_a_large_picture_is_worked_on_at_a_smaller_size():
    rule = GrabCutBoxes(max_side=120)
    large = photo().resize((480, 320), Image.Resampling.NEAREST)
    picture = rule.picture(large)
    assert picture.shape == (80, 120, 3)
    (found,) = rule.boxes(blob(4), picture=picture)
    assert found.box == Box(160, 80, 360, 240)


def test_where_everything_is_on_one_side_there_is_nothing_to_divide():
    rule = GrabCutBoxes(scale="max")
    flat = ScoreMap(np.ones((2, 2), np.float32), (0, 0, *SIZE), SIZE)
    (found,) = rule.boxes(flat, picture=rule.picture(photo()))
    assert (found.box, found.score) == (Box(0, 0, *SIZE), 1.0)


@pytest.mark.parametrize("picture", [None, np.zeros((120, 80, 3), np.uint8)])
def test_a_missing_or_wrong_picture(picture):
    with pytest.raises(ValueError, match=r"grabcut needs the picture, of shape \(80, 120, 3\)"):
        GrabCutBoxes().boxes(blob(), picture=picture)
