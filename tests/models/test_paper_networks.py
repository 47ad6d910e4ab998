"""The networks of the CAM paper: grids, channels, and weights where they fit."""

from __future__ import annotations

import urllib.error

import pytest
import safetensors.torch
import torch
import torchvision

from camtool.errors import ModelError
from camtool.models import Gap, Gmp, ModelSettings
from camtool.models.heads import LinearHead, PerClassHead
from camtool.models.paper_networks import NETWORKS

# Name → side of the input, side of the grid, channels (paper.md, section 1), and the new modules.
GRIDS = {
    "alexnet-gap": (224, 13, 1024),
    "alexnet-star-gap": (227, 11, 512),
    "vgg16-gap": (224, 14, 1024),
    "googlenet-gap": (224, 14, 1024),
    "googlenet-gmp": (224, 14, 1024),
    "nin": (224, 6, 7),
}


def build(name, weights="none", **more):
    return ModelSettings(backbone=f"paper/{name}", weights=str(weights), **more).build(0, 7)


def test_every_network_has_its_grid_here():
    assert GRIDS.keys() == NETWORKS.keys()


@pytest.mark.parametrize("name", GRIDS)
@torch.inference_mode()
def test_grids(name):
    side, grid, channels = GRIDS[name]
    classifier = build(name)
    assert classifier.spec.size == (side, side)
    assert classifier.untrainable is None
    assert type(classifier.head) is (PerClassHead if name == "nin" else LinearHead)
    assert classifier.head.pooling == (Gmp() if name == "googlenet-gmp" else Gap())
    assert classifier.head.dropout == (0.5 if name == "vgg16-gap" else 0)
    features, logits = classifier(torch.randn(1, 3, side, side))
    assert features.shape == (1, channels, grid, grid)
    assert logits.shape == (1, 7)
    groups = {m.groups for m in classifier.modules() if isinstance(m, torch.nn.Conv2d)}
    assert groups == ({1, 2} if name.startswith(("vgg16", "googlenet")) else {1})


@pytest.fixture(scope="module")
def states():
    """Random weights in place of the published ones, drawn so that no two layers are alike."""
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for name, options in (("alexnet", {}), ("googlenet", {"init_weights": False})):
            found[name] = torchvision.models.get_model(name, weights=None, **options).state_dict()
    return found


@pytest.fixture
def hub(states, monkeypatch):
    """Stands in for the download."""

    def load(url, **_):
        return states[next(name for name in states if name in url)]

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", load)


NEW = {
    "alexnet-gap": ["features.extra.0.0", "head"],
    "alexnet-star-gap": ["features.trunk.10", "features.extra.0.0", "features.extra.1.0", "head"],
    "googlenet-gap": ["features.extra.0.0", "head"],
    "googlenet-gmp": ["features.extra.0.0", "head"],
}


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", NEW)
def test_weights_are_loaded_where_they_fit(name, states):
    classifier = build(name, "imagenet")
    names = {id(m): n for n, m in classifier.named_modules()}
    assert [names[id(m)] for m in classifier.new_modules()] == NEW[name]
    base = states["alexnet" if "alexnet" in name else "googlenet"]
    prefix = "features." if "alexnet" in name else ""
    own = classifier.state_dict()
    loaded = [k for k in own if not k.startswith(tuple(NEW[name]))]
    assert len(loaded) > 5
    for key in loaded:
        original = base[key.replace("features.trunk.", prefix)]
        assert torch.equal(own[key], original), key
    for module in classifier.new_modules():
        assert module.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_weights_of_a_file(states, tmp_path):
    safetensors.torch.save_file(states["googlenet"], tmp_path / "base.safetensors")
    first = build("googlenet-gap", tmp_path / "base.safetensors")
    assert len(first.new_modules()) == 2
    assert torch.equal(
        first.state_dict()["features.trunk.conv1.conv.weight"],
        states["googlenet"]["conv1.conv.weight"],
    )
    own = tmp_path / "own.safetensors"
    safetensors.torch.save_file(
        {k.removeprefix("features.").replace("head.", "fc.").replace("offset", "bias"): v
         for k, v in first.state_dict().items()}, own,
    )  # fmt: skip
    again = build("googlenet-gap", own)
    assert again.sha256() == first.sha256()
    assert again.new_modules() == []
    safetensors.torch.save_file({"conv.weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match=r"googlenet: [0-9]+ of its 364 tensors are missing"):
        build("googlenet-gap", tmp_path / "foreign.safetensors")


def test_weights_that_cannot_be_had(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(ModelError, match=r"^the weights of torchvision/alexnet cannot be down"):
        build("alexnet-gap", "imagenet")
    with pytest.raises(ModelError) as raised:
        build("nin", "imagenet")
    assert str(raised.value) == (
        "paper/nin: torchvision has no weights for it; set model.weights to a file of its"
        " state, or to none"
    )


@pytest.mark.usefixtures("hub")
def test_the_grid_is_made_by_the_network_itself():
    for weights in ("imagenet", "none"):
        with pytest.raises(ModelError, match=r"^paper/alexnet-gap has no output stride 16; an out"):
            build("alexnet-gap", weights, output_stride=16)


def test_googlenet_gets_the_input_that_its_weights_were_made_for():
    """Torchvision turns ImageNet's mean and deviation into halves within the pretrained network."""
    spec = ModelSettings(backbone="torchvision/googlenet", weights="none").build().spec
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    network = torchvision.models.googlenet(
        weights=None, init_weights=False, transform_input=True
    ).eval()  # fmt: skip
    picture = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    usual = torchvision.transforms.functional.normalize(
        picture, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    with torch.inference_mode():
        expected = network(usual)
        network.transform_input = False
        torch.testing.assert_close(network((picture - 0.5) / 0.5), expected)
