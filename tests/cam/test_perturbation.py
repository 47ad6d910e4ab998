"""Occlusion, RISE, patches and self-taught localization: against captum and by definition."""

from __future__ import annotations

import captum.attr
import numpy as np
import pytest
import torch

from camtool.cam import Occlusion, Patches, Rise, SelfTaught
from camtool.cam.passes import spread, windows
from camtool.cam.segments import Segment, _alike, merged, segments
from tests.cam.networks import NETWORKS, classifier, images, network

CLASSES = torch.tensor([[3, 7], [0, 9]])


def maps_of(method, name="vgg"):
    made, batch = classifier(name), images(NETWORKS[name][1])
    with torch.no_grad():
        return method.maps(made, batch, made(batch), CLASSES)


@pytest.mark.parametrize(
    "name", ["resnet18", "vgg", "mobilenet_v2", "convnext", "efficientnet_lite0"]
)
def test_captum_occlusion(name):
    batch = images(NETWORKS[name][1])
    maps = maps_of(Occlusion(side=24, stride=16, score="logit"), name)
    with torch.no_grad():
        theirs = captum.attr.Occlusion(network(name)).attribute(
            batch, (3, 24, 24), strides=(3, 16, 16), target=CLASSES[:, 1]
        )[:, :1]
    cells = torch.nn.functional.avg_pool2d(theirs, 16)[:, 0]
    scale = cells.abs().max().item()
    torch.testing.assert_close(maps[:, 1], cells, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("height", "width", "side", "stride"), [(32, 48, 16, 8), (5, 7, 3, 3), (4, 4, 9, 2)]
)
def test_squares_cover_every_pixel_and_spread_is_their_mean(height, width, side, stride):
    squares = windows((height, width), side, stride)
    values = torch.rand(len(squares), 2, generator=torch.Generator().manual_seed(0))
    actual = spread(values, squares, (height, width))
    for y in range(height):
        for x in range(width):
            over = [i for i, s in enumerate(squares) if s[0] <= y < s[2] and s[1] <= x < s[3]]
            assert over
            torch.testing.assert_close(actual[:, y, x], values[over].mean(0))


def test_the_number_of_squares_is_as_stated():
    squares = windows((224, 224), Occlusion().side, Occlusion().stride)
    assert f"N = {len(squares)} squares at 224 pixels" in Occlusion.passes


def test_pixels_without_a_square_are_zero():
    values = spread(torch.ones(1, 1), [(0, 0, 1, 2)], (2, 3))
    assert values.tolist() == [[[1, 1, 0], [0, 0, 0]]]


def test_rise_is_the_weighted_mean_of_its_masks():
    method = Rise(masks=7, cells=3, stride=1, chunk=3, probability=0.4)
    made, batch = classifier("vgg"), images(NETWORKS["vgg"][1])
    masks = method._masks(*method._draw((32, 48)), (32, 48))
    assert masks.shape == (7, 1, 32, 48)
    assert masks.min() >= 0
    assert masks.max() <= 1
    with torch.no_grad():
        scores = made(batch[0] * masks).logits.softmax(1)[:, 7]
    expected = (scores[:, None, None] * masks[:, 0]).sum(0) / (7 * 0.4)
    torch.testing.assert_close(maps_of(method)[0, 1], expected, rtol=1e-4, atol=1e-6)


def test_rise_masks_are_seen_with_their_probability():
    masks = Rise(masks=2000, probability=0.3)._masks(
        *Rise(masks=2000, probability=0.3)._draw((28, 42)), (28, 42)
    )
    assert masks.mean().item() == pytest.approx(0.3, abs=0.01)
    assert masks.mean(0).std().item() < 0.02


def test_rise_draws_the_same_cells_by_parts_as_at_once():
    method = Rise(masks=2500, cells=5, seed=3)
    cells, places = method._draw((20, 30))
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(cells, torch.rand(2500, 5, 5, generator=generator) < 0.5)
    room = torch.tensor([4, 6])
    assert torch.equal(places, (torch.rand(2500, 2, generator=generator) * room).long())
    assert cells.dtype == torch.bool


def test_patches_lie_within_the_picture_and_overlap():
    method = Patches()
    squares = method.squares((224, 224))
    assert f"N = {len(squares)} patches" in method.passes
    for y0, x0, y1, x1 in method.squares((96, 160)):
        assert 0 <= y0 < y1 <= 96
        assert 0 <= x0 < x1 <= 160
        assert y1 - y0 == x1 - x0


def test_patches_by_definition():
    method = Patches(scales=(1.0, 2.0), overlap=0.5, power=2.0, stride=1)
    made, batch = classifier("vgg"), images(NETWORKS["vgg"][1])
    squares = method.squares((32, 48))
    values = []
    for y0, x0, y1, x1 in squares:
        cut = batch[:1, :, y0:y1, x0:x1]
        large = torch.nn.functional.interpolate(cut, (32, 48), mode="bilinear")
        with torch.no_grad():
            values.append(made(large).logits.softmax(1)[0, 7] ** 2)
    values = torch.stack(values)
    over = [i for i, s in enumerate(squares) if s[0] <= 20 < s[2] and s[1] <= 30 < s[3]]
    maps = maps_of(method)
    torch.testing.assert_close(maps[0, 1, 20, 30], values[over].mean(), rtol=1e-4, atol=1e-7)
    scores = method.image_scores(made, batch, CLASSES)
    torch.testing.assert_close(scores[0, 1], values.mean(), rtol=1e-4, atol=1e-7)


class Patch(torch.nn.Module):
    """Class 0 is the brightness of a patch of the picture, class 1 a constant."""

    def forward(self, batch):
        bright = batch[:, :, 8:20, 12:36].mean((1, 2, 3))
        return torch.stack([8 * bright, torch.zeros_like(bright)], 1)


def drawn():
    picture = torch.full((1, 3, 32, 48), -1.0)
    picture[:, :, 8:20, 12:36] = 1.0
    return picture


def with_patch():
    from camtool.models.classifier import Classifier, InputSpec
    from camtool.models.splitting import keep_whole

    parts = keep_whole(Patch(), drawn(), "")
    spec = InputSpec((48, 32), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    return Classifier("test/patch", *parts, spec).eval()


@pytest.mark.parametrize("drop", ["class", "class-free"])
def test_self_taught_finds_the_part_that_the_score_stands_on(drop):
    made, picture = with_patch(), drawn()
    method = SelfTaught(scales=(20,), min_segment=0.02, stride=1, drop=drop)
    if drop == "class-free":
        # The sum of all classes never drops: of two classes both are among the five best.
        maps, boxes = method.localized(made, picture, made(picture), torch.tensor([[0]]))
        assert boxes == [[()]]
        assert maps.abs().max() < 1e-6
        return
    maps, boxes = method.localized(made, picture, made(picture), torch.tensor([[0, 1]]))
    ((found, other),) = boxes
    (best,) = found
    assert best.box.xyxy == pytest.approx((12, 8, 36, 20), abs=1)
    share = 1 - best.box.area / (32 * 48)
    before, after = (torch.sigmoid(torch.tensor(v)).item() for v in (8.0, 0.0))
    assert best.score == pytest.approx((before - after) * share, abs=1e-3)
    # Nothing speaks for the constant class: its score rises without the patch.
    assert other == ()
    inside = maps[0, 0, 8:20, 12:36].mean()
    assert inside > 3 * (maps[0, 0].sum() - 288 * inside) / (32 * 48 - 288)


def test_self_taught_hypotheses_do_not_overlap():
    method = SelfTaught(scales=(10, 40), boxes=5, overlap=0.2, min_segment=0.005)
    made, batch = classifier("vgg"), images(NETWORKS["vgg"][1])
    with torch.no_grad():
        _, boxes = method.localized(made, batch, made(batch), CLASSES)
    from camtool.geometry import iou

    for found in boxes[0]:
        scores = [b.score for b in found]
        assert scores == sorted(scores, reverse=True)
        pairs = [(a.box, b.box) for i, a in enumerate(found) for b in found[:i]]
        assert all(iou(a, b) <= 0.2 for a, b in pairs)
    assert max(len(found) for found in boxes[0]) > 1


def test_without_boxes_of_its_own_the_map_is_the_same():
    made, picture = with_patch(), drawn()
    method, classes = SelfTaught(scales=(20,), min_segment=0.02), torch.tensor([[0, 1]])
    maps, boxes = method.localized(made, picture, made(picture), classes)
    bare = method.model_copy(update={"boxes": 0})
    same, none = bare.localized(made, picture, made(picture), classes)
    assert boxes is not None
    assert none is None
    assert torch.equal(same, maps)


def test_by_the_drop_alone_the_whole_picture_is_the_best_hypothesis():
    made, picture = with_patch(), drawn()
    best = {}
    for by_size in (True, False):
        method = SelfTaught(scales=(20,), min_segment=0.02, by_size=by_size, overlap=1, boxes=50)
        (((best[by_size], *_),),) = method.localized(
            made, picture, made(picture), torch.tensor([[0]])
        )[1]
    assert best[True].box.xyxy == pytest.approx((12, 8, 36, 20), abs=1)
    # Without the picture, nor without the patch, is there anything to tell class 0 by.
    drop = torch.sigmoid(torch.tensor(8.0)).item() - 0.5
    assert best[False].score == pytest.approx(drop, abs=1e-3)
    assert best[False].box.area >= best[True].box.area


def segment(x, width, label, neighbours, colour=0):
    colours = np.zeros(48)
    colours[[colour, 16 + colour, 32 + colour]] = 1 / 3
    bounds = 0, x, 10, x + width
    return Segment(bounds, 10 * width, colours, frozenset(neighbours), frozenset({label}))


def test_what_makes_segments_alike_as_in_the_authors_program():
    """`1 - max(1-a, 1-b)·|a-b|`, one less the shares of the picture of both and of the gaps in
    their common box, and what the histograms have in common."""
    a, b = segment(0, 4, 0, {1}), segment(6, 2, 1, {0}, colour=3)
    expected = (1 - 0.7 * 0.2) + (1 - 60 / 400) + (1 - 20 / 400) + 0
    assert _alike(a, b, (0.5, 0.3), 400) == pytest.approx(expected / 4)
    assert _alike(b, a, (0.3, 0.5), 400) == pytest.approx(expected / 4)


def test_similar_drops_merge_first_and_a_score_that_rises_has_not_dropped():
    four = [segment(4 * i, 4, i, {i - 1, i + 1}) for i in range(4)]
    drops = {0: -0.9, 4: 0.0, 8: 0.9, 12: 0.85}

    def drop(bounds):
        return drops[bounds[1]] if bounds[3] - bounds[1] == 4 else 0.0

    first, second, _ = merged(four, drop, 1600)
    assert {first.bounds, second.bounds} == {(0, 0, 10, 8), (0, 8, 10, 16)}


@pytest.mark.parametrize("space", ["rgb", "lab"])
def test_segments_are_a_partition(space):
    rgb = (drawn()[0].permute(1, 2, 0).double().numpy() + 1) / 2
    found = segments(rgb, space, 20, 20)
    assert sum(s.size for s in found) == 32 * 48
    assert sorted(label for s in found for label in s.labels) == list(range(len(found)))
    for segment in found:
        assert segment.colours.sum() == pytest.approx(1)
        assert all(segment.labels <= found[n].neighbours for n in segment.neighbours)
    inside = max((s for s in found if s.bounds[0] >= 8 and s.bounds[2] <= 20), key=lambda s: s.size)
    around = max(found, key=lambda s: s.size)
    assert np.isclose(np.minimum(inside.colours, around.colours).sum(), 0)


def test_merging_ends_with_the_whole_picture():
    rgb = (drawn()[0].permute(1, 2, 0).double().numpy() + 1) / 2
    found = segments(rgb, "rgb", 20, 20)
    steps = list(merged(found, lambda _: 0.0, 32 * 48))
    assert len(steps) == len(found) - 1
    assert steps[-1].size == 32 * 48
    assert steps[-1].bounds == (0, 0, 32, 48)
    assert steps[-1].colours.sum() == pytest.approx(1)
    for step in steps:
        assert step.size == sum(found[i].size for i in step.labels)
