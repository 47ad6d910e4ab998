"""SPG by hand: masks, the loss that looks at sure places only, who teaches whom."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from camtool.errors import ModelError, SettingsError
from camtool.training.losses import CrossEntropy
from camtool.training.methods import Spg
from camtool.training.methods.trainees import GuidedTrainee, mask_loss
from tests.training.methods.drawn_networks import generator, pictures, plain, small


def bce(logit, target):
    return math.log1p(math.exp(-logit if target else logit))


def test_only_sure_places_count():
    guide = torch.tensor([[[[0.9, 0.5], [0.3, 0.0]]]])
    logits = torch.tensor([[[[2.0, 100.0], [-100.0, -1.0]]]], requires_grad=True)
    loss = mask_loss(logits, guide, 0.2, 0.7)
    assert loss.item() == pytest.approx((bce(2, True) + bce(-1, False)) / 2)
    loss.backward()
    assert (logits.grad != 0).tolist() == [[[[True, False], [False, True]]]]
    sure = mask_loss(logits, guide, 0.5, 0.5)  # .5 itself is neither above nor below
    assert sure.item() == pytest.approx(
        (bce(2, True) + bce(-100, False) + bce(-1, False)) / 3, rel=1e-5
    )


def test_nothing_sure_teaches_nothing():
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    loss = mask_loss(logits, torch.full((1, 1, 2, 2), 0.5), 0.1, 0.9)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_a_guide_of_another_grid_is_resized():
    guide = torch.tensor([[[[0.0, 1.0]]]])
    logits = torch.zeros(1, 1, 2, 4)
    # Bilinear, by the centres of pixels: 0 .25 .75 1 in each row.
    assert mask_loss(logits, guide, 0.3, 0.7).item() == pytest.approx(math.log(2))
    high = torch.zeros(1, 1, 2, 4)
    high[..., 2:] = 3.0
    high[..., :2] = -3.0
    assert mask_loss(high, guide, 0.3, 0.7).item() == pytest.approx(bce(3, True))
    assert mask_loss(high, guide, 0.1, 0.9).item() == pytest.approx(bce(3, True))


def by_hand():
    """Pictures as features; B is channel 1 less 1, C is channel 2."""
    trainee = GuidedTrainee(plain([[1.0, 0, 0], [0, 1, 0]]), 0, 4, 0)
    pick = {name: nn.Conv2d(3, 1, 1) for name in ("b", "c")}
    with torch.no_grad():
        for layer, channel, bias in ((pick["b"], 1, -1.0), (pick["c"], 2, 0.0)):
            layer.weight.zero_()
            layer.weight[0, channel] = 1
            layer.bias.fill_(bias)
    trainee.firsts = nn.ModuleList([nn.Identity()])
    trainee.shared, trainee.refined = pick["b"], pick["c"]
    return trainee.train()


def test_the_class_map_teaches_b_and_b_teaches_c():
    images = torch.zeros(1, 3, 2, 3)
    images[0, 0] = torch.tensor([[0.0, 1.0, 2.0], [6.0, 8.0, 10.0]])
    images[0, 1] = torch.tensor([[-9.0, 1.0, 0.0], [3.0, 1.0, 9.0]])
    images[0, 2] = torch.tensor([[2.0, 50.0, -50.0], [1.0, 50.0, 4.0]])
    logits, guidance = by_hand()(images, torch.tensor([0]), (0.15, 0.7), (0.1, 0.8))
    torch.testing.assert_close(logits, torch.tensor([[27 / 6, 5 / 6]]))
    # The map of class 0, scaled: 0 .1 .2 / .6 .8 1: background at two places, foreground at two.
    side = (bce(-10, False) + bce(0, False) + bce(0, True) + bce(8, True)) / 4
    # B: sigmoid of -10 0 -1 / 2 0 8 = 0 .5 .27 / .88 .5 1: sure at the first, fourth and last.
    refined = (bce(2, False) + bce(1, True) + bce(4, True)) / 3
    assert guidance.item() == pytest.approx(side + refined, rel=1e-5)
    method = Spg(guide=(0.15, 0.7), refine=(0.1, 0.8), weight=0.5)
    result = method.step(by_hand(), images, torch.tensor([0]), CrossEntropy(), generator())
    expected = CrossEntropy()(torch.tensor([[27 / 6, 5 / 6]]), torch.tensor([0]))
    torch.testing.assert_close(result.loss, expected + 0.5 * (side + refined))


def test_masks_carry_no_gradient():
    trainee = by_hand()
    _, guidance = trainee(torch.rand(2, 3, 2, 3), torch.tensor([0, 1]), (0.3, 0.6), (0.5, 0.5))
    (grad,) = torch.autograd.grad(guidance, trainee.classifier.head.weight, allow_unused=True)
    assert grad is None


def test_branches_stand_at_the_points_from_the_front_to_the_back():
    method = Spg(points=("layer2", "layer3"), channels=8)
    trainee = method.trainee(small(), 0)
    assert [f[0].in_channels for f in trainee.firsts] == [48, 192, 96]
    seen = []
    for first in trainee.firsts:
        first.register_forward_hook(lambda *a: seen.append(tuple(a[2].shape[2:])))
    method.step(trainee.train(), pictures(), torch.tensor([0, 1, 2, 3]), CrossEntropy(), None)
    assert seen == [(2, 3), (4, 6), (8, 12)]  # the last features' branch is taught first


def test_in_use_the_classifier_is_the_plain_one():
    trainee = Spg(points=("layer3",)).trainee(small(), 0)
    with torch.inference_mode():
        expected = small()(pictures()).logits
        assert torch.equal(trainee.classifier.eval()(pictures()).logits, expected)
    assert trainee.classifier.state_dict().keys() == small().state_dict().keys()


def test_wrong_settings():
    with pytest.raises(SettingsError, match=r"guide: low \(0\.6\) is above high \(0\.5\)"):
        Spg(guide=(0.6, 0.5))
    with pytest.raises(ModelError, match=r"^no layer 'layer7' in the backbone's features"):
        Spg(points=("layer7",)).trainee(small(), 0)
