"""Score-CAM, Ablation-CAM and Eigen-CAM, as in pytorch-grad-cam and by hand.


The networks are those of `tests.networks` with fewer channels at the end, and scores that
differ much from channel to channel: else the weights of Score-CAM are all alike, and after a layer
norm their sum is rounding.

- Score-CAM: the paper (equation 7) and its program scale a mask after it is upsampled, torchcam
  before; pytorch-grad-cam upsamples with aligned corners, against the grid that the network sees.
  Compared with the latter, corners not aligned.
- Ablation-CAM: the paper puts zeros; pytorch-grad-cam puts -1e7 below the minimum where features
  may be negative. Compared with its own layer where they are not, and with zeros everywhere. We
  divide by the size of the score, the paper by the score: compared where it is positive.
"""

from __future__ import annotations

import copy
import functools
import warnings

import numpy as np
import pytest
import pytorch_grad_cam
import timm
import torch
import torchvision
from pytorch_grad_cam.ablation_layer import AblationLayer
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.layers import BatchNormAct2d
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torchvision.ops import Conv2dNormActivation

from camtool.cam import AblationCam, EigenCam, ScoreCam
from camtool.cam.capture import capture
from tests.cam.test_references import at_image_size, channels_first, grid_of_tokens
from tests.networks import NETWORKS, Gap, Vgg, calibrated, classifier, classifier_of, images

# A layer norm behind the pooling leaves nothing that speaks for the class of the greatest score.
OTHERS = {"convnext": [7, 7]}
CHANNELS = 24
SHARPER = 30.0
"""Factor of the scores."""


def mobilenet():
    made = torchvision.models.mobilenet_v2(num_classes=10, width_mult=0.35)
    inside = made.features[18][0].in_channels
    made.features[18] = Conv2dNormActivation(
        inside, CHANNELS, kernel_size=1, activation_layer=nn.ReLU6
    )
    made.classifier[1] = nn.Linear(CHANNELS, 10)
    return made


def lite0():
    made = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    made.conv_head = nn.Conv2d(320, CHANNELS, 1, bias=False)
    made.bn2 = BatchNormAct2d(CHANNELS, act_layer=nn.ReLU6)
    made.classifier = nn.Linear(CHANNELS, 10)
    made.num_features = CHANNELS
    return made


NARROW = {
    "resnet18": lambda: ResNet(BasicBlock, (1, 1, 1, 1), 10, channels=(8, 12, 16, CHANNELS)),
    "vgg": Vgg,
    "mobilenet_v2": mobilenet,
    "efficientnet_lite0": lite0,
    **{name: NETWORKS[name][0] for name in ("convnext", "swin", "vit")},
}
assert NARROW.keys() == NETWORKS.keys()


@functools.cache
def narrow(name):
    """The network and its classifier."""
    shape = NETWORKS[name][1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        made = NARROW[name]().eval()
        for key, parameter in made.named_parameters():
            # Else a layer norm sees zeros where a mask is 0, and makes scores of their rounding.
            if key.endswith("bias"):
                nn.init.normal_(parameter, std=0.1)
        made = calibrated(made, shape)
    *_, last = (m for m in made.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        last.weight.mul_(SHARPER)
        # Of negative scores ours are other maps: no test of theirs.
        last.bias.add_(1 - made(images(shape)).min())
    return made, classifier_of(made, shape, name)


class Zeros(AblationLayer):
    """Puts zeros, whatever the order of the axes; the class token stays."""

    def __init__(self, axis, first):
        super().__init__()
        self.axis, self.first = axis, first

    def set_next_batch(self, input_batch_index, activations, num_channels_to_ablate):
        chosen = activations[input_batch_index]
        self.activations = chosen.repeat(num_channels_to_ablate, *[1] * chosen.ndim)

    def __call__(self, _):
        for one, channel in zip(self.activations, self.indices, strict=False):
            one.movedim(self.axis - 1, 0)[channel, self.first :] = 0
        return self.activations


def classes(name):
    """The class of the greatest score of each image, whose map is not all zero."""
    made, _ = narrow(name)
    with torch.no_grad():
        return OTHERS.get(name) or made(images(NETWORKS[name][1])).argmax(1).tolist()


def reference_maps(kind, name, **options):
    made, _ = narrow(name)
    _, shape, layer = NETWORKS[name]
    to_grid = channels_first if name == "swin" else grid_of_tokens
    targets = [ClassifierOutputTarget(c) for c in classes(name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extractor = kind(made, [made.get_submodule(layer)], to_grid, **options)
        result = extractor(images(shape), targets)
        extractor.activations_and_grads.release()
    return result


def camtool_maps(method, name):
    batch = images(NETWORKS[name][1])
    _, made = narrow(name)
    with torch.no_grad():
        maps = method.maps(made, batch, made(batch), torch.tensor(classes(name))[:, None])[:, 0]
    assert (maps.amax((1, 2)) > 0).all()
    return at_image_size(maps.numpy(), NETWORKS[name][1])


@pytest.mark.parametrize("name", NARROW)
def test_score_cam(name, monkeypatch):
    unaligned = functools.partial(torch.nn.Upsample, mode="bilinear", align_corners=False)
    monkeypatch.setattr(torch.nn, "UpsamplingBilinear2d", unaligned)
    expected = reference_maps(pytorch_grad_cam.ScoreCAM, name)
    np.testing.assert_allclose(camtool_maps(ScoreCam(), name), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NARROW)
def test_ablation_cam(name):
    order = {"swin": (3, 0), "vit": (2, 1)}.get(name, (1, 0))
    actual = camtool_maps(AblationCam(), name)
    expected = reference_maps(pytorch_grad_cam.AblationCAM, name, ablation_layer=Zeros(*order))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    if name in ("resnet18", "vgg", "mobilenet_v2", "efficientnet_lite0"):
        expected = reference_maps(
            pytorch_grad_cam.AblationCAM, name, ablation_layer=AblationLayer()
        )
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


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
