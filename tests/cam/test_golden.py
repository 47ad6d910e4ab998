"""The released GoogLeNet-GAP of the CAM paper's authors: its features, weights and scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from camtool.cam import Cam, GradCam, HiResCam
from camtool.models.classifier import Classifier, InputSpec
from camtool.models.heads import LinearHead

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
