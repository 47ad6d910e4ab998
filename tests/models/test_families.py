"""Networks of many families: cut apart, they answer as before, and their maps are exact."""

from __future__ import annotations

import functools

import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from camtool.errors import ModelError
from camtool.models import ModelSettings
from camtool.models.heads import LinearHead, NormLinearHead, PerClassHead

# Name → head, and a small input (height, width) that is not square where the family allows it.
FAMILIES = {
    "torchvision/resnet18": (LinearHead, (96, 128)),
    "torchvision/resnext50_32x4d": (LinearHead, (96, 64)),
    "torchvision/densenet121": (LinearHead, (64, 96)),
    "torchvision/efficientnet_b0": (LinearHead, (96, 128)),
    "torchvision/mobilenet_v2": (LinearHead, (96, 128)),
    "torchvision/mnasnet0_5": (LinearHead, (96, 128)),
    "torchvision/shufflenet_v2_x0_5": (LinearHead, (96, 128)),
    "torchvision/regnet_y_400mf": (LinearHead, (96, 128)),
    "torchvision/googlenet": (LinearHead, (96, 128)),
    "torchvision/inception_v3": (LinearHead, (107, 139)),
    "torchvision/squeezenet1_1": (PerClassHead, (96, 128)),
    "torchvision/convnext_tiny": (NormLinearHead, (64, 96)),
    "torchvision/swin_t": (LinearHead, (64, 96)),
    "timm/legacy_xception": (LinearHead, (96, 128)),
    "timm/convnext_atto": (NormLinearHead, (64, 96)),
    "timm/swin_tiny_patch4_window7_224": (LinearHead, (224, 224)),
    "timm/resnetv2_50": (LinearHead, (96, 64)),
    "timm/dla34": (LinearHead, (64, 96)),
    "timm/tf_efficientnet_lite0": (LinearHead, (96, 128)),
}


def images(shape, count=2):
    return torch.randn(count, 3, *shape, generator=torch.Generator().manual_seed(1))


def original(name):
    """The library's own network, with random weights under which features do not die out."""
    library, short = name.split("/")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        if library == "timm":
            network = timm.create_model(short, pretrained=False)
        else:
            options = {"init_weights": False} if short in ("googlenet", "inception_v3") else {}
            network = torchvision.models.get_model(short, weights=None, **options)
        network.eval()
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.train().momentum = None  # the statistics of the one batch that follows
        with torch.inference_mode():
            network(images(FAMILIES[name][1]))
    return network.eval()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return the library's network of a name, and the classifier that was made with its weights.

    One pair at a time is kept: all of them would take gigabytes.
    """
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"

    @functools.lru_cache(maxsize=1)
    def pair(name):
        network = original(name)
        safetensors.torch.save_model(network, str(path))
        return network, ModelSettings(backbone=name, weights=str(path)).build()

    return pair


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_parts_equal_the_whole_and_maps_are_exact(name, build):
    kind, shape = FAMILIES[name]
    whole, network = build(name)
    assert type(network.head) is kind
    assert network.num_classes == 1000
    batch = images(shape)
    features, logits = network(batch)
    torch.testing.assert_close(logits, whole(batch), rtol=1e-4, atol=1e-5)
    # Different classes for the two images, the best and the worst among them.
    classes = torch.stack([logits.argmax(1), logits.argmin(1), torch.tensor([0, 999])], 1)
    maps = network.head.class_maps(features, classes)
    assert maps.shape == (2, 3, *features.shape[2:])
    assert features.shape[2] * features.shape[3] > 1
    means = maps.mean((2, 3)) + network.head.bias()[classes]
    expected = logits.gather(1, classes)
    scale = expected.abs().max()
    assert (means - expected).abs().max() <= 1e-4 * scale
    # The test can fail: the two images' scores differ by far more than is allowed.
    assert (logits[0] - logits[1]).abs().max() > 1e-3 * scale


@pytest.mark.parametrize(
    "name", ["torchvision/resnet18", "torchvision/squeezenet1_1", "timm/convnext_atto"]
)
@torch.inference_mode()
def test_batched_equals_single(name, build):
    network = build(name)[1]
    batch = images(FAMILIES[name][1], 3)
    classes = torch.tensor([[5, 1], [7, 7], [0, 999]])
    features, logits = network(batch)
    maps = network.head.class_maps(features, classes)
    for i in range(3):
        one = network(batch[i : i + 1])
        single = network.head.class_maps(one.features, classes[i : i + 1])
        torch.testing.assert_close(one.logits[0], logits[i], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(single[0], maps[i], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_dropout_is_off_and_nothing_changes_between_passes(build):
    network = build("torchvision/mobilenet_v2")[1]
    batch = images((64, 64))
    assert not network.training
    torch.testing.assert_close(network(batch).logits, network(batch).logits, rtol=0, atol=0)


BETWEEN = (
    " lies between the pooling and the scores, so the scores are not linear in the features; a map"
    " that is exact needs global average pooling straight before the scores: train a GAP head on"
    " this backbone (model.pooling: {name: gap}), or use a gradient method"
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision/vgg11", f"layer 'classifier.4' (ReLU){BETWEEN}"),
        ("torchvision/alexnet", f"layer 'classifier.5' (ReLU){BETWEEN}"),
        ("torchvision/mobilenet_v3_small", f"layer 'classifier.1' (Hardswish){BETWEEN}"),
        ("timm/mobilenetv3_small_050", f"layer 'act2' (Hardswish){BETWEEN}"),
        ("timm/vgg11", "layer 'pre_logits' (ConvMlp) leaves a grid of 1×1, on which nothing"),
        ("torchvision/vit_b_16", "takes one token out of the grid (a class token), and the scores"),
        ("timm/vit_tiny_patch16_224", "takes one token out of the grid (a class token), and the"),
    ],
)  # fmt: skip
def test_networks_without_an_exact_map(name, message):
    network = ModelSettings(backbone=name, weights="none").build()
    with pytest.raises(ModelError) as raised:
        network.head.class_maps(torch.zeros(1, 1000, 1, 1), torch.zeros(1, 1, dtype=torch.int64))
    assert str(raised.value).startswith(f"{name}: ")
    assert message in str(raised.value)
    remedy = "train a GAP head on this backbone (model.pooling: {name: gap}), or use a gradient"
    assert remedy in str(raised.value)
