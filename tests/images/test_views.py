"""Views of a picture, and their maps put back in place and merged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from PIL import Image, ImageOps

from camtool.errors import SettingsError
from camtool.images import BaseViews, CenterCrop, MultiScale, One, Squeeze, TenCrop, Tiles, Views
from camtool.images.preprocess import prepare
from camtool.images.views import View, merge_maps
from camtool.settings import members
from camtool.structures import InputSpec, ScoreMap
from tests.builders import noise_picture

SPEC = InputSpec((224, 224), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bilinear", 0.875)
PREPROCESSES = [Squeeze(), CenterCrop(), Squeeze(size=96)]


def random_maps(views, stride=32, classes=2):
    random = np.random.default_rng(1)
    return [
        random.normal(size=(classes, *(n // stride for n in v.pixels.shape[1:]))).astype(np.float32)
        for v in views
    ]


@pytest.mark.parametrize("preprocess", PREPROCESSES)
@pytest.mark.parametrize("views", [One(), MultiScale(scales=(1.0,), flip=False)])
def test_one_view_is_what_the_preprocess_makes(views, preprocess):
    (view,), region = views.of(noise_picture(), preprocess, SPEC)
    pixels, expected = prepare(noise_picture(), preprocess, SPEC)
    assert np.array_equal(view.pixels, pixels)
    assert view.region == region == expected
    (maps,) = random_maps([view])
    assert merge_maps([maps], [view], region) is maps


@pytest.mark.parametrize("preprocess", PREPROCESSES)
def test_scales_show_the_same_region_at_multiples_of_32(preprocess):
    views, region = MultiScale(scales=(1.0, 0.25, 1.3), flip=True).of(
        noise_picture(), preprocess, SPEC
    )
    side = preprocess.input_size(SPEC)[0]
    sides = [side, side, *([64, 64, 288, 288] if side == 224 else [32, 32, 128, 128])]
    assert [v.pixels.shape for v in views] == [(3, n, n) for n in sides]
    assert {v.region for v in views} == {region} == {preprocess.region((300, 200), SPEC)}
    assert [v.mirrored for v in views] == [False, True] * 3
    for plain, mirrored in zip(views[::2], views[1::2], strict=True):
        assert np.array_equal(plain.pixels, mirrored.pixels[:, :, ::-1])
        assert mirrored.pixels.flags.c_contiguous


def test_ten_crops_by_hand():
    """Of a picture of 512×256, squashed to 256×256: a crop of 224 is 448×224 pixels of it."""
    views, region = TenCrop().of(noise_picture((512, 256)), Squeeze(), SPEC)
    assert region == (0, 0, 512, 256)
    regions = [(0, 0, 448, 224), (64, 0, 512, 224), (0, 32, 448, 256), (64, 32, 512, 256),
               (32, 16, 480, 240)]  # fmt: skip
    assert [v.region for v in views] == regions * 2
    assert [v.mirrored for v in views] == [False] * 5 + [True] * 5
    whole, _ = prepare(noise_picture((512, 256)), Squeeze(size=256), SPEC)
    offsets = [(0, 0), (32, 0), (0, 32), (32, 32), (16, 16)]
    for view, mirrored, (x, y) in zip(views[:5], views[5:], offsets, strict=True):
        assert np.array_equal(view.pixels, whole[:, y : y + 224, x : x + 224])
        assert np.array_equal(mirrored.pixels, view.pixels[:, :, ::-1])


def test_ten_crops_of_a_centre_crop_lie_within_it():
    views, region = TenCrop().of(noise_picture(), CenterCrop(), SPEC)
    assert region == CenterCrop().region((300, 200), SPEC)
    x0, y0, x1, y1 = (np.array(n) for n in zip(*(v.region for v in views), strict=True))
    assert (x0.min(), y0.min(), x1.max(), y1.max()) == pytest.approx(region)
    assert x1 - x0 == pytest.approx((region[2] - region[0]) * 224 / 256)


def test_maps_of_ten_crops_by_hand():
    """Crops of 7×7 cells in a grid of 8×8: at the corners cell on cell, in the centre between."""
    views, region = TenCrop().of(noise_picture((512, 256)), Squeeze(), SPEC)
    maps = random_maps(views)
    upright = [m[..., ::-1] if v.mirrored else m for m, v in zip(maps, views, strict=True)]
    total, number = np.zeros((2, 8, 8)), np.zeros((8, 8))
    for k in (0, 5):
        for m, (x, y) in zip(upright[k : k + 4], [(0, 0), (1, 0), (0, 1), (1, 1)], strict=True):
            total[:, y : y + 7, x : x + 7] += m
            number[y : y + 7, x : x + 7] += 1
        centre = upright[k + 4].astype(np.float64)
        # The centre crop begins half a cell further: the mean of four cells lies on a grid cell.
        # Its own border is half a cell wide beyond the outermost centres: those continue.
        padded = np.pad(centre, ((0, 0), (1, 1), (1, 1)), mode="edge")
        means = (padded[:, 1:, 1:] + padded[:, :-1, 1:] + padded[:, 1:, :-1]
                 + padded[:, :-1, :-1]) / 4  # fmt: skip
        # Of the outermost cells of the grid the centre crop shows a half, or a quarter.
        side = np.array([0.5, 1, 1, 1, 1, 1, 1, 0.5])
        total += means * np.outer(side, side)
        number += np.outer(side, side)
    merged = merge_maps(maps, views, region)
    assert merged.shape == (2, 8, 8)
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, total / number, rtol=1e-5, atol=1e-6)


def test_the_sum_of_absolute_values_favours_the_centre():
    views, region = TenCrop().of(noise_picture((256, 256)), Squeeze(), SPEC)
    maps = [np.full((1, 7, 7), sign, np.float32) for sign in (1, -1) * 5]
    merged = merge_maps(maps, views, region, merge="abs-sum")[0]
    assert merged[0, 7] == 2.5  # one corner twice, and a quarter by the centre
    assert merged[0, 3] == 5  # two corners twice, and a half
    assert merged[3, 3] == 10
    positive = merge_maps(maps, views, region, merge="abs-sum", relu=True)[0]
    assert positive[3, 3] == 5
    np.testing.assert_allclose(merge_maps(maps, views, region)[0][3, 3], 0)
    np.testing.assert_allclose(merge_maps(maps, views, region, relu=True)[0][3, 3], 0.5)


def test_scales_meet_on_the_finest_grid():
    views, region = MultiScale(scales=(1.0, 2.0), flip=False).of(noise_picture(), Squeeze(), SPEC)
    coarse, fine = random_maps(views)
    merged = merge_maps([coarse, fine], views, region)
    assert merged.shape == (2, 14, 14)
    enlarged = [ScoreMap(m, (0, 0, 14, 14), (14, 14)).at_image_size() for m in coarse]
    np.testing.assert_allclose(merged, (np.array(enlarged) + fine) / 2, rtol=1e-6)


def test_a_mirrored_view_is_mirrored_back():
    view = View(np.zeros((3, 64, 96), np.float32), (10.0, 0.0, 70.0, 50.0)).mirror()
    (maps,) = random_maps([view])
    assert np.array_equal(merge_maps([maps], [view], view.region), maps[..., ::-1])
    assert not view.mirror().mirrored


@pytest.mark.parametrize("ratio", [1.0, 1.1, 256 / 224, 1.5, 2.0])
def test_crops_leave_no_gap(ratio):
    views, region = TenCrop(ratio=ratio).of(noise_picture((97, 61)), Squeeze(size=96), SPEC)
    ones = [np.ones((1, 3, 3), np.float32)] * 10
    assert (merge_maps(ones, views, region) == 1).all()


@pytest.mark.parametrize("views", [MultiScale(scales=(1.0, 1.5)), TenCrop(), TenCrop(relu=True)])
def test_views_of_a_mirrored_picture_are_the_same_views(views):
    """Each view of the one is that of the other, mirrored; so are merged maps of pixel means."""
    image = noise_picture((256, 192))
    results = []
    for picture in (image, ImageOps.mirror(image)):
        seen, region = views.of(picture, Squeeze(), SPEC)
        maps = [
            v.pixels.mean(0).reshape(7, v.pixels.shape[1] // 7, 7, -1).mean((1, 3))[None]
            for v in seen
            if v.pixels.shape[1] == 224
        ]
        kept = [v for v in seen if v.pixels.shape[1] == 224]
        results.append(merge_maps(maps, kept, region, relu=views.relu))
    np.testing.assert_allclose(results[1][0][:, ::-1], results[0][0], atol=1e-5)


def test_of_no_class_there_is_no_map():
    views, region = MultiScale().of(noise_picture(), Squeeze(), SPEC)
    assert merge_maps(random_maps(views, classes=0), views, region).shape == (0, 10, 10)


def test_a_value_that_is_no_number_stays_one():
    views, region = MultiScale(scales=(1.0,)).of(noise_picture(), Squeeze(), SPEC)
    maps = random_maps(views, classes=1)
    maps[1][0, 2, 0] = np.nan
    merged = merge_maps(maps, views, region, relu=True)[0]
    assert np.isnan(merged[2, 6])


@pytest.mark.parametrize("size", [(800, 100), (100, 800), (300, 200), (100, 100), (2000, 100)])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_tiles_cover_the_picture(size, count):
    views, region = Tiles(count=count).of(Image.new("RGB", size), Squeeze(), SPEC)
    assert region == (0, 0, *size)
    assert len(views) == count
    along = 0 if size[0] >= size[1] else 1
    spans = [(v.region[along], v.region[along + 2]) for v in views]
    assert (spans[0][0], spans[-1][1]) == (0, max(size))
    for (start, stop), (following, _) in itertools.pairwise(spans):
        assert start <= following <= stop + 1e-9
        assert stop - start == pytest.approx(max(min(size), max(size) / count))
    ones = [np.ones((1, 3, 3), np.float32)] * count
    np.testing.assert_allclose(merge_maps(ones, views, region), 1, rtol=1e-6)


def test_what_a_tile_shows_stays_where_it_is():
    """Of a strip of eight squares the fifth alone is bright; so is its place in the map."""
    strip = Image.new("RGB", (800, 100))
    strip.paste((255, 255, 255), (400, 0, 500, 100))
    views, region = Tiles(count=8).of(strip, Squeeze(), SPEC)
    maps = [np.float32([[[v.pixels.mean()] * 2] * 2]) for v in views]
    merged = merge_maps(maps, views, region)[0]
    assert merged.shape == (2, 16)
    assert np.argwhere(merged == merged.max()).tolist() == [[r, c] for r in (0, 1) for c in (8, 9)]


@pytest.mark.parametrize("part", members(Views, BaseViews))
def test_views_are_final_and_described(part):
    assert getattr(part, "__final__", False)
    assert part.summary
    assert part.passes


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (MultiScale, {"scales": ()}), (MultiScale, {"scales": (0.1,)}), (TenCrop, {"ratio": 2.1}),
        (TenCrop, {"ratio": 0.9}), (TenCrop, {"merge": "sum"}), (One, {"merge": "mean"}),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(part, wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        part(**wrong)


def test_a_single_view_is_signed_like_several():
    picture, spec = noise_picture(), SPEC
    maps = np.float32([[[-2, 1], [3, -4]]])
    signed = {"relu": [[0, 1], [3, 0]], "abs-sum": [[2, 1], [3, 4]], "both": [[0, 1], [3, 0]]}
    settings = {
        "relu": {"relu": True}, "abs-sum": {"merge": "abs-sum"},
        "both": {"merge": "abs-sum", "relu": True},
    }  # fmt: skip
    for name, how in settings.items():
        one = MultiScale(scales=(1.0,), flip=False, **how)
        views, region = one.of(picture, Squeeze(), spec)
        merged = merge_maps([maps], views, region, merge=one.merge, relu=one.relu)
        assert merged.tolist() == [signed[name]]
    alone = One(relu=True)
    views, region = alone.of(picture, Squeeze(), spec)
    merged = merge_maps([maps], views, region, merge=alone.merge, relu=alone.relu)
    assert merged.tolist() == [signed["relu"]]
