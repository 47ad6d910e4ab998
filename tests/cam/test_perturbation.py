"""Occlusion, RISE and patches: against captum and by definition."""

from __future__ import annotations

import captum.attr
import pytest
import torch

from camtool.cam import Occlusion, Patches, Rise
from camtool.cam.passes import spread, windows
from tests.networks import NETWORKS, classifier, images, network

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
