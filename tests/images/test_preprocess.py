from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from camtool.errors import SettingsError
from camtool.images.preprocess import (
    BasePreprocess,
    CenterCrop,
    Preprocess,
    Squeeze,
    normalise,
    prepare,
)
from camtool.settings import members
from camtool.structures import InputSpec
from tests.builders import noise_picture

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = [(640, 480), (480, 640), (500, 375), (333, 500), (227, 227), (1000, 300), (75, 51)]


def spec(interpolation="bilinear", size=(224, 224), crop_fraction=224 / 256):
    return InputSpec(size, MEAN, STD, interpolation, crop_fraction)


# Gray levels as they are.
PLAIN = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)


def levels(image, preprocess, interpolation="bilinear", size=(224, 224), crop_fraction=224 / 256):
    """What the network would see, as gray levels of shape (h, w, 3)."""
    pixels, region = prepare(
        image, preprocess, InputSpec(size, *PLAIN, interpolation, crop_fraction)
    )
    return pixels.transpose(1, 2, 0), region


def smooth(size) -> Image.Image:
    """A picture without noise, in which a shift of a pixel shows."""
    x, y = np.meshgrid(np.linspace(0, 9, size[0]), np.linspace(0, 7, size[1]))
    pixels = np.stack([np.sin(x), np.cos(y), np.sin(x + y)], 2) * 120 + 128
    return Image.fromarray(pixels.astype(np.uint8))


def test_normalise_equals_torchvision():
    image = noise_picture((40, 30))
    expected = tv.normalize(tv.to_tensor(image), MEAN, STD)
    result = normalise(image, spec())
    assert (result.shape, result.dtype) == ((3, 30, 40), np.float32)
    assert result.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(result, expected.numpy())


RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@pytest.mark.parametrize("interpolation", RESAMPLING)
@pytest.mark.parametrize("size", SIZES)
def test_squeeze_is_a_plain_resize(size, interpolation):
    image = noise_picture(size)
    result, region = levels(image, Squeeze(), interpolation, (160, 120))
    expected = image.resize((160, 120), RESAMPLING[interpolation])
    np.testing.assert_allclose(result, np.asarray(expected), atol=1e-3)
    assert region == (0, 0, *size)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("resized", [224, 232, 256])
def test_center_crop_equals_torchvision(size, interpolation, resized):
    image = smooth(size)
    result, _ = levels(image, CenterCrop(), interpolation, crop_fraction=224 / resized)
    mode = InterpolationMode(interpolation)
    expected = tv.center_crop(tv.resize(image, [resized], mode, antialias=True), [224])
    difference = np.abs(result - np.asarray(expected, np.float32))
    # Two passes round to whole levels twice; bicubic weights below zero add to that, rarely.
    assert difference.max() <= (1.001 if interpolation == "bilinear" else 2.001)
    assert (difference > 1.001).mean() < 1e-4
    # A shift by one pixel would be seen.
    shifted = np.abs(np.roll(result, 1, 1) - np.asarray(expected, np.float32))
    assert shifted.max() > 2


def test_center_crop_of_noise_equals_torchvision():
    """One resize from the picture itself, not two: even noise differs by rounding only."""
    image = noise_picture((640, 480))
    result, _ = levels(image, CenterCrop())
    expected = tv.center_crop(tv.resize(image, [256], antialias=True), [224])
    assert np.abs(result - np.asarray(expected, np.float32)).max() <= 1.001


@pytest.mark.parametrize(
    ("size", "region"),
    [
        ((256, 256), (16, 16, 240, 240)),
        ((512, 512), (32, 32, 480, 480)),
        ((512, 256), (144, 16, 368, 240)),
        ((256, 1024), (16, 400, 240, 624)),
    ],
)
def test_region_of_a_center_crop_by_hand(size, region):
    assert CenterCrop().region(size, spec()) == region


@pytest.mark.parametrize("size", [*SIZES, (1, 1), (1, 2000), (2000, 1), (3000, 2), (7, 5)])
@pytest.mark.parametrize("preprocess", [Squeeze(), CenterCrop(), CenterCrop(crop_fraction=1.0)])
def test_regions_lie_in_the_picture(size, preprocess):
    pixels, (x0, y0, x1, y1) = prepare(noise_picture(size), preprocess, spec())
    assert pixels.shape == (3, 224, 224)
    assert np.isfinite(pixels).all()
    assert 0 <= x0 < x1 <= size[0] + 1e-9
    assert 0 <= y0 < y1 <= size[1] + 1e-9


def test_a_whole_crop_of_a_square_picture_is_the_picture():
    image = noise_picture((300, 300))
    crop, region = levels(image, CenterCrop(crop_fraction=1.0))
    np.testing.assert_array_equal(crop, levels(image, Squeeze())[0])
    assert region == (0, 0, 300, 300)


def test_sizes_of_ones_own():
    wide = spec(size=(320, 160))
    assert Squeeze().input_size(wide) == (320, 160)
    assert Squeeze(size=96).input_size(wide) == (96, 96)
    assert CenterCrop().input_size(wide) == (320, 320)
    assert CenterCrop(size=96).input_size(wide) == (96, 96)
    assert prepare(noise_picture((50, 40)), CenterCrop(size=96), spec())[0].shape == (3, 96, 96)


def test_a_crop_fraction_of_ones_own():
    assert CenterCrop(crop_fraction=0.5).region((448, 448), spec()) == (112, 112, 336, 336)


def test_the_network_input_is_what_torch_takes():
    pixels, _ = prepare(noise_picture((50, 40)), Squeeze(), spec())
    assert torch.from_numpy(pixels).dtype == torch.float32


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"size": 5000}, {"size": 224.0}, {"size": True}, {"crop": 1}]
)
def test_wrong_settings_are_refused(wrong):
    for preprocess in members(Preprocess, BasePreprocess):
        with pytest.raises(SettingsError):
            preprocess(**wrong)
    with pytest.raises(SettingsError):
        CenterCrop(crop_fraction=1.5)
