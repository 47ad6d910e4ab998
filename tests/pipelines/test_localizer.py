"""One picture in, its classes with maps and boxes out: alone, in batches, however prepared."""

import numpy as np
import pytest
import torch
from PIL import Image

from camtool import Box, CenterCrop, Localizer, LocalizeSettings, ModelSettings, Squeeze
from camtool.cam import Backprop, GradCam, Occlusion, SelfTaught
from camtool.errors import ImageReadError, ModelError, SettingsError
from camtool.images import Tiles
from camtool.images.sources import FileSource
from camtool.pipelines.experiment import Labels, Listed, TopK
from camtool.pipelines.inference import run_batches
from tests.builders import picture

RANDOM = ModelSettings(backbone="torchvision/mobilenet_v2", weights="none")


def localizer(model=RANDOM, **settings):
    settings.setdefault("preprocess", Squeeze(size=96))
    return Localizer(model, settings=LocalizeSettings(**settings), batch_size=4)


@pytest.fixture(scope="module")
def small():
    return localizer()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        picture(i).resize((48 + 13 * i, 36 + 5 * (i % 3))).save(path)
    return paths


def prepared(localizer, files):
    return [localizer.prepare(FileSource(p.stem, str(p)), (7 * i,)) for i, p in enumerate(files)]


def test_batched_is_one_by_one(small, files):
    items = prepared(small, files)
    broken = small.prepare(FileSource("x", "nowhere.png"))
    mixed = [*items[:2], broken, *items[2:]]
    batches = [pair for batch in run_batches(small, iter(mixed)) for pair in batch]
    assert [p for p, _ in batches] == mixed
    assert batches[2] == (broken, None)
    for item, seen in (b for b in batches if b[0] is not broken):
        (alone,) = small.run([item])
        assert seen.classes == alone.classes
        assert seen.ranks == alone.ranks
        np.testing.assert_allclose(seen.scores, alone.scores, rtol=1e-4)
        np.testing.assert_allclose(
            seen.maps, alone.maps, rtol=1e-3, atol=1e-4 * abs(alone.maps).max()
        )


def test_a_batch_that_is_filled_up_gives_the_same_bits(small, files):
    items = prepared(small, files[:4])
    (whole,) = run_batches(small, iter(items))
    (short,) = run_batches(small, iter(items[:3]))
    for (_, a), (_, b) in zip(whole, short, strict=False):
        assert np.array_equal(a.maps, b.maps)
        assert a.scores == b.scores


def test_maps_and_scores_are_the_networks(small, files):
    item = prepared(small, files)[3]
    (seen,) = small.run([item])
    with torch.inference_mode():
        forward = small.classifier(torch.from_numpy(item.pixels)[None])
    logits = forward.logits[0]
    bias = small.classifier.head.bias().detach()
    for i, index in enumerate(seen.classes):
        mean = float(seen.maps[i].mean())
        assert mean + float(bias[index]) == pytest.approx(float(logits[index]), rel=1e-3, abs=1e-4)
        assert seen.scores[i] == pytest.approx(float(logits.softmax(0)[index]), rel=1e-4)
        better = int((logits > logits[index]).sum())
        assert seen.ranks[i] == better + 1
    assert seen.classes[:5] == logits.topk(5).indices.tolist()
    assert seen.classes[-1] == 21 or 21 in seen.classes[:5]


def test_targets_are_marked_once(small, files):
    (seen,) = small.run([small.prepare(FileSource("a", str(files[0])))])
    best = seen.classes[0]
    item = small.prepare(FileSource("a", str(files[0])), (best, 999))
    found = small.finish(item, *small.run([item]))
    assert [c.index for c in found.classes if c.target] == [best, 999]
    assert len({c.index for c in found.classes}) == len(found.classes) == 6


@pytest.mark.parametrize("choice", [Labels(), Listed(classes=("tench", "n01443537", "2"))])
def test_other_choices_of_classes(files, choice):
    chosen = localizer(classes=choice)
    item = chosen.prepare(FileSource("a", str(files[0])), (5,))
    found = chosen.finish(item, *chosen.run([item]))
    expected = {5} if isinstance(choice, Labels) else {0, 1, 2, 5}
    assert {c.index for c in found.classes} == expected
    assert [c.rank for c in found.classes] == sorted(c.rank for c in found.classes)


def test_no_class_chosen_is_a_record_without_classes(files):
    chosen = localizer(classes=Labels())
    item = chosen.prepare(FileSource("a", str(files[0])))
    found = chosen.finish(item, *chosen.run([item]))
    assert found.classes == ()
    with pytest.raises(ValueError, match="nothing to draw"):
        found.overlay()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (900, 40), (40, 900)])
def test_boxes_stay_inside_what_the_network_saw(tmp_path, size):
    path = tmp_path / "wide.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)).save(
        path
    )
    chosen = localizer(preprocess=CenterCrop(size=96, crop_fraction=0.875), classes=TopK(k=20))
    item = chosen.prepare(FileSource("a", str(path)))
    found = chosen.finish(item, *chosen.run([item]))
    x0, y0, x1, y1 = item.region
    side = 0.875 * min(size)
    assert x1 - x0 == pytest.approx(side, rel=0.02)
    assert (x0 + x1) / 2 == pytest.approx(size[0] / 2, abs=size[0] / 96)
    boxes = [b.box for c in found.classes for b in c.boxes]
    assert boxes
    for box in boxes:
        assert round(x0) <= box.x0 < box.x1 <= round(x1)
        assert round(y0) <= box.y0 < box.y1 <= round(y1)


def test_calling_it_with_a_path(small, files):
    found = small(files[0], labels=["n01440764", "goldfish", 2])
    assert {0, 1, 2} <= {c.index for c in found.classes if c.target}
    assert all(isinstance(b.box, Box) for c in found.classes for b in c.boxes)
    message = r"not a class of the network: 'goldfsh'; did you mean 'goldfish'\?"
    with pytest.raises(SettingsError, match=message):
        small(files[0], labels=["goldfsh"])
    with pytest.raises(ImageReadError, match=r"nowhere\.png: no such file"):
        small("nowhere.png")


def test_no_cuda_here():
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ModelError, match="no CUDA device is here"):
        Localizer(RANDOM, device="cuda")


def test_building_leaves_the_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = Localizer(RANDOM, seed=1).sha256
    assert torch.equal(torch.rand(3), expected)
    assert Localizer(RANDOM, seed=1).sha256 == first != Localizer(RANDOM, seed=2).sha256


@pytest.mark.parametrize("method", [GradCam(), Backprop(stride=8), Occlusion(side=32, stride=32)])
def test_other_methods_one_by_one_and_in_batches(files, method):
    chosen = localizer(ModelSettings(), cam=method)
    items = prepared(chosen, files[:3])
    together = chosen.run(items)
    for item, seen in zip(items, together, strict=True):
        (alone,) = chosen.run([item])
        scale = np.abs(alone.maps).max()
        assert scale > 0
        np.testing.assert_allclose(seen.maps, alone.maps, rtol=0, atol=1e-3 * scale)


def test_a_method_with_boxes_of_its_own(tmp_path):
    path = tmp_path / "wide.png"
    picture(3).resize((200, 120)).save(path)
    method = SelfTaught(scales=(50,), spaces=("rgb",), boxes=2)
    crop = CenterCrop(size=96)
    chosen = localizer(ModelSettings(), cam=method, preprocess=crop, classes=TopK(k=3))
    item = chosen.prepare(FileSource("a", str(path)))
    (seen,) = chosen.run([item])
    found = chosen.finish(item, seen)
    x0, y0, x1, y1 = item.region
    assert any(c.boxes for c in found.classes)
    pixels = torch.from_numpy(item.pixels)[None]
    with torch.inference_mode():
        forward = chosen.classifier(pixels)
        raw = method.localized(chosen.classifier, pixels, forward, torch.tensor([seen.classes]))[1][
            0
        ]
    for prediction, own in zip(found.classes, raw, strict=True):
        assert len(prediction.boxes) == len(own) <= 2
        for box, before in zip(prediction.boxes, own, strict=True):
            assert box.score == before.score
            assert box.box.x0 == pytest.approx(x0 + before.box.x0 * (x1 - x0) / 96)
            assert box.box.y1 == pytest.approx(y0 + before.box.y1 * (y1 - y0) / 96)


def test_what_a_method_needs_is_asked_before_the_first_image():
    whole = ModelSettings(backbone="torchvision/mobilenet_v3_small", weights="none")
    with pytest.raises(ModelError, match="or use a gradient method"):
        Localizer(whole)
    with pytest.raises(ModelError, match=r"has no layer 'layer9'; its layers, nearest first"):
        Localizer(RANDOM, method=GradCam(layer="layer9"))


@pytest.mark.parametrize("size", [(400, 90), (90, 400)])
def test_very_wide_and_very_tall_pictures_are_warned_of(size, tmp_path):
    path = tmp_path / "strip.png"
    picture(1).resize(size).save(path)
    (warning,) = localizer()(path).warnings
    assert warning == (
        f"{size[0]}×{size[1]} pixels are squeezed to 96×96, 4.4 times as much along one side;"
        " localize.views={name: tiles, count: 5} sees it in parts"
    )
    assert localizer(views=Tiles(count=5))(path).warnings == ()
    assert localizer(preprocess=CenterCrop(size=96))(path).warnings == ()
    picture(1).resize((400, 100)).save(path)
    assert localizer()(path).warnings == ()
