"""Features and gradients at layers; the network is left as it was, whatever happens."""

from __future__ import annotations

import copy
import threading

import pytest
import torch
from torch import nn

from camtool.cam.capture import capture, layer_names
from camtool.errors import ModelError
from camtool.models.tracing import EnteredModule
from tests.networks import Gap, Vgg, classifier, classifier_of, images

SHAPE = (32, 48)
CLASSES = torch.tensor([1, 3])


def made(network=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return classifier_of(network or Gap(), SHAPE)


def state(network):
    """Everything that must not change: hooks, modes, gradients, flags, values."""
    modules = {
        name: (
            module.training,
            *(list(getattr(module, h)) for h in vars(module) if h.endswith("_hooks")),
        )
        for name, module in network.named_modules()
    }
    parameters = {
        name: (p.requires_grad, p.grad, p.detach().clone().numpy().tobytes())
        for name, p in network.named_parameters()
    }
    buffers = {name: b.clone().numpy().tobytes() for name, b in network.named_buffers()}
    return modules, parameters, buffers, torch.is_grad_enabled(), torch.is_inference_mode_enabled()


def by_autograd(network, batch, layer):
    """Features and gradients of a named layer, by a plain graph over the whole network."""
    kept = []
    # What goes on is a copy, which a ReLU in place may overwrite.
    handle = layer_names(network)[layer].register_forward_hook(
        lambda *a: kept.append(a[2]) or a[2].clone()
    )
    batch = batch.clone().requires_grad_()
    logits = network(batch).logits
    handle.remove()
    score = logits.gather(1, CLASSES[:, None]).sum()
    return kept[-1], torch.autograd.grad(score, kept[-1])[0]


@pytest.mark.parametrize("layer", ["first", "second"])
def test_named_layers_against_a_plain_graph(layer):
    network, batch = made(), images(SHAPE)
    expected = by_autograd(network, batch, layer)
    with capture(network, (layer,)) as captured:
        logits = captured.scores(batch)
        (features,), (gradients,) = captured.grids(), captured.gradients(CLASSES)
    torch.testing.assert_close(logits, network(batch).logits)
    # What follows is a ReLU in place: the features are those before it.
    assert (features < 0).any()
    torch.testing.assert_close(gradients, expected[1])
    torch.testing.assert_close(features, expected[0])


def test_several_layers_in_one_pass():
    network, batch = made(), images(SHAPE)
    with capture(network, ("first", "second")) as captured:
        captured.scores(batch)
        several = captured.gradients(CLASSES)
    for layer, gradients in zip(("first", "second"), several, strict=True):
        torch.testing.assert_close(gradients, by_autograd(network, batch, layer)[1])


def test_without_a_name_the_features_are_those_of_the_pass():
    network, batch = made(), images(SHAPE)
    with torch.inference_mode():
        forward = network(batch)
        with capture(network) as captured:
            captured.scores(batch, forward)
            (features,), (gradients,) = captured.grids(), captured.gradients(CLASSES)
    assert torch.equal(features, forward.features)
    cells = features.shape[2] * features.shape[3]
    expected = network.head.weight[CLASSES][:, :, None, None].expand_as(gradients) / cells
    torch.testing.assert_close(gradients, expected)


@pytest.mark.parametrize("layers", [(), ("first",), ("features.3", "avgpool")])
@pytest.mark.parametrize("mode", ["plain", "no_grad", "inference", "frozen"])
def test_the_network_is_left_as_it_was(layers, mode):
    network = made(Vgg() if "avgpool" in layers else None)
    for parameter in network.parameters():
        parameter.requires_grad_(mode != "frozen")
        parameter.grad = None
    next(network.parameters()).grad = torch.ones_like(next(network.parameters()))
    handle = network.register_forward_hook(lambda *_: None)
    contexts = {"no_grad": torch.no_grad(), "inference": torch.inference_mode()}
    batch = images(SHAPE)
    with contexts.get(mode, torch.enable_grad()):
        before = state(network)
        with capture(network, layers) as captured:
            captured.scores(batch, network(batch))
            assert all(g.any() for g in captured.gradients(CLASSES))
        assert state(network) == before
        with pytest.raises(ZeroDivisionError), capture(network, layers) as captured:
            captured.scores(batch)
            raise ZeroDivisionError
        assert state(network) == before
        with pytest.raises(RuntimeError), capture(network, layers) as captured:
            captured.scores(batch[:, :2])  # two colours: the network itself fails
        assert state(network) == before
    assert not batch.requires_grad
    assert batch.grad is None
    handle.remove()


def test_hooks_see_the_passes_of_their_own_thread_only():
    network = made()
    mine, others = images(SHAPE, seed=1), images(SHAPE, seed=2)
    stop, errors = threading.Event(), []

    def disturb():
        while not stop.is_set():
            with torch.inference_mode(), capture(network, ("second",), gradients=False) as c:
                c.scores(others)
                if not torch.equal(c.grids()[0], expected[1]):
                    errors.append("another thread's features")

    def features(batch):
        with capture(network, ("second",)) as captured:
            captured.scores(batch)
            captured.gradients(CLASSES)
            return captured.grids()[0]

    expected = features(mine), features(others)
    thread = threading.Thread(target=disturb)
    thread.start()
    for _ in range(50):
        assert torch.equal(features(mine), expected[0])
    stop.set()
    thread.join()
    assert not errors


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layers", [(), ("second",)])
def test_half_precision(kind, layers):
    network, batch = made(), images(SHAPE)
    with capture(network, layers) as captured:
        captured.scores(batch)
        expected = *captured.grids(), *captured.gradients(CLASSES)
    half = copy.deepcopy(network).to(kind)
    with torch.inference_mode(), capture(half, layers) as captured:
        captured.scores(batch.to(kind), half(batch.to(kind)))
        actual = *captured.grids(), *captured.gradients(CLASSES)
    for a, b in zip(actual, expected, strict=True):
        assert a.dtype == torch.float32
        # A rounded feature may fall on the other side of a ReLU, here and there.
        assert (a - b).abs().mean() < 0.02 * b.abs().mean()


@pytest.mark.parametrize("layers", [(), ("second",)])
@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_autocast_after_a_pass_in_inference_mode(layers, name):
    network = classifier(name)
    shape = (160, 160) if name == "vit" else (64, 96)
    layers = layers and (("blocks.2",) if name == "vit" else ("layer3",))
    batch = images(shape)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            forward = network(batch)
        with capture(network, layers) as captured:
            captured.scores(batch, forward)
            assert captured.gradients(CLASSES)[0].isfinite().all()


def test_an_overflow_has_a_name():
    network = made().half()
    with torch.no_grad():
        network.features.first.weight.mul_(60000)
        network.features.second.weight.mul_(60000)
    with (
        pytest.raises(ModelError, match=r"layer 'second' overflows in float16: use bfloat16 or fl"),
        capture(network, ("second",)) as captured,
    ):
        captured.scores(images(SHAPE).half())


class Odd(Gap):
    """A layer that answers with a pair, one that is never called, and one that cuts the graph."""

    def __init__(self):
        super().__init__()
        self.pair, self.idle, self.flat = Pair(), nn.ReLU(), nn.Flatten()

    def forward(self, images):
        self.flat(images)
        return super().forward(self.pair(images)[0])


class Pair(nn.Module):
    def forward(self, images):
        return images, images


class Cut(Gap):
    def forward(self, images):
        return super().forward(images.detach()).detach()


def test_a_wrong_name_answers_with_those_that_exist():
    message = "test/net has no layer 'secnd'; its layers, nearest first: second"
    with pytest.raises(ModelError, match=message), capture(made(), ("secnd",)):
        pass
    message = r"nearest first: layer4.* and \d+ more$"
    with pytest.raises(ModelError, match=message), capture(classifier("resnet18"), ("layr4",)):
        pass


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("pair", "layer 'pair' gives a tuple, not one tensor: name a layer around it, or"),
        ("idle", "layer 'idle' is not used when the network classifies: name another"),
        (
            "flat",
            r"layer 'flat' gives \(2, 4608\) for an input of \(2, 3, 32, 48\): no grid",
        ),
        ("fc", r"layer 'fc' gives \(2, 4\) for an input of \(2, 3, 32, 48\): no grid"),
    ],
)
def test_layers_that_give_no_grid(layer, message):
    from camtool.models.classifier import Classifier
    from camtool.models.splitting import keep_whole

    network = Odd().eval()
    parts = keep_whole(network, images(SHAPE, 1), "")
    odd = Classifier("test/net", *parts, made().spec).eval()
    with pytest.raises(ModelError, match=message), capture(odd, (layer,)) as captured:
        captured.scores(images(SHAPE))


def test_scores_without_a_gradient():
    with (
        pytest.raises(
            ModelError, match=r"its scores have no gradient at layer 'second'; use a met"
        ),
        capture(made(Cut()), ("second",)) as captured,
    ):
        captured.scores(images(SHAPE))
        captured.gradients(CLASSES)


class Listed(nn.Module):
    """Layers in a list, and an end that is not linear."""

    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.ReLU()])

    def forward(self, pictures):
        for step in self.steps:
            pictures = step(pictures)
        return pictures.mean((2, 3)).tanh()


def test_names_are_those_of_the_networks_own_code():
    names = layer_names(classifier("resnet18"))
    assert {"conv1", "layer1", "layer4", "layer4.1", "layer4.1.conv2"} <= names.keys()
    # What the tracer enters is called with its result; a list, as its code has it, is its last.
    assert type(names["layer4"]) is EnteredModule
    names = layer_names(classifier_of(Listed(), SHAPE))
    assert names["steps"] is names["steps.1"]
    assert {"features", "features.0", "avgpool"} <= layer_names(classifier("vgg")).keys()
