"""The localizer with several views of a picture, and with rules that look at the picture."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from camtool import Localizer, LocalizeSettings, ModelSettings, Squeeze
from camtool.boxes import GrabCutBoxes, TightLooseBoxes
from camtool.images import CenterCrop, MultiScale, TenCrop
from camtool.images.sources import FileSource
from camtool.images.views import merge_maps

RANDOM = ModelSettings(backbone="timm/test_resnet", weights="none")


@pytest.fixture(autouse=True, scope="module")
def _network_built_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSettings, "build", functools.cache(ModelSettings.build))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures without fine detail, of three sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    random, paths = np.random.default_rng(0), []
    for i, size in enumerate([(96, 96), (150, 100), (90, 120)]):
        coarse = Image.fromarray(random.integers(0, 255, (6, 6, 3), np.uint8))
        paths.append(folder / f"{i}.png")
        coarse.resize(size, Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def localizer(**settings):
    settings.setdefault("preprocess", Squeeze(size=96))
    return Localizer(RANDOM, settings=LocalizeSettings(**settings), batch_size=4)


def seen(localizer, files, targets=()):
    items = [localizer.prepare(FileSource(p.stem, str(p)), targets) for p in files]
    return items, localizer.run(items)


def test_one_scale_without_flip_is_the_plain_picture(files):
    _, plain = seen(localizer(), files)
    _, scaled = seen(localizer(views=MultiScale(scales=(1.0,), flip=False)), files)
    for a, b in zip(plain, scaled, strict=True):
        assert a.classes == b.classes
        assert a.scores == b.scores
        assert np.array_equal(a.maps, b.maps)


@pytest.mark.parametrize("views", [MultiScale(scales=(1.0, 1.5)), TenCrop(merge="abs-sum")])
@pytest.mark.parametrize("preprocess", [Squeeze(size=96), CenterCrop(size=96)])
def test_views_are_seen_one_by_one_and_merged(files, views, preprocess):
    chosen = localizer(views=views, preprocess=preprocess)
    items, found = seen(chosen, files[1:2], (5, 900))
    (item,), (result,) = items, found
    chances, maps = [], []
    with torch.inference_mode():
        for view in item.views:
            forward = chosen.classifier(torch.from_numpy(view.pixels)[None])
            chances.append(forward.logits.softmax(1)[0].double().numpy())
            indices = torch.tensor([result.classes])
            maps.append(chosen.classifier.head.class_maps(forward.features, indices)[0].numpy())
    mean = np.mean(chances, 0)
    np.testing.assert_allclose(result.scores, mean[result.classes], rtol=1e-4)
    # Random weights make classes of nearly equal scores: only the order of their scores counts.
    assert result.scores[:5] == sorted(result.scores[:5], reverse=True)
    np.testing.assert_allclose(np.sort(mean)[-5:][::-1], result.scores[:5], rtol=1e-4)
    assert {5, 900} <= set(result.classes)
    expected = merge_maps(maps, item.views, item.region, merge=views.merge)
    np.testing.assert_allclose(result.maps, expected, rtol=1e-3, atol=1e-3 * abs(expected).max())
    score_map = chosen.finish(item, result).maps[0]
    assert score_map.region == item.region == preprocess.region((150, 100), chosen.classifier.spec)


def test_batched_is_one_by_one(files):
    chosen = localizer(views=TenCrop())
    items, together = seen(chosen, files)
    for item, result in zip(items, together, strict=True):
        (alone,) = chosen.run([item])
        assert alone.classes == result.classes
        np.testing.assert_allclose(
            alone.maps, result.maps, rtol=1e-3, atol=1e-4 * abs(alone.maps).max()
        )


@pytest.mark.parametrize("views", [MultiScale(scales=(1.0, 1.5)), TenCrop(), TenCrop(relu=True)])
def test_a_mirrored_picture_gives_the_mirrored_map(files, tmp_path, views):
    chosen = localizer(views=views)
    mirrored = tmp_path / "mirrored.png"
    ImageOps.mirror(Image.open(files[0])).save(mirrored)
    _, (a, b) = seen(chosen, [files[0], mirrored])
    assert a.classes == b.classes
    np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3)
    np.testing.assert_allclose(a.maps[..., ::-1], b.maps, atol=1e-3 * abs(a.maps).max())


def test_a_plain_map_is_not_its_mirror():
    """Else the test above could not fail."""
    chosen = localizer()
    pixels = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)
    with torch.inference_mode():
        maps = [
            chosen.classifier(torch.from_numpy(p.copy())).features.numpy()
            for p in (pixels, pixels[..., ::-1])
        ]
    assert abs(maps[0][..., ::-1] - maps[1]).max() > 0.01 * abs(maps[0]).max()


def test_grabcut_gets_the_picture(files):
    chosen = localizer(boxes=GrabCutBoxes(max_side=64))
    items, results = seen(chosen, files)
    assert [i.picture.shape for i in items] == [(64, 64, 3), (43, 64, 3), (64, 48, 3)]
    found = chosen.finish(items[1], results[1])
    boxes = [b.box for c in found.classes for b in c.boxes]
    assert all(b.x1 <= 150 and b.y1 <= 100 for b in boxes)
    assert boxes


def test_other_rules_keep_no_picture(files):
    items, _ = seen(localizer(), files)
    assert [i.picture for i in items] == [None] * 3


def test_the_five_guesses_are_those_of_the_best_three_classes(files):
    chosen = localizer(boxes=TightLooseBoxes(max_side=64))
    items, results = seen(chosen, files[:1], (7,))
    found = chosen.finish(items[0], results[0])
    guesses = {b.guess: c.rank for c in found.classes for b in c.boxes if b.guess}
    assert {1: 1, 3: 2, 5: 3}.items() <= guesses.items() <= {1: 1, 2: 1, 3: 2, 4: 2, 5: 3}.items()
