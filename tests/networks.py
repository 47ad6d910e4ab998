"""Networks for tests: small ones of several families, whole and as classifiers, and libraries' own.

Their weights are random, and yet their scores tell classes and images apart.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from timm.models import _features_fx
from torch import nn

from camtool.errors import ModelError
from camtool.models.classifier import Classifier
from camtool.models.splitting import block_classes, keep_whole, split_network
from camtool.models.weights import bundled_state
from camtool.structures import InputSpec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """For folders that run small networks: these gain nothing from more threads.

    They lose much where processes share the cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Vgg(nn.Module):
    """Convolutions, pooling to a fixed grid, and two linear layers: no linear head."""

    def __init__(self, classes=10):
        super().__init__()
        layers, before = [], 3
        for width in (8, 16, 24):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width)]
            layers += [nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            before = width
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.classifier = nn.Sequential(
            nn.Linear(24 * 16, 32), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(32, classes)
        )

    def forward(self, images):
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class Gap(nn.Module):
    """Two convolutions, global average pooling, one linear layer; `stride` shrinks the grid."""

    def __init__(self, classes=4, stride=2):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 5, 3, stride=stride, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(5, classes)

    def forward(self, images):
        features = self.act(self.second(self.act(self.first(images))))
        return self.fc(self.pool(features).flatten(1))


def library_network(name: str, seed: int = 3, **options) -> nn.Module:
    """Return the network of torchvision or timm itself, with random weights."""
    library, _, short = name.partition("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if library == "timm":
            return timm.create_model(short, **options)
        if short in ("googlenet", "inception_v3"):
            options = {"init_weights": False} | options
        return torchvision.models.get_model(short, weights=None, **options)


def save_weights(path: Path, name: str = "timm/test_resnet", seed: int = 7, **options) -> Path:
    """Write random weights of a library's network into a file, in place of pretrained ones."""
    safetensors.torch.save_model(library_network(name, seed, **options), str(path))
    return path


def _lite0():
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    network.load_state_dict(bundled_state("timm/tf_efficientnet_lite0", network))
    return network


# Name → how it is made, (height, width) of its input, the last layer with a grid.
NETWORKS = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), (64, 96), "layer4"),
    "vgg": (Vgg, (32, 48), "features"),
    "mobilenet_v2": (
        lambda: torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.35), (64, 96),
        "features",
    ),
    "efficientnet_lite0": (_lite0, (64, 96), "bn2"),
    "convnext": (lambda: timm.create_model("test_convnext", num_classes=10), (64, 96), "stages"),
    "swin": (
        lambda: timm.models.SwinTransformer(
            img_size=64, embed_dim=12, depths=(1, 1, 2), num_heads=(2, 2, 2), window_size=4,
            num_classes=10,
        ), (64, 64), "norm",
    ),
    "vit": (lambda: timm.create_model("test_vit", num_classes=10), (160, 160), "blocks.5.norm1"),
}  # fmt: skip


@functools.cache
def network(name):
    """The network itself, in evaluation mode, with class scores that differ clearly."""
    make, shape, _ = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = make().eval()
    return made if name == "efficientnet_lite0" else calibrated(made, shape)


def calibrated(made, shape):
    """The network with the statistics of one batch, so that its random weights live."""
    for norm in made.eval().modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.train().momentum = None
    with torch.no_grad():
        made(images(shape, 2, seed=9))
    return made.eval()


def images(shape, count=2, seed=1):
    return torch.randn(count, 3, *shape, generator=torch.Generator().manual_seed(seed))


def classifier_of(module, shape, name="test/net"):
    """The classifier of any network, as `camtool.models` makes those with a name."""
    module.eval()
    example = images(shape, 1, seed=5)
    try:
        # What timm declares as not to be traced into.
        leaves = [*_features_fx.get_notrace_modules(), *block_classes(module)]
        functions = _features_fx.get_notrace_functions()
        anatomy = split_network(name, module, example, leaves, functions)
        parts = anatomy.features, anatomy.head
    except ModelError as error:
        parts = keep_whole(module, example, str(error))
    spec = InputSpec(shape[::-1], (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    return Classifier(name, *parts, spec).eval()


@functools.cache
def classifier(name):
    return classifier_of(network(name), NETWORKS[name][1], name)


class TokenNetwork(nn.Module):
    """A small transformer whose patch tokens become class maps, as TS-CAM's; 8×8 patches."""

    def __init__(self, classes=4):
        super().__init__()
        self.vit = timm.models.VisionTransformer(
            img_size=(32, 48), patch_size=8, embed_dim=16, depth=2, num_heads=2, reg_tokens=2,
            num_classes=0, global_pool="token",
        )  # fmt: skip
        nn.init.normal_(self.vit.cls_token)
        self.conv = nn.Conv2d(16, classes, 3, padding=1)

    def forward(self, images):
        tokens = self.vit.forward_features(images)[:, 3:]
        return self.conv(tokens.transpose(1, 2).unflatten(2, (4, 6))).mean((2, 3))


def vit(**options):
    options = {"patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3} | options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = timm.models.VisionTransformer(img_size=32, num_classes=4, **options)
        for name, parameter in made.named_parameters():
            if name in ("cls_token", "reg_token"):
                torch.nn.init.normal_(parameter)
    return made.eval()


def torchvision_vit():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = torchvision.models.VisionTransformer(32, 8, 3, 3, 24, 48, num_classes=4)
        torch.nn.init.normal_(made.heads.head.weight)
        torch.nn.init.normal_(made.class_token)
    return made.eval()


def swin():
    return timm.models.SwinTransformer(
        img_size=64, patch_size=4, embed_dim=12, depths=(2, 1), num_heads=(2, 2), window_size=4,
        num_classes=4,
    )  # fmt: skip
