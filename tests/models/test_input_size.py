"""Transformers of timm's at another size: positions resampled as timm resamples them."""

from __future__ import annotations

import pytest
import safetensors.torch
import timm
import torch

from camtool.errors import ModelError
from camtool.models import ModelSettings
from tests.builders import draw_pictures
from tests.commands import run_here

VIT = "test_vit"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights at the network's own size."""
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    safetensors.torch.save_file(timm.create_model(VIT).state_dict(), file)
    return file


def test_scores_are_those_of_timm_at_that_size(weights):
    own = timm.create_model(VIT).eval()
    own.load_state_dict(safetensors.torch.load_file(weights))
    own.set_input_size(img_size=(224, 224))
    settings = ModelSettings(backbone=f"timm/{VIT}", weights=str(weights), input_size=224)
    classifier = settings.build()
    assert classifier.spec.size == (224, 224)
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(classifier(images).logits, own(images), rtol=1e-5, atol=1e-6)
    assert classifier.new_modules() == []


def test_its_own_size_changes_nothing(weights):
    plain = ModelSettings(backbone=f"timm/{VIT}", weights=str(weights)).build()
    side = plain.spec.size[0]
    same = ModelSettings(backbone=f"timm/{VIT}", weights=str(weights), input_size=side).build()
    assert plain.sha256() == same.sha256()


def test_localize_takes_the_size_from_the_network(tmp_path, weights):
    pictures = draw_pictures(tmp_path / "pictures", 1)
    given = ("localize", pictures / "00000.png", "-m", weights, "--backbone", f"timm/{VIT}")
    asked = ("--method", "attention-rollout", "--set", "model.input_size=320")
    ran = run_here(*given, "-o", tmp_path / "run", *asked)
    assert ran.code == 0, ran.err
    ran = run_here(
        "localize", pictures, "-o", tmp_path / "other", "--method", "grad-cam",
        "--backbone", "timm/deit_tiny_patch16_224", "--set", "model.weights=none",
        "--set", "localize.preprocess.size=320",
    )  # fmt: skip
    assert ran.code == 4
    assert "model.input_size resamples the positions" in ran.err


def test_other_networks_need_none():
    settings = ModelSettings(backbone="timm/test_resnet", weights="none", input_size=64)
    with pytest.raises(ModelError, match=r"timm/test_resnet: model.input_size is for transformers"):
        settings.build()
