"""Classes that the weights know keep their rows of the last layer."""

from __future__ import annotations

import re

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from camtool.errors import ModelError
from camtool.models import ExtraConv, Gap, Gmp, ModelSettings, PerClass

SMALL = "timm/test_resnet"
INDICES = (7, 0, 999, 250)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "w.safetensors"
    torch.manual_seed(3)
    safetensors.torch.save_file(timm.create_model("test_resnet").state_dict(), path)
    return str(path)


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
    torch.manual_seed(3)
    file = tmp_path / "w.safetensors"
    safetensors.torch.save_file(timm.create_model("mobilenetv3_small_050").state_dict(), file)
    plain = {"backbone": "timm/mobilenetv3_small_050", "weights": str(file), "pooling": Gap()}
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
