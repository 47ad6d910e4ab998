"""Gradients at the pixels: against finite differences and captum."""

from __future__ import annotations

import copy

import captum.attr
import pytest
import torch
from torch import nn

from camtool.cam import Backprop
from camtool.cam.passes import noisy
from camtool.cam.pixel_gradients import pixel_gradients
from camtool.errors import ModelError
from tests.networks import NETWORKS, Gap, classifier, classifier_of, images, network

CLASSES = torch.tensor([[3, 7], [0, 9]])
FIVE = ["resnet18", "vgg", "mobilenet_v2", "convnext", "vit"]


def maps_of(method, name):
    made, batch = classifier(name), images(NETWORKS[name][1])
    with torch.no_grad():
        return method.maps(made, batch, made(batch), CLASSES)


def test_finite_differences():
    made = copy.deepcopy(classifier("vgg")).double()
    batch = images((32, 48), 1).double()
    gradients = pixel_gradients(made, batch, torch.tensor([[4]]))[0, 0]
    step = 1e-6
    for place in [(0, 3, 5), (1, 20, 40), (2, 31, 0), (0, 16, 24), (2, 9, 33)]:
        ends = []
        for sign in (1, -1):
            moved = batch.clone()
            moved[(0, *place)] += sign * step
            with torch.no_grad():
                ends.append(made(moved).logits[0, 4])
        slope = (ends[0] - ends[1]) / (2 * step)
        torch.testing.assert_close(gradients[place].double(), slope, rtol=1e-4, atol=1e-7)
    made_map = Backprop().maps(made, batch, made(batch), torch.tensor([[4]]))
    torch.testing.assert_close(made_map[0, 0], gradients.abs().amax(0))


@pytest.mark.parametrize("name", FIVE)
def test_captum_saliency(name):
    batch = images(NETWORKS[name][1]).requires_grad_()
    maps = maps_of(Backprop(), name)
    for i in range(2):
        theirs = captum.attr.Saliency(network(name)).attribute(batch, CLASSES[:, i])
        torch.testing.assert_close(maps[:, i], theirs.amax(1), rtol=1e-3, atol=1e-6)
    summed = maps_of(Backprop(colours="sum"), name)
    torch.testing.assert_close(summed[:, 1], theirs.sum(1), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "vgg"])
def test_captum_guided(name):
    """Captum guides ReLUs that are modules, each used once and not in place."""
    plain = copy.deepcopy(network(name))
    for module in plain.modules():
        for child, inner in list(module.named_children()):
            if isinstance(inner, nn.ReLU):
                setattr(module, child, nn.ReLU())
    for block in plain.modules():
        if hasattr(block, "conv2") and hasattr(block, "relu"):
            split_relu(block)
    with pytest.warns(UserWarning):
        guided = captum.attr.GuidedBackprop(plain)
        theirs = guided.attribute(images(NETWORKS[name][1]).requires_grad_(), CLASSES[:, 0])
    maps = maps_of(Backprop(guided=True), name)
    torch.testing.assert_close(maps[:, 0], theirs.abs().amax(1), rtol=1e-3, atol=1e-6)
    assert (maps - maps_of(Backprop(), name)).abs().max() > 1e-3 * maps.max()


def split_relu(block):
    """A residual block with one module for each of its two ReLUs."""
    block.relu_first, block.relu_last = nn.ReLU(), nn.ReLU()

    def forward(x):
        identity = x if block.downsample is None else block.downsample(x)
        out = block.relu_first(block.bn1(block.conv1(x)))
        return block.relu_last(block.bn2(block.conv2(out)) + identity)

    block.forward = forward


def test_guided_relu6():
    """By hand: a gradient passes where it is positive and the input lies between 0 and 6."""

    class Six(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU6()

        def forward(self, batch):
            weights = torch.tensor([1.0, -1.0, 1.0, 1.0]).view(4, 1, 1)
            return (self.act(batch[:, :1]) * weights[None, :, 0, 0, None, None]).flatten(2).sum(2)

    made = classifier_of(Six(), (2, 2))
    batch = torch.tensor([[[[-1.0, 1.0], [7.0, 2.0]]]]).repeat(1, 3, 1, 1)
    for index, expected in ((0, [[0.0, 1.0], [0.0, 1.0]]), (1, [[0.0, 0.0], [0.0, 0.0]])):
        gradients = pixel_gradients(made, batch, torch.tensor([[index]]), guided=True)
        assert gradients[0, 0, 0].tolist() == expected


def test_nothing_to_guide():
    with pytest.raises(ModelError, match="vit has no ReLU that could be guided: guided: false"):
        maps_of(Backprop(guided=True), "vit")


def test_smoothgrad_is_the_mean_over_noisy_copies():
    batch = images(NETWORKS["vgg"][1])
    spread = batch.amax((1, 2, 3), keepdim=True) - batch.amin((1, 2, 3), keepdim=True)
    made = classifier("vgg")
    single = [
        Backprop().maps(made, one, made(one), CLASSES) for one in noisy(batch, 3, 0.1 * spread, 2)
    ]
    maps = maps_of(Backprop(samples=3, noise=0.1, seed=2), "vgg")
    torch.testing.assert_close(maps, torch.stack(single).mean(0))


def test_cells_cover_the_picture():
    full, cells = maps_of(Backprop(), "vgg"), maps_of(Backprop(stride=8), "vgg")
    assert cells.shape == (2, 2, 4, 6)
    torch.testing.assert_close(cells[0, 0, 1, 2], full[0, 0, 8:16, 16:24].mean())


def test_the_pixels_of_the_user_stay_without_gradients():
    made, batch = classifier_of(Gap(), (32, 48)), images((32, 48))
    pixel_gradients(made, batch, torch.tensor([[0], [1]]))
    assert not batch.requires_grad
    assert all(p.grad is None for p in made.parameters())
