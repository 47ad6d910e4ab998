"""Every layer of a network can be named where the network is cut, and gives there what it gave."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchvision

from camtool.cam import LayerCam
from camtool.cam.capture import layer_names
from camtool.models import ModelSettings
from camtool.models.tracing import EnteredModule
from tests.cam.networks import calibrated, classifier_of, images

NETWORKS = {
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
    library, _, short = name.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        if library == "timm":
            made = timm.create_model(short, num_classes=5)
        else:
            more = {"aux_logits": False} if short in ("googlenet", "inception_v3") else {}
            more |= {"init_weights": True} if more else {}
            made = torchvision.models.get_model(short, num_classes=5, **more)
    return calibrated(made.eval(), (NETWORKS[name],) * 2)


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


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_gives_what_it_gave(name):
    own, side = network(name), NETWORKS[name]
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
