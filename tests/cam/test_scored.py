"""Eigen-CAM by a singular value decomposition, and Ablation-CAM of classes with negative scores."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from camtool.cam import AblationCam, EigenCam
from camtool.cam.capture import capture
from tests.cam.networks import NETWORKS, Gap, classifier, classifier_of, images

CLASSES = torch.tensor([[3, 1], [0, 2]])


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize(("layer", "wide"), [("layer1", False), ("layer4", True)])
def test_eigen_cam_by_svd(layer, wide, centred):
    made, batch = classifier("resnet18"), images(NETWORKS["resnet18"][1])
    with capture(made, (layer,), gradients=False) as captured:
        captured.scores(batch)
        features = captured.grids()[0].double().flatten(2).numpy()
    assert (features.shape[1] > features.shape[2]) == wide  # either Gram matrix has its turn
    with torch.no_grad():
        maps = EigenCam(layer=layer, centred=centred).maps(made, batch, made(batch), CLASSES)
    for one, actual in zip(features, maps[:, 0].flatten(1).numpy(), strict=True):
        rows = one.T - one.T.mean(0) * centred
        left, values, _ = np.linalg.svd(rows, full_matrices=False)
        expected = left[:, 0] * values[0]
        expected = expected * np.sign(expected[np.abs(expected).argmax()])
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * expected.max())


def test_a_negative_score_does_not_turn_the_map():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        high = Gap()
    low = copy.deepcopy(high)
    with torch.no_grad():
        high.fc.bias += 50
        low.fc.bias -= 50
    maps = []
    for network in (high, low):
        made, batch = classifier_of(network, (32, 48)), images((32, 48))
        with torch.no_grad():
            forward = made(batch)
            chosen = forward.logits.gather(1, CLASSES)
            assert ((chosen > 0) == (network is high)).all()
            # Up to the divisor, which is the size of the score.
            raw = AblationCam().maps(made, batch, forward, CLASSES)
            maps.append(raw * chosen.abs()[..., None, None])
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-3, atol=1e-4)
    assert maps[0].any()
