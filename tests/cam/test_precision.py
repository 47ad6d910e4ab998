"""Networks in half precision, and all methods under autocast."""

from __future__ import annotations

import copy

import pytest
import torch
from PIL import Image

from camtool import Localizer
from camtool.annotations import NetworkClasses
from camtool.cam import AttentionRollout, Cam
from camtool.errors import ModelError
from tests.cam.test_capture import state
from tests.cam.test_methods import CLASSES, METHODS, SHAPE, VARIANTS, maps_of, network_for
from tests.networks import NETWORKS, classifier, images

# Of networks this small, the probabilities of two variants of an image may differ by less than
# half precision tells apart; and other segments come of a rounded picture.
ROUGH = ("recipro-cam", "self-taught", "class-free")
SUMS = ("cam", "score-cam", "ablation-cam", "eigen-cam", "attention-rollout")
"""Methods whose maps are sums of many products."""


def relative(maps):
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low).clamp(min=1e-12)


def check(name, actual, expected):
    assert actual.dtype == torch.float32
    assert actual.isfinite().all()
    if name not in ROUGH:
        assert (relative(actual) - relative(expected)).abs().mean() < 0.1
    if name in SUMS:
        assert not torch.equal(actual.bfloat16().float(), actual)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", VARIANTS)
def test_under_autocast(name, kind):
    network, batch = network_for(name), images(SHAPE)
    expected = maps_of(VARIANTS[name], network, batch, CLASSES)
    before = state(network)
    with torch.autocast("cpu", kind):
        actual = maps_of(VARIANTS[name], network, batch, CLASSES)
    assert state(network) == before
    check(name, actual, expected)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_network_in_half_precision(name, kind):
    network, batch = network_for(name), images(SHAPE)
    expected = maps_of(VARIANTS[name], network, batch, CLASSES)
    half = copy.deepcopy(network).to(kind)
    check(name, maps_of(VARIANTS[name], half, batch.to(kind), CLASSES), expected)


@pytest.mark.parametrize("name", ["convnext", "swin", "vit", "resnet18"])
def test_gradients_under_autocast_on_larger_networks(name):
    network, batch = classifier(name), images(NETWORKS[name][1])
    for method in (m for m in METHODS.values() if m.gradients):
        if method.name == "legrad" and name != "vit":
            continue
        expected = maps_of(method, network, batch, CLASSES)
        with torch.autocast("cpu", torch.bfloat16):
            check(method.name, maps_of(method, network, batch, CLASSES), expected)


def test_products_of_many_attentions_keep_their_precision():
    network, batch = classifier("vit"), images(NETWORKS["vit"][1])
    expected = maps_of(AttentionRollout(), network, batch, CLASSES)
    with torch.autocast("cpu", torch.bfloat16):
        actual = maps_of(AttentionRollout(), network, batch, CLASSES)
    assert (relative(actual) - relative(expected)).abs().mean() < 0.02


def test_the_map_of_a_norm_head_in_half_precision():
    network, batch = classifier("convnext"), images(NETWORKS["convnext"][1])
    expected = maps_of(Cam(), network, batch, CLASSES)
    half = copy.deepcopy(network).bfloat16()
    check("cam", maps_of(Cam(), half, batch.bfloat16(), CLASSES), expected)


@pytest.mark.parametrize("name", ["backprop", "legrad", "grad-cam", "score-cam"])
def test_an_overflow_is_said_by_name(name):
    half = copy.deepcopy(network_for(name)).half()
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.mul_(3e4)
    with pytest.raises(
        ModelError, match=r"test/net: .* overflows in float16: use bfloat16 or floa"
    ):
        maps_of(METHODS[name], half, images(SHAPE).half(), CLASSES)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_the_localizer_takes_a_network_in_half_precision(kind, tmp_path):
    Image.new("RGB", (96, 64), "red").save(tmp_path / "a.png")
    names = NetworkClasses.numbered(4)
    results = []
    for network in (network_for("cam"), copy.deepcopy(network_for("cam")).to(kind)):
        for cam in (Cam(), METHODS["grad-cam"], METHODS["rise"]):
            localizer = Localizer(network, method=cam, class_names=names)
            found = localizer(tmp_path / "a.png")
            assert found.maps[0].values.dtype == "float32"
            results.append((localizer.sha256, found.classes[0].score))
    assert results[0][1] == pytest.approx(results[3][1], abs=0.02)
    assert results[0][0] != results[3][0] == results[4][0]
