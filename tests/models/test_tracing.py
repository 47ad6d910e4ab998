"""A network that is cut apart acts in training as the whole does, and its layers can be named."""

from __future__ import annotations

import copy

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from camtool.cam import LayerCam
from camtool.cam.capture import layer_names
from camtool.errors import ModelError
from camtool.models import ModelSettings
from camtool.models.classifier import Classifier
from camtool.models.splitting import split_network
from camtool.models.tracing import EnteredModule
from camtool.structures import InputSpec
from tests.networks import calibrated, classifier_of, images, library_network

# With batch norm, stochastic depth, dropout before the scores, windows of attention, layer norm.
NETWORKS = [
    "timm/tf_efficientnet_lite0",
    "timm/test_resnet",
    "timm/convnext_atto",
    "torchvision/efficientnet_b0",
    "torchvision/mobilenet_v2",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/convnext_tiny",
    "torchvision/swin_t",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_gradients_and_statistics_are_the_networks_own(name, tmp_path):
    network, path = library_network(name), tmp_path / "weights.safetensors"
    safetensors.torch.save_model(network, str(path))
    classifier = ModelSettings(backbone=name, weights=str(path)).build()
    results = []
    for module in (network, classifier):
        module.train()
        torch.manual_seed(0)
        out = module(images((64, 64), 4))
        logits = out if isinstance(out, torch.Tensor) else out.logits
        logits.square().mean().backward()
        # The stem's gradient has passed through every layer.
        stem = next(p for p in module.parameters() if p.ndim == 4)
        statistics = [b for n, b in module.named_buffers() if "running" in n or "tracked" in n]
        results.append((logits.detach(), stem.grad, statistics))
    (logits, gradient, before), (own, own_gradient, after) = results
    torch.testing.assert_close(own, logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-3, atol=1e-6)
    assert len(before) == len(after)
    assert all(torch.allclose(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", ["torchvision/googlenet", "torchvision/inception_v3"])
def test_auxiliary_scores_are_no_part_of_it(name):
    classifier = ModelSettings(backbone=name, weights="none").build(0, 5)
    assert classifier.untrainable is None
    assert not [key for key in classifier.state_dict() if "aux" in key.lower()]
    assert classifier.train()(images((107, 107), 4)).logits.shape == (4, 5)


def test_batch_norm_learns_in_training_only():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(0, 5)
    norms = [m for m in classifier.modules() if isinstance(m, nn.BatchNorm2d)]
    before = [n.running_mean.clone() for n in norms]
    classifier(images((64, 64), 4))
    assert all(torch.equal(a, n.running_mean) for a, n in zip(before, norms, strict=True))
    classifier.train()(images((64, 64), 4))
    assert not any(torch.equal(a, n.running_mean) for a, n in zip(before, norms, strict=True))
    assert all(n.num_batches_tracked == 1 for n in norms)


def test_every_weight_gets_a_gradient_and_channels_last_changes_nothing():
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        classifier = ModelSettings(output_stride=16).build(0, 5).train().to(memory_format=layout)
        logits = classifier(images((64, 96), 4).contiguous(memory_format=layout)).logits
        F.cross_entropy(logits, torch.tensor([0, 1, 2, 3])).backward()
        grads = {n: p.grad for n, p in classifier.named_parameters()}
        assert all(g is not None and g.isfinite().all() for g in grads.values())
        results.append((logits.detach(), grads["head.weight"]))
    torch.testing.assert_close(*(r[0] for r in results), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(*(r[1] for r in results), rtol=1e-3, atol=1e-4)


class Block(nn.Module):
    """Dropout by function, which a trace in evaluation mode would leave out for good."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, grid):
        return F.dropout(self.conv(grid), 0.5, self.training)


class Network(nn.Module):
    def __init__(self, outside=False):
        super().__init__()
        self.outside = outside
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.blocks = nn.Sequential(Block(), nn.Sequential(Block()))
        self.fc = nn.Linear(4, 5)

    def forward(self, images):
        grid = self.blocks(self.stem(images))
        if self.outside and self.training:
            grid = grid * 2
        return self.fc(F.dropout(grid.mean((2, 3)), 0.25, self.training))


def cut(network):
    example = torch.linspace(-1, 1, 3 * 8 * 12).view(1, 3, 8, 12)
    return split_network("test/net", network.eval(), example)


def test_dropout_by_function_within_a_layer():
    network = Network()
    features, head, *_, untrainable, _ = cut(network)
    assert untrainable is None
    assert "blocks.1.0" in {str(n.target) for n in features.graph.nodes}  # kept whole
    twin = copy.deepcopy(features).train()
    for module in (features.train(), twin):
        torch.manual_seed(0)
        expected = network.train().blocks(network.stem(images((8, 12), 4)))
        torch.manual_seed(0)
        assert torch.equal(module(images((8, 12), 4)), expected)
    assert (expected == 0).float().mean() > 0.3
    assert head.dropout == 0.25
    assert not (features.eval()(images((8, 12), 4)) == 0).any()


def test_a_network_whose_own_forward_changes_is_named():
    features, head, *_, untrainable, _ = cut(Network(outside=True))
    spec = InputSpec((12, 8), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    classifier = Classifier("test/net", features, head, spec, untrainable).eval()
    assert classifier(images((8, 12), 4)).logits.shape == (4, 5)  # it can still localize
    with pytest.raises(ModelError) as raised:
        classifier.train()
    assert str(raised.value) == (
        "test/net cannot be trained: its own forward does another thing in training than in"
        " evaluation"
    )


SIDES = {
    "torchvision/googlenet": 64,
    "torchvision/inception_v3": 128,
    "torchvision/densenet121": 64,
    "torchvision/regnet_x_400mf": 64,
    "torchvision/convnext_tiny": 64,
    "timm/test_convnext": 64,
    "timm/densenet121": 64,
    "timm/tf_efficientnet_lite0": 64,
}


def network(name):
    options = {"num_classes": 5}
    if name.endswith(("googlenet", "inception_v3")):
        options |= {"aux_logits": False, "init_weights": True}
    return calibrated(library_network(name, 2, **options), (SIDES[name],) * 2)


def outputs(modules, run):
    """What each module gave when it was last called; copies, as layers may work in place."""
    seen, handles = {}, []
    for name, module in modules.items():

        def keep(_module, _given, output, name=name):
            if isinstance(output, torch.Tensor):
                seen[name] = output.clone()

        handles.append(module.register_forward_hook(keep))
    with torch.no_grad():
        run()
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", SIDES)
def test_each_layer_gives_what_it_gave(name):
    own, side = network(name), SIDES[name]
    batch = images((side, side))
    made = classifier_of(copy.deepcopy(own), (side, side))
    expected = outputs({n: m for n, m in own.named_modules() if n}, lambda: own(batch))
    actual = outputs(layer_names(made), lambda: made(batch))
    blocks = {n for n, m in made.features.named_modules() if isinstance(m, EnteredModule)}
    assert blocks or "lite0" in name
    grids = {n for n, v in expected.items() if v.ndim == 4 and v.shape[2:] != (1, 1)}
    assert not [n for n in grids if n not in actual]
    for layer, value in actual.items():
        if layer in expected:
            torch.testing.assert_close(value, expected[layer], msg=lambda m, n=layer: f"{n}: {m}")


def test_blocks_of_the_papers_googlenet():
    made = ModelSettings(backbone="paper/googlenet-gap", weights="none").build(0, 5)
    layers = ("trunk.inception4c", "trunk.inception4d")
    batch = images((224, 224), 1)
    maps = LayerCam(layers=layers).maps(made, batch, made(batch), torch.tensor([[1]]))
    assert maps.shape == (1, 1, 14, 14)
    assert maps.any()


def test_a_copy_and_a_state_keep_the_names():
    made = classifier_of(network("torchvision/densenet121"), (64, 64))
    own = torchvision.models.densenet121(num_classes=5)
    features = {k.removeprefix("features.") for k in made.state_dict() if k.startswith("features.")}
    assert features == {k for k in own.state_dict() if not k.startswith("classifier.")}
    twin = copy.deepcopy(made)
    batch = images((64, 64))
    with torch.no_grad():
        assert torch.equal(twin(batch).logits, made(batch).logits)
    assert layer_names(twin).keys() == layer_names(made).keys()
