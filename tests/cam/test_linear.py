"""The plain class activation map: by the paper's equation, and on its authors' own features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from camtool.cam import CAMS, Cam, GradCam, HiResCam
from camtool.models import ModelSettings
from camtool.models.classifier import Classifier
from camtool.models.heads import LinearHead
from camtool.structures import InputSpec


def test_the_map_is_the_weighted_sum_of_the_features():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        forward = classifier(images)
        classes = torch.tensor([[3, 999, 3], [0, 1, 2]])
        maps = Cam().maps(classifier, images, forward, classes)
    assert maps.shape == (2, 3, *forward.features.shape[2:])
    weights = classifier.head.weight.detach()
    for b in range(2):
        for n in range(3):
            # Equation 2 of the paper, as it is written.
            pairs = zip(weights[classes[b, n]], forward.features[b], strict=True)
            torch.testing.assert_close(maps[b, n], sum(w * f for w, f in pairs))
    torch.testing.assert_close(maps[0, 0], maps[0, 2])


def test_the_method_is_listed():
    assert CAMS[0] is Cam
    assert Cam().model_dump() == {"name": "cam"}


BEST = [968, 967, 969, 550, 809]  # cup, espresso, eggnog, espresso maker, soup bowl


@pytest.fixture(scope="module")
def golden(shared):
    with np.load(shared / "golden" / "authors-cam" / "img1.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}


@pytest.fixture(scope="module")
def released(golden):
    """A classifier whose images are the released features themselves."""
    spec = InputSpec((224, 224), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    head = LinearHead(golden["weights"], None)
    return Classifier("authors", nn.Identity(), head, spec).eval()


@torch.no_grad()
def test_scores_and_best_classes(golden, released):
    scores = released(golden["activations"]).logits.softmax(1)
    assert (scores - golden["scores"]).abs().max() < 9e-4
    assert scores.mean(0).topk(5).indices.tolist() == BEST
    assert golden["scores"].mean(0).topk(5).indices.tolist() == BEST


def test_maps(golden, released):
    features = golden["activations"]
    classes = torch.tensor(BEST).expand(10, -1)
    with torch.no_grad():
        forward = released(features)
        maps = Cam().maps(released, features, forward, classes)
    assert maps.shape == (10, 5, 14, 14)
    expected = torch.einsum("nk,bkhw->bnhw", golden["weights"][BEST], features)
    scale = expected.abs().max().item()
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * scale)
    for method in (GradCam(relu=False), HiResCam()):
        twin = method.maps(released, features, forward, classes) * 196
        torch.testing.assert_close(twin, maps, rtol=0, atol=1e-5 * scale)
