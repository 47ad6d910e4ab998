"""Every method on networks whose grid is no class token's: Swin and ConvNeXt, of both libraries."""

from __future__ import annotations

import functools

import pytest
import timm
import torch
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt
from torchvision.models.swin_transformer import SwinTransformer as TorchvisionSwin

from camtool.cam import Cam, GradCam, HiResCam
from camtool.errors import ModelError
from tests.cam.test_capture import state
from tests.cam.test_methods import METHODS, TOKENS
from tests.networks import classifier_of, images

SHAPE = (64, 96)
CLASSES = torch.tensor([[0, 3], [1, 1]])

SWIN = {
    "img_size": SHAPE, "embed_dim": 12, "depths": (2, 1), "num_heads": (2, 2), "window_size": 4,
    "num_classes": 4,
}  # fmt: skip
CONVNEXT = {"depths": (1, 1, 1, 1), "dims": (6, 8, 12, 16), "num_classes": 4}
BLOCKS = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 2)]
# Name → how it is made, a layer in its middle.
NETWORKS = {
    "swin": (lambda: timm.models.SwinTransformer(**SWIN), "layers.0"),
    "swin v2": (lambda: timm.models.SwinTransformerV2(**SWIN), "layers.0"),
    "convnext": (lambda: timm.models.ConvNeXt(**CONVNEXT), "stages.0"),
    "convnext v2": (
        lambda: timm.models.ConvNeXt(**CONVNEXT, use_grn=True, ls_init_value=None), "stages.0"
    ),
    "torchvision swin": (
        lambda: TorchvisionSwin([4, 4], 12, [2, 1], [2, 2], [4, 4], num_classes=4), "features.1"
    ),
    "torchvision convnext": (lambda: TorchvisionConvNeXt(BLOCKS, num_classes=4), "features.1"),
}  # fmt: skip


@functools.cache
def made(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        network = NETWORKS[name][0]()
        for key, parameter in network.named_parameters():
            if "bias" in key:
                torch.nn.init.normal_(parameter, std=0.1)
        *_, last = (m for m in network.modules() if isinstance(m, torch.nn.Linear))
        torch.nn.init.normal_(last.weight, std=2)
    return classifier_of(network, SHAPE, name)


def maps_of(method, name, count=2):
    network, batch = made(name), images(SHAPE)[:count]
    method.check(network)
    with torch.inference_mode(not method.gradients), torch.no_grad():
        return method.maps(network, batch, network(batch), CLASSES[:count])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", [n for n in METHODS if n not in (*TOKENS, "foreground")])
def test_every_method_gives_maps_and_leaves_the_network_be(method, name):
    before = state(made(name))
    maps = maps_of(METHODS[method], name)
    assert state(made(name)) == before
    assert maps.shape[:2] == (2, 2)
    assert maps.shape[3] * 2 == maps.shape[2] * 3
    assert maps.isfinite().all()
    assert maps.flatten(2).std(2).max() > 0  # a ReLU may leave nothing of a random class
    assert not torch.equal(maps[0], maps[1])
    torch.testing.assert_close(maps[1, 0], maps[1, 1], rtol=0, atol=0)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", [n for n, m in METHODS.items() if hasattr(m, "layers")])
def test_a_layer_in_the_middle(method, name):
    layer = NETWORKS[name][1]
    chosen = {"layers": (layer,)} if method == "layer-cam" else {"layer": layer}
    maps = maps_of(METHODS[method].model_copy(update=chosen), name, count=1)
    assert maps.shape == (1, 2, 16, 24)
    assert maps.isfinite().all()
    assert maps.flatten(2).std(2).max() > 0  # a ReLU may leave nothing of a random class


@pytest.mark.parametrize("name", [n for n in NETWORKS if "swin" in n])
def test_grad_cam_times_the_number_of_places_is_cam(name):
    cam = maps_of(Cam(), name)
    for method in (GradCam(relu=False), HiResCam()):
        torch.testing.assert_close(maps_of(method, name) * 96, cam, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", TOKENS)
def test_windows_are_no_attention_over_the_picture(method, name):
    with pytest.raises(ModelError, match="no attention of all parts of the picture to all"):
        METHODS[method].check(made(name))
