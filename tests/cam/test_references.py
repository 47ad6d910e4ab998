"""The same maps as torchcam and pytorch-grad-cam, on the same networks and images.

Where their results differ from ours and the paper was followed:

- Grad-CAM++: pytorch-grad-cam adds 1e-6 to the denominator of α, which is not small beside squared
  gradients: scores are scaled up until it is. torchcam divides a copy, so that its α is the squared
  gradient alone; it is not compared.
- Score-CAM and Ablation-CAM, a pass for each channel: in `test_channels`.
- Eigen-CAM: pytorch-grad-cam takes the mean off before (`centred`), and the sign as it comes.
- Smooth Grad-CAM++: torchcam has the second derivative in the numerator, where the paper prints the
  first, and takes the gradient and the features of the last noisy copy for those of the image:
  compared by hand in its own tests.
- Layer-CAM of several layers: pytorch-grad-cam takes the mean of the layers.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import pytorch_grad_cam
import torch
import torchcam.methods as torchcam
import torchvision
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from camtool.cam import (
    Cam,
    EigenCam,
    GradCam,
    GradCamPlusPlus,
    HiResCam,
    LayerCam,
    XGradCam,
)
from camtool.cam.capture import capture
from tests.networks import NETWORKS, calibrated, classifier, classifier_of, images, network

CLASSES = [3, 7]
SCALE = 1e4  # of the scores: see the first paragraph


class Scaled(torch.nn.Module):
    """A network with scores that are larger by a factor."""

    def __init__(self, inner, factor):
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, batch):
        return self.inner(batch) * self.factor


def camtool_maps(method, name):
    batch = images(NETWORKS[name][1])
    made = classifier(name)
    with torch.no_grad():
        forward = made(batch)
    return method.maps(made, batch, forward, torch.tensor(CLASSES)[:, None])[:, 0]


def grid_of_tokens(output):
    return output[:, 1:].transpose(1, 2).unflatten(2, (10, 10)) if output.ndim == 3 else output


def channels_first(output):
    return output.permute(0, 3, 1, 2)


def relative(maps):
    """Maps over their own range: the normalisation of both libraries."""
    maps = maps.double()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low + (high == low))


TORCHCAM = {
    "grad-cam": (torchcam.GradCAM, GradCam()),
    "xgrad-cam": (torchcam.XGradCAM, XGradCam()),
    "layer-cam": (torchcam.LayerCAM, LayerCam()),
}


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("vit", "swin")])
@pytest.mark.parametrize("method", TORCHCAM)
def test_torchcam(method, name):
    reference, own = TORCHCAM[method]
    batch = images(NETWORKS[name][1])
    with reference(network(name), NETWORKS[name][2]) as extractor:
        scores = network(name)(batch)
        (expected,) = extractor(class_idx=CLASSES, scores=scores, normalized=False)
    torch.testing.assert_close(
        relative(camtool_maps(own, name)), relative(expected), rtol=0, atol=1e-4
    )


LINEAR = {
    # Name → how it is made (None: as above), the layer of the features, the linear layer.
    "resnet18": (None, "layer4", "fc"),
    "mobilenet_v2": (None, "features", "classifier.1"),
    "efficientnet_lite0": (None, "bn2", "classifier"),
    "regnet": (torchvision.models.regnet_x_400mf, "trunk_output", "fc"),
    "shufflenet": (torchvision.models.shufflenet_v2_x0_5, "conv5", "fc"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_cam_of_torchcam(name):
    make, features, linear = LINEAR[name]
    shape, classes = (64, 96), torch.tensor(CLASSES)[:, None]
    batch = images(shape)
    if make is None:
        made, cut = network(name), classifier(name)
    else:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(6)
            made = calibrated(make(num_classes=10).eval(), shape)
        cut = classifier_of(made, shape)
    with torchcam.CAM(made, features, linear) as extractor, torch.no_grad():
        made(batch)
        (expected,) = extractor(class_idx=CLASSES, normalized=False)
        actual = Cam().maps(cut, batch, cut(batch), classes)[:, 0]
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def camtool_maps_scaled(method, name, factor):
    """Our map of the network with larger scores, by its features and gradients."""
    batch = images(NETWORKS[name][1])
    with capture(classifier(name)) as captured:
        captured.scores(batch)
        (features,) = captured.grids()
        (gradients,) = captured.gradients(torch.tensor(CLASSES))
    return method.weighted(features, gradients * factor)


GRAD_CAM = {
    "grad-cam": (pytorch_grad_cam.GradCAM, GradCam(), 1),
    "grad-cam++": (pytorch_grad_cam.GradCAMPlusPlus, GradCamPlusPlus(), SCALE),
    "xgrad-cam": (pytorch_grad_cam.XGradCAM, XGradCam(), 1),
    "hires-cam": (pytorch_grad_cam.HiResCAM, HiResCam(relu=True), 1),
    "layer-cam": (pytorch_grad_cam.LayerCAM, LayerCam(), 1),
    "eigen-cam": (pytorch_grad_cam.EigenCAM, EigenCam(centred=True), 1),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("method", GRAD_CAM)
def test_pytorch_grad_cam(method, name):
    reference, own, factor = GRAD_CAM[method]
    _, shape, layer = NETWORKS[name]
    module = network(name).get_submodule(layer)
    targets = [ClassifierOutputTarget(c) for c in CLASSES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        to_grid = channels_first if name == "swin" else grid_of_tokens
        extractor = reference(Scaled(network(name), factor), [module], to_grid)
        expected = extractor(images(shape), targets)
        extractor.activations_and_grads.release()
        actual = (
            camtool_maps(own, name) if factor == 1 else camtool_maps_scaled(own, name, factor)
        ).numpy()
    if method == "eigen-cam":
        actual = np.stack(
            [with_sign_of(*pair, shape) for pair in zip(actual, expected, strict=True)]
        )
    assert expected.max() > 0
    np.testing.assert_allclose(at_image_size(actual, shape), expected, rtol=0, atol=1e-4)


def at_image_size(maps, shape):
    """Their ReLU, scaling to [0, 1] and resizing."""
    return scale_cam_image(scale_cam_image(np.maximum(maps, 0), shape[::-1]))


def with_sign_of(one, expected, shape):
    sides = [np.abs(at_image_size(sign * one[None], shape)[0] - expected).max() for sign in (1, -1)]
    return one if sides[0] < sides[1] else -one
