"""What holds for every method, on networks with and without a linear head."""

from __future__ import annotations

import copy
import re
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter

from camtool.cam import (
    CAMS,
    AblationCam,
    Backprop,
    Cam,
    CamMethod,
    LayerCam,
    Occlusion,
    Patches,
    ReciproCam,
    Rise,
    ScoreCam,
    SelfTaught,
    SmoothGradCamPlusPlus,
)
from camtool.errors import ModelError, SettingsError
from camtool.models.foreground import attach, new_head
from tests.cam.test_capture import state
from tests.networks import Gap, TokenNetwork, Vgg, classifier_of, images

SHAPE = (32, 48)
CLASSES = torch.tensor([[1, 3], [0, 0]])

# Settings under which a method is quick; all others are quick by default.
QUICK = {
    "smooth-grad-cam++": SmoothGradCamPlusPlus(samples=2),
    "rise": Rise(masks=9, cells=3),
    "occlusion": Occlusion(side=16, stride=16),
    "patches": Patches(scales=(1.0, 1.5)),
    "self-taught": SelfTaught(scales=(50,), spaces=("rgb",)),
}
METHODS = {kind().name: QUICK.get(kind().name, kind()) for kind in CAMS}
BY_PROBABILITY = ("recipro-cam", "rise", "occlusion", "patches", "self-taught")
TOKENS = ("attention-rollout", "legrad", "ts-cam")
VARIANTS = {
    **{name: method for name, method in METHODS.items()},
    "guided": Backprop(guided=True),
    "smoothgrad": Backprop(samples=2, stride=4),
    "several layers": LayerCam(layers=("first", "second")),
    "class-free": SelfTaught(scales=(50,), spaces=("rgb",), drop="class-free"),
}


def make(network=None, shape=SHAPE):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return classifier_of(network() if network else Gap(), shape)


def network_for(name):
    if name == "class-free":  # of five classes, the five best are all, and their sum never drops
        return make(lambda: Gap(classes=9))
    if name == "foreground":
        return with_head(make())
    return make(TokenNetwork if name in TOKENS else Gap)


def with_head(network):
    attach(network, new_head(network, seed=0, stride=4).eval())
    return network


def maps_of(method, network, batch, classes):
    method.check(network)
    with torch.inference_mode(not method.gradients), torch.no_grad():
        return method.maps(network, batch, network(batch), classes)


@pytest.mark.parametrize("name", VARIANTS)
def test_shape_range_and_an_untouched_network(name):
    network, batch = network_for(name), images(SHAPE)
    kept = batch.clone()
    before = state(network)
    maps = maps_of(VARIANTS[name], network, batch, CLASSES)
    assert state(network) == before
    assert torch.equal(batch, kept)
    assert maps.shape[:2] == CLASSES.shape
    assert maps.dtype == torch.float32
    assert maps.isfinite().all()
    assert not maps.requires_grad
    # On the grid of a picture that is wider than high, and different for the two pictures.
    assert maps.shape[3] * 2 == maps.shape[2] * 3
    assert (maps[0, 0] - maps[1, 0]).abs().max() > 0
    torch.testing.assert_close(maps[1, 0], maps[1, 1], rtol=0, atol=0)


@pytest.mark.parametrize("name", VARIANTS)
def test_batched_is_single(name):
    network, batch = network_for(name), images(SHAPE, 3)
    classes = torch.tensor([[0, 1], [2, 3], [3, 0]])
    maps = maps_of(VARIANTS[name], network, batch, classes)
    for i in range(3):
        alone = maps_of(VARIANTS[name], network, batch[i : i + 1], classes[i : i + 1])
        torch.testing.assert_close(alone[0], maps[i], rtol=1e-3, atol=1e-4 * maps.abs().max())


@pytest.mark.parametrize("name", VARIANTS)
def test_from_inference_mode_with_frozen_weights(name):
    network, batch = network_for(name), images(SHAPE)
    expected = maps_of(VARIANTS[name], network, batch, CLASSES)
    network.requires_grad_(False)
    with torch.inference_mode():
        actual = VARIANTS[name].maps(network, batch.clone(), network(batch), CLASSES)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", BY_PROBABILITY)
def test_probabilities_of_several_classes_an_image(name):
    """The score of a class depends on no other class: one more, however sure, changes no map."""
    network, batch = network_for(name), images(SHAPE, 1)
    more = copy.deepcopy(network)
    forward = more.head.forward
    more.head.forward = lambda features: torch.cat(
        [forward(features), torch.full((len(features), 1), 50.0)], 1
    )
    for each in (network, more):
        each.scores = "sigmoid"
    expected = maps_of(VARIANTS[name], network, batch, CLASSES[:1])
    actual = maps_of(VARIANTS[name], more, batch, CLASSES[:1])
    torch.testing.assert_close(actual, expected)
    network.scores = "softmax"
    assert not torch.allclose(maps_of(VARIANTS[name], network, batch, CLASSES[:1]), expected)


@pytest.mark.parametrize("name", METHODS)
def test_one_class(name):
    """Its probability is a sigmoid: softmax would be 1 whatever the network sees."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = TokenNetwork(classes=1) if name in TOKENS else Gap(classes=1)
        network = classifier_of(made, SHAPE)
    network = with_head(network) if name == "foreground" else network
    method, batch = METHODS[name], images(SHAPE, 1)
    maps = maps_of(method, network, batch, torch.zeros(1, 1, dtype=torch.int64))
    assert maps.shape[:2] == (1, 1)
    assert maps.isfinite().all()
    assert maps.std() > 0


@pytest.mark.parametrize("name", [n for n in METHODS if n not in TOKENS])
def test_a_grid_of_one_place(name):
    """A picture so small that one place is left of it; the network was made for larger ones."""
    network = network_for(name)
    maps = maps_of(METHODS[name], network, images((4, 4), 1), torch.tensor([[2]]))
    assert maps.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(("index", "shown"), [(4, "4"), (-1, "-1")])
def test_a_class_out_of_range(name, index, shown):
    network, batch = network_for(name), images(SHAPE, 1)
    message = f"class {shown} is out of range: the network has 4 classes, 0 to 3"
    with pytest.raises(ValueError, match=message):
        maps_of(METHODS[name], network, batch, torch.tensor([[1, index]]))
    for wrong in (torch.tensor([1]), torch.zeros(1, 0, dtype=torch.int64)):
        with pytest.raises(
            ValueError, match=r"of shape \(B, n\), n at least 1, for 1 images; got \(1"
        ):
            METHODS[name].maps(network, batch, network(batch), wrong)
    two = images(SHAPE)
    with pytest.raises(ValueError, match=r"for 2 images; got \(1, 1\)"):
        METHODS[name].maps(network, two, network(two), torch.tensor([[1]]))


@pytest.mark.parametrize("name", METHODS)
def test_a_network_in_training_mode_is_refused(name):
    network, batch = copy.deepcopy(network_for(name)), images(SHAPE)
    forward = network(batch)
    network.train()
    with pytest.raises(ModelError, match=r"is in training mode: call its eval\(\) first"):
        METHODS[name].maps(network, batch, forward, CLASSES)


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_no_part_of_a_graph(name):
    network, batch = network_for(name), images(SHAPE)
    maps = METHODS[name].maps(network, batch, network(batch), CLASSES)
    assert not maps.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_a_network_without_a_linear_head(name):
    network, batch = make(Vgg), images(SHAPE)
    if METHODS[name].needs.startswith(("linear", "attention", "gradient, attention")):
        with pytest.raises(ModelError, match=r"test/net.*(lies between the pooling|no attention)"):
            METHODS[name].check(network)
        return
    assert maps_of(METHODS[name], network, batch, CLASSES).isfinite().all()


class Cut(Gap):
    """No gradient comes through to anything before the scores."""

    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.gradients and n != "legrad"])
def test_a_network_without_gradients(name):
    from camtool.models.classifier import Classifier
    from camtool.models.splitting import keep_whole

    parts = keep_whole(Cut().eval(), images(SHAPE, 1), "")
    network = Classifier("test/net", *parts, make().spec).eval()
    with pytest.raises(ModelError, match=r"its scores have no gradient at .*; use a method"):
        maps_of(METHODS[name], network, images(SHAPE), CLASSES)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if "chunk" in type(m).model_fields])
def test_chunked_is_unchunked(name):
    network, batch = make(Vgg).double(), images(SHAPE).double()
    whole = maps_of(METHODS[name].model_copy(update={"chunk": 4096}), network, batch, CLASSES)
    for chunk in (1, 5):
        part = maps_of(METHODS[name].model_copy(update={"chunk": chunk}), network, batch, CLASSES)
        assert torch.equal(part, whole)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if "chunk" in type(m).model_fields])
def test_no_pass_is_larger_than_a_chunk(name):
    network, batch = make(), images(SHAPE, 1)
    sizes = []
    handle = network.features.register_forward_hook(lambda *a: sizes.append(len(a[2])))
    head = network.head.register_forward_hook(lambda *a: sizes.append(len(a[2])))
    maps_of(METHODS[name].model_copy(update={"chunk": 3}), network, batch, CLASSES[:1])
    handle.remove()
    head.remove()
    assert max(sizes) <= 3
    assert sum(sizes) > 3


@pytest.mark.parametrize("after", [0, 1, 3])
@pytest.mark.parametrize("name", VARIANTS)
def test_an_exception_leaves_the_network_as_it_was(name, after):
    """In the first pass that the method makes itself, or in one of its later ones."""
    network, batch = network_for(name), images(SHAPE)
    method = VARIANTS[name]
    if "layer" in type(method).model_fields:  # so that there is a pass
        method = method.model_copy(update={"layer": "second"})
    forward, passes = network(batch), []

    def fail(*_):
        passes.append(1)
        if len(passes) > after:
            raise ZeroDivisionError

    # Of a transformer after its blocks, so that their hooks have seen the pass.
    handle = list(network.features.modules())[-1].register_forward_hook(fail)
    before = state(network)
    try:
        with torch.inference_mode(not method.gradients):
            method.maps(network, batch, forward, CLASSES)
    except ZeroDivisionError:
        assert len(passes) == after + 1
    else:
        assert len(passes) <= after or name in ("cam", "foreground")
    assert state(network) == before
    assert all(p.grad is None for p in network.parameters())
    handle.remove()


PASSES = {
    # Images that pass the features and gradients that are asked for, beside the first forward,
    # for one image and two classes.
    "cam": (0, 0), "grad-cam": (0, 2), "grad-cam++": (0, 2), "xgrad-cam": (0, 2),
    "hires-cam": (0, 2), "layer-cam": (0, 2), "smooth-grad-cam++": (2, 4), "backprop": (1, 2),
    "score-cam": (5, 0), "ablation-cam": (0, 0), "eigen-cam": (0, 0), "recipro-cam": (0, 0),
    "foreground": (0, 0), "rise": (9, 0), "occlusion": (6, 0), "patches": (None, 0),
    "self-taught": (None, 0),
    "attention-rollout": (1, 0), "legrad": (3, 4), "ts-cam": (1, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_the_cost_is_what_the_method_says(name, monkeypatch):
    network, batch = network_for(name), images(SHAPE, 1)
    forward = network(batch)
    METHODS[name].check(network)
    images_passed, backward = [], []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: backward.append(1) or grad(*a, **k))
    handle = network.features.register_forward_hook(lambda *a: images_passed.append(len(a[1][0])))
    METHODS[name].maps(network, batch, forward, CLASSES[:1])
    handle.remove()
    expected = PASSES[name]
    assert len(backward) == expected[1]
    if expected[0] is not None:
        assert sum(images_passed) == expected[0]
    # A table in words has no other number of forward passes than the first and those counted.
    assert METHODS[name].passes.startswith(("1 forward", "1 + ", "1 (+1)", "2 "))


def test_the_union_is_the_list():
    assert get_args(get_args(CamMethod)[0]) == CAMS
    assert len(METHODS) == len(CAMS)
    for kind in CAMS:
        assert kind.paper and kind.needs and kind.passes
        assert TypeAdapter(CamMethod).validate_python({"name": kind().name}) == kind()


@pytest.mark.parametrize("kind", CAMS)
def test_each_is_described_by_formula_paper_needs_cost_and_example(kind):
    words = " ".join(kind.__doc__.split())
    assert re.search(r"`[^`]*(=|Π|⊙|·)[^`]*`", words)
    assert "https://" in words
    assert f"Needs: {kind.needs}. Cost: {kind.passes}. Example: >>> " in words


def test_settings_that_make_no_sense():
    message = r"stride \(9\) is more than side \(8\): .* set stride to 8 or less"
    with pytest.raises(SettingsError, match=message):
        Occlusion(side=8, stride=9)
    with pytest.raises(ModelError, match=r"side 48 hides its whole input of 48×32: set cam.side"):
        Occlusion(side=48).check(make())
    message = r"a logit may be negative, which has no power of 0.5: set power to 1, or score to"
    with pytest.raises(SettingsError, match=message):
        Patches(score="logit", power=0.5)
    with pytest.raises(SettingsError, match="must be at least 1"):
        ScoreCam(chunk=0)


@pytest.mark.parametrize("kind", [ScoreCam, AblationCam, ReciproCam])
def test_a_named_layer_gives_what_the_default_layer_gives(kind):
    network, batch = make(), images(SHAPE)
    by_default = maps_of(kind(), network, batch, CLASSES)
    # The features are those of the last activation; its hook replaces them in the whole network.
    torch.testing.assert_close(maps_of(kind(layer="act"), network, batch, CLASSES), by_default)


def test_cam_is_refused_before_the_first_image():
    with pytest.raises(ModelError, match="or use a gradient method"):
        Cam().check(make(Vgg))
