"""Networks by name: what is in them, split apart they answer as before, and their finer grids."""

from __future__ import annotations

import functools

import pytest
import safetensors.torch
import timm
import torch

from camtool.errors import ModelError
from camtool.models import ModelSettings
from camtool.models.backbones import names
from camtool.models.heads import LinearHead, NormLinearHead, PerClassHead
from camtool.models.weights import bundled_state
from tests.networks import calibrated, images, library_network

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
    # The mean of two last layers, with batch norms before them, or one such layer.
    "timm/repvit_m0_9": (LinearHead, (96, 128)),
    "timm/levit_128s": (LinearHead, (224, 224)),
    "timm/efficientformer_l1": (LinearHead, (224, 224)),
    "timm/swiftformer_xs": (LinearHead, (96, 128)),
    "timm/efficientvit_m0": (LinearHead, (224, 224)),
    "timm/shvit_s1": (LinearHead, (96, 128)),
}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return the library's network of a name, and the classifier that was made with its weights.

    One pair at a time is kept: all of them would take gigabytes.
    """
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"

    @functools.lru_cache(maxsize=1)
    def pair(name):
        network = calibrated(library_network(name), FAMILIES[name][1])
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


DILATED = [
    "timm/resnet18",
    "timm/mobilenetv2_050",
    "timm/regnetx_002",
    "timm/convnext_atto",
    "torchvision/resnet50",
]


def dilated(name, stride):
    """The library's own network."""
    options = {"output_stride": stride}
    if name.startswith("torchvision/"):
        options = {"replace_stride_with_dilation": [False, stride == 8, stride < 32]}
    return calibrated(library_network(name, **options), (64, 96))


@pytest.mark.parametrize("name", DILATED)
@pytest.mark.parametrize("stride", [16, 8])
@torch.inference_mode()
def test_logits_are_those_of_the_familys_own_dilated_network(name, stride, tmp_path):
    network = dilated(name, stride)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    settings = ModelSettings(backbone=name, weights=str(path), output_stride=stride)
    features, logits = settings.build()(images((64, 96)))
    assert features.shape[2:] == (64 // stride, 96 // stride)
    torch.testing.assert_close(logits, network(images((64, 96))), rtol=1e-4, atol=1e-5)
    coarse = settings.model_copy(update={"output_stride": 32}).build()(images((64, 96)))
    assert coarse.features.shape[2:] == (2, 3)
    assert not torch.allclose(coarse.logits, logits, rtol=1e-2, atol=1e-3)


@torch.inference_mode()
def test_the_bundled_network():
    network = timm.create_model("tf_efficientnet_lite0", output_stride=16).eval()
    network.load_state_dict(bundled_state("timm/tf_efficientnet_lite0", network))
    features, logits = ModelSettings(output_stride=16).build()(images((64, 96)))
    assert features.shape[2:] == (4, 6)
    torch.testing.assert_close(logits, network(images((64, 96))), rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (
            "torchvision/resnet19",
            "torchvision has no network 'resnet19'; did you mean resnet18 or ",
        ),
        ("timm/efficientnet_lite_0", "timm has no network 'efficientnet_lite_0'; did you mean "),
        ("timm/zzzzzzzzzz", "timm has no network 'zzzzzzzzzz' (`camtool models` lists them)"),
        # Networks for detection and segmentation are no classifiers.
        ("torchvision/fcn_resnet50", "torchvision has no network 'fcn_resnet50'"),
    ],
)
def test_unknown_backbones(backbone, message):
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone=backbone, weights="none").build()
    assert str(raised.value).startswith(message)
    assert str(raised.value).endswith("(`camtool models` lists them)")


def test_an_unknown_variant_of_a_known_network():
    with pytest.raises(ModelError, match=r"^timm/resnet18\.nobody: "):
        ModelSettings(backbone="timm/resnet18.nobody", weights="none").build()


def test_names_are_without_the_library():
    for library, known in (("torchvision", "resnet18"), ("timm", "tf_efficientnet_lite0")):
        found = names(library)
        assert known in found
        assert len(set(found)) == len(found)
        assert not any("/" in n for n in found)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("timm/vit_small_patch16_dinov3", "features"),
        ("timm/sam2_hiera_tiny", "features"),
        ("timm/resnet50_clip", "embeddings for texts"),
    ],
)
def test_networks_without_a_classifier(name, kind):
    """They answer a vector all the same; with classes of their own they can be trained."""
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone=name, weights="none").build()
    assert str(raised.value).startswith(
        f"{name} has no classifier: it was published for its {kind}; `camtool train` puts one on it"
    )
    if name == "timm/vit_small_patch16_dinov3":
        assert ModelSettings(backbone=name, weights="none").build(0, 3).num_classes == 3
