"""The Grad-CAM family: identities, formulas as the papers print them, several layers."""

from __future__ import annotations

import pytest
import torch

from camtool.cam import (
    Cam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    SmoothGradCamPlusPlus,
    XGradCam,
)
from camtool.cam.capture import capture
from camtool.errors import ModelError
from tests.networks import NETWORKS, Gap, classifier, classifier_of, images

CLASSES = torch.tensor([[3, 7], [0, 9]])


def maps_of(method, name):
    network, batch = classifier(name), images(NETWORKS[name][1])
    with torch.no_grad():
        return method.maps(network, batch, network(batch), CLASSES)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_lite0"])
def test_grad_cam_times_the_number_of_places_is_cam(name):
    cam = maps_of(Cam(), name)
    cells = cam.shape[2] * cam.shape[3]
    scale = cam.abs().max().item()
    for method in (GradCam(relu=False), HiResCam()):
        torch.testing.assert_close(maps_of(method, name) * cells, cam, rtol=0, atol=1e-5 * scale)
    torch.testing.assert_close(
        maps_of(GradCam(), name) * cells, cam.relu(), rtol=0, atol=1e-5 * scale
    )


def taken(name, scale=1.0):
    """Features and gradients of the first class of the first image, in double."""
    with capture(classifier(name)) as captured:
        captured.scores(images(NETWORKS[name][1]))
        (features,), (gradients,) = captured.grids(), captured.gradients(CLASSES[:, 0])
    return features[0].double(), gradients[0].double() * scale


def test_grad_cam_plus_plus_as_printed():
    """Equations 7, 10 and 19, with loops."""
    a, g = taken("vgg")
    expected = torch.zeros_like(a[0])
    for k in range(len(a)):
        weight = 0.0
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                if g[k, i, j] == 0:
                    continue
                below = 2 * g[k, i, j] ** 2 + a[k].sum() * g[k, i, j] ** 3
                weight += g[k, i, j] ** 2 / below * max(g[k, i, j], 0)
        expected += weight * a[k]
    actual = maps_of(GradCamPlusPlus(), "vgg")[0, 0]
    torch.testing.assert_close(actual.double(), expected.relu(), rtol=1e-4, atol=1e-6)
    assert (maps_of(GradCamPlusPlus(relu=False), "vgg") - actual).abs().max() > 0


def test_xgrad_cam_keeps_the_score_of_its_features():
    """Sensitivity and conservation: the map adds up to what gradient times features adds up to."""
    a, g = taken("vgg")
    maps = maps_of(XGradCam(relu=False), "vgg")
    torch.testing.assert_close(maps[0, 0].sum().double(), (a * g).sum(), rtol=1e-4, atol=1e-5)


def test_a_channel_of_zeros_weighs_nothing():
    features, gradients = torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)
    for method in (GradCam(), GradCamPlusPlus(), XGradCam(), HiResCam()):
        assert not method.weighted(features, gradients).any()
    gradients.zero_()
    features += 1
    for method in (GradCam(), GradCamPlusPlus(), XGradCam(), HiResCam()):
        assert not method.weighted(features, gradients).any()


def test_layer_cam_fuses_layers_as_printed():
    layers = ("layer2", "layer3", "layer4")
    maps = [maps_of(LayerCam(layers=(layer,)), "resnet18") for layer in layers]
    fused = maps_of(LayerCam(layers=layers, gamma=3.0), "resnet18")
    assert fused.shape == maps[0].shape
    relative = [m / m.amax((2, 3), keepdim=True) for m in maps]
    lifted = [torch.tanh(3 * m) for m in relative[:2]] + relative[2:]
    sized = [torch.nn.functional.interpolate(m, fused.shape[2:], mode="bilinear") for m in lifted]
    expected = torch.maximum(torch.maximum(sized[0], sized[1]), sized[2])
    torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-5)


def test_smooth_grad_cam_plus_plus_without_noise_is_grad_cam_plus_plus_of_gap():
    """The same copies: the means are the derivatives, and only where gradients are constant over
    the grid does `Σ_ab A g³` not matter which place is meant."""
    smooth = maps_of(SmoothGradCamPlusPlus(samples=3, sigma=0.0, numerator="second"), "resnet18")
    plain = maps_of(GradCamPlusPlus(), "resnet18")
    torch.testing.assert_close(smooth, plain, rtol=1e-3, atol=1e-5)


def test_smooth_grad_cam_plus_plus_as_printed():
    from camtool.cam.passes import noisy

    name, method = "vgg", SmoothGradCamPlusPlus(samples=3, sigma=0.2, seed=5)
    batch = images(NETWORKS[name][1])
    gradients = []
    for copy in noisy(batch, 3, 0.2, 5):
        with capture(classifier(name)) as captured:
            captured.scores(copy)
            gradients.append(captured.gradients(CLASSES[:, 0])[0][0].double())
    first, second, third = (torch.stack([g**p for g in gradients]).mean(0) for p in (1, 2, 3))
    a, _ = taken(name)
    below = 2 * second + a.sum((1, 2), keepdim=True) * third
    alpha = torch.where(first == 0, 0, first / below)
    weights = (alpha * first.relu()).sum((1, 2), keepdim=True)
    expected = (weights * a).sum(0).relu()
    torch.testing.assert_close(
        maps_of(method, name)[0, 0].double(), expected, rtol=1e-3, atol=1e-4 * expected.max()
    )


def test_noise_is_the_seeds_alone_and_leaves_other_random_numbers_be():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one = maps_of(SmoothGradCamPlusPlus(seed=1), "vgg")
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(maps_of(SmoothGradCamPlusPlus(seed=1), "vgg"), one)
    assert not torch.equal(maps_of(SmoothGradCamPlusPlus(seed=2), "vgg"), one)


def test_a_layer_in_the_settings_that_does_not_exist():
    network = classifier_of(Gap(), (32, 48))
    for method in (GradCam(layer="third"), LayerCam(layers=("first", "third"))):
        with pytest.raises(ModelError, match="has no layer 'third'; its layers, nearest first: fi"):
            method.check(network)
