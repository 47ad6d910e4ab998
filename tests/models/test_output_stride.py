"""Finer grids: the same weights, dilated as the family itself does it."""

from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from camtool.errors import ModelError
from camtool.models import ModelSettings
from camtool.models.weights import bundled_state

FAMILIES = [
    "timm/resnet18",
    "timm/mobilenetv2_050",
    "timm/regnetx_002",
    "timm/convnext_atto",
    "torchvision/resnet50",
]


def dilated(name, stride):
    """The library's own network; batch norm has the statistics of one batch."""
    library, short = name.split("/")
    torch.manual_seed(3)
    if library == "timm":
        network = timm.create_model(short, output_stride=stride)
    else:
        network = torchvision.models.get_model(
            short, replace_stride_with_dilation=[False, stride == 8, stride < 32]
        )
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    with torch.inference_mode():
        network.train()(images())
    return network.eval()


def images():
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("stride", [16, 8])
@torch.inference_mode()
def test_logits_are_those_of_the_familys_own_dilated_network(name, stride, tmp_path):
    network = dilated(name, stride)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    settings = ModelSettings(backbone=name, weights=str(path), output_stride=stride)
    features, logits = settings.build()(images())
    assert features.shape[2:] == (64 // stride, 96 // stride)
    torch.testing.assert_close(logits, network(images()), rtol=1e-4, atol=1e-5)
    coarse = settings.model_copy(update={"output_stride": 32}).build()(images())
    assert coarse.features.shape[2:] == (2, 3)
    assert not torch.allclose(coarse.logits, logits, rtol=1e-2, atol=1e-3)


@torch.inference_mode()
def test_the_bundled_network():
    network = timm.create_model("tf_efficientnet_lite0", output_stride=16).eval()
    network.load_state_dict(bundled_state("timm/tf_efficientnet_lite0", network))
    features, logits = ModelSettings(output_stride=16).build()(images())
    assert features.shape[2:] == (4, 6)
    torch.testing.assert_close(logits, network(images()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name",
    ["torchvision/resnet18", "torchvision/densenet121", "timm/mobilenetv3_small_050"],
)
def test_families_without_dilation(name):
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone=name, weights="none", output_stride=16).build()
    assert str(raised.value) == (
        f"{name} has no output stride 16; an output stride can be chosen for torchvision/resnet50"
        " and deeper, resnext and wide_resnet, and for most convolutional networks of timm (resnet,"
        " efficientnet, mobilenetv2, regnet, convnext)"
    )


def test_a_stride_that_the_network_does_not_reach(monkeypatch):
    """Some constructors of timm take the argument and do nothing with it."""
    create = timm.create_model

    def careless(name, **options):
        options.pop("output_stride")
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", careless)
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone="timm/resnet18", weights="none", output_stride=8).build()
    assert str(raised.value) == (
        "timm/resnet18: its output stride is 32 whatever is asked; set model.output_stride to 32 or"
        " leave it out"
    )
