"""Rows of the last layer: of classes that the weights know, and of classes from a file."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from camtool import Localizer, LocalizeSettings, Squeeze
from camtool.cam import Cam, GradCam
from camtool.errors import ModelError
from camtool.models import ExtraConv, Gap, Gmp, ModelSettings, PerClass
from tests.builders import picture
from tests.networks import save_weights

SMALL = "timm/test_resnet"
INDICES = (7, 0, 999, 250)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(save_weights(tmp_path_factory.mktemp("known") / "w.safetensors"))


def settings(weights, **more):
    return ModelSettings(backbone=SMALL, weights=weights, keep_known_classes=True, **more)


def logits(classifier):
    torch.manual_seed(0)
    with torch.inference_mode():
        return classifier(torch.randn(2, 3, 64, 64)).logits


def test_all_known_scores_are_those_of_the_pretrained_network(weights):
    kept = settings(weights).build(0, 4, INDICES)
    whole = ModelSettings(backbone=SMALL, weights=weights).build()
    torch.testing.assert_close(logits(kept), logits(whole)[:, list(INDICES)])
    assert kept.new_modules() == []
    assert kept.pretrained


def test_unknown_classes_start_at_random_and_make_the_layer_new(weights):
    known = (*INDICES, None)
    kept = settings(weights).build(0, 5, known)
    random = ModelSettings(backbone=SMALL, weights=weights).build(0, 5, known)
    whole = ModelSettings(backbone=SMALL, weights=weights).build()
    torch.testing.assert_close(logits(kept)[:, :4], logits(whole)[:, list(INDICES)])
    torch.testing.assert_close(logits(kept)[:, 4], logits(random)[:, 4])
    assert kept.new_modules() == [kept.head]


def test_without_the_setting_no_row_is_kept(weights):
    plain = ModelSettings(backbone=SMALL, weights=weights).build(0, 4, INDICES)
    whole = ModelSettings(backbone=SMALL, weights=weights).build()
    assert not torch.allclose(logits(plain), logits(whole)[:, list(INDICES)], atol=1e-2)
    assert plain.new_modules() == [plain.head]


def test_another_pooling_keeps_the_rows_too(weights):
    kept = settings(weights, pooling=Gmp()).build(0, 4, INDICES)
    whole = ModelSettings(backbone=SMALL, weights=weights, pooling=Gmp()).build()
    torch.testing.assert_close(logits(kept), logits(whole)[:, list(INDICES)])


def test_a_new_end_has_no_rows_to_keep(tmp_path):
    """MobileNetV3 has layers behind its pooling: with a pooling given, its end is a new one."""
    name = "timm/mobilenetv3_small_050"
    file = save_weights(tmp_path / "w.safetensors", name)
    plain = {"backbone": name, "weights": str(file), "pooling": Gap()}
    ModelSettings(**plain).build(0, 4)
    with pytest.raises(ModelError, match=r"with model\.pooling as it is, timm/mobilenet"):
        ModelSettings(**plain, keep_known_classes=True).build(0, 4, INDICES)


def test_class_maps_of_kept_rows(weights):
    kept = settings(weights, pooling=PerClass()).build(0, 4, INDICES)
    whole = ModelSettings(backbone=SMALL, weights=weights).build()
    torch.testing.assert_close(logits(kept), logits(whole)[:, list(INDICES)])


def test_no_known_class(weights):
    with pytest.raises(ModelError, match="none of the 2 classes is named by a wnid"):
        settings(weights).build(0, 2, (None, None))


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"extra_conv": ExtraConv(channels=8)}, "model.extra_conv"),
        ({"weights": "none"}, "model.weights"),
        ({"backbone": "paper/googlenet-gap"}, "model.backbone"),
    ],
)
def test_a_last_layer_that_is_new_in_any_case(weights, more, place):
    asked = settings(weights).model_copy(update=more)
    with pytest.raises(ModelError, match=f"keep_known_classes: with {re.escape(place)} as it is"):
        asked.build(0, 4, INDICES)


def test_weights_of_other_classes(tmp_path, monkeypatch):
    from camtool.models import building

    def with_ten_classes(_name, num_classes, output_stride):
        assert output_stride is None
        return timm.create_model("test_resnet", num_classes=num_classes or 10)

    network: nn.Module = with_ten_classes("", None, None)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setattr(building, "create", with_ten_classes)
    with pytest.raises(ModelError, match="no layer with a row for each of ImageNet's 1,000"):
        settings(str(tmp_path / "w.safetensors")).build(0, 4, INDICES)


BACKBONE = "timm/test_resnet"
CHANNELS = 96


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(0)
    path = tmp_path / "concepts.npz"
    vectors = {"text": random.normal(size=CHANNELS), "sky blue": random.normal(size=CHANNELS + 1)}
    np.savez(path, **vectors)
    return path, vectors


def built(path, **settings):
    return ModelSettings(backbone=BACKBONE, weights="none", linear_weights=path, **settings).build()


def test_scores_and_maps_are_those_of_the_vectors(file):
    path, vectors = file
    network = built(path)
    assert network.class_names == ("text", "sky blue")
    assert network.num_classes == 2
    batch = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, logits = forward = network(batch)
        classes = torch.tensor([[1, 0], [0, 1]])
        maps = Cam().maps(network, batch, forward, classes)
    pooled = features.mean((2, 3)).numpy()
    np.testing.assert_allclose(logits[:, 0], pooled @ vectors["text"], rtol=1e-4, atol=1e-5)
    expected = pooled @ vectors["sky blue"][:-1] + vectors["sky blue"][-1]
    np.testing.assert_allclose(logits[:, 1], expected, rtol=1e-4, atol=1e-5)
    by_hand = np.einsum("k,khw->hw", vectors["text"], features[1].numpy())
    np.testing.assert_allclose(maps[1, 0], by_hand, rtol=1e-4, atol=1e-5)
    twin = GradCam(relu=False).maps(network, batch, forward, classes)
    torch.testing.assert_close(twin * maps[0, 0].numel(), maps, rtol=1e-3, atol=1e-5)


def test_a_network_without_a_linear_end_gets_one(tmp_path):
    np.savez(tmp_path / "w.npz", one=np.ones(576), two=np.zeros(576))
    network = ModelSettings(
        backbone="torchvision/mobilenet_v3_small", weights="none",
        linear_weights=tmp_path / "w.npz",
    ).build()  # fmt: skip
    assert network(torch.zeros(1, 3, 64, 64)).logits.shape == (1, 2)


def test_the_localizer_knows_the_names(file, tmp_path):
    picture(0).save(tmp_path / "a.png")
    settings = LocalizeSettings(preprocess=Squeeze(size=64))
    model = ModelSettings(backbone=BACKBONE, weights="none", linear_weights=file[0])
    found = Localizer(model, settings=settings)(tmp_path / "a.png", labels=["text"])
    assert {c.name for c in found.classes} == {"text", "sky blue"}
    assert [c.name for c in found.classes if c.target] == ["text"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "holds no class"),
        ({"a": np.ones(95)}, "class 'a': 95 numbers, but the network has 96 feature channels"),
        ({"a": np.ones((1, 96))}, r"class 'a': expected numbers in one row, got float64 \(1, 96\)"),
        ({"a": np.full(96, "x")}, "class 'a': expected numbers in one row, got <U1"),
        ({"a": np.array([{}] * 96)}, "not an .npz file with a vector for each class"),
        ({"a": np.full(96, np.nan)}, "class 'a': holds NaN or infinity"),
        ({"a": np.full(96, 1e300)}, "class 'a': holds NaN or infinity"),
    ],
)
def test_wrong_files(tmp_path, arrays, message):
    path = tmp_path / "w.npz"
    np.savez(path, **arrays)
    with pytest.raises(ModelError, match=rf"w\.npz: {message}"):
        built(path)


def test_no_such_file(tmp_path):
    with pytest.raises(ModelError, match=r"w\.npz: no such file; model\.linear_weights is an"):
        built(tmp_path / "w.npz")
    (tmp_path / "w.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ModelError, match=r"not an \.npz file"):
        built(tmp_path / "w.npz")
    np.save(tmp_path / "w.npy", np.ones(64))
    with pytest.raises(ModelError, match=r"not an \.npz file"):
        built(tmp_path / "w.npy")


def test_one_class_has_a_hash_and_a_map(tmp_path):
    np.savez(tmp_path / "one.npz", text=np.arange(CHANNELS + 1.0))
    network = built(tmp_path / "one.npz")
    digest = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        digest.update(f"{key} {tuple(value.shape)} {value.dtype}\n".encode())
        digest.update(value.numpy().tobytes())
    assert network.sha256() == digest.hexdigest()
    assert network.num_classes == 1
    batch = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = Cam().maps(network, batch, network(batch), torch.tensor([[0]]))
    assert maps.std() > 0


def test_maps_of_given_classes_are_pooled_as_asked(tmp_path):
    weights = np.random.default_rng(1).normal(size=(2, CHANNELS))
    np.savez(tmp_path / "w.npz", one=weights[0], two=weights[1])
    network = built(tmp_path / "w.npz", pooling=PerClass(by=Gmp()))
    batch = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, logits = network(batch)
    maps = np.einsum("ck,khw->chw", weights, features[0].numpy())
    np.testing.assert_allclose(logits[0], maps.max((1, 2)), rtol=1e-4, atol=1e-5)
