from __future__ import annotations

import pytest
import torch
from torch import nn

from camtool.errors import ModelError
from camtool.models import ExtraConv, ModelSettings
from camtool.models.foreground import attach, new_head
from camtool.models.stages import cuts_of, rest_behind
from tests.networks import Gap, classifier_of, images

BACKBONES = (
    "timm/resnet18", "timm/tf_efficientnet_lite0", "timm/densenet121", "timm/convnext_atto",
    "torchvision/squeezenet1_1", "torchvision/mobilenet_v2", "timm/regnetx_002",
)  # fmt: skip


def built(name, **options):
    return ModelSettings(backbone=name, weights="none", **options).build(0)


def at(network, point, batch):
    """The tensor at a point, by a pass through the whole network."""
    head = new_head(network, 0, point=point)
    attach(network, head)
    forward = network(batch)
    return forward, forward.stages[1]


@pytest.mark.parametrize("name", BACKBONES)
def test_the_rest_behind_a_cut_makes_the_same_features(name):
    network, batch = built(name), torch.rand(2, 3, 64, 96)
    network.spec = type(network.spec)((96, 64), network.spec.mean, network.spec.std, "bilinear", 1)
    cuts = [cut for cut in cuts_of(network) if cut.stride >= 8]
    assert cuts
    assert [cut.stride for cut in cuts] == sorted(cut.stride for cut in cuts)
    with torch.inference_mode():
        expected = network(batch).features
        for cut in (cuts[0], cuts[len(cuts) // 2]):
            other = built(name)
            other.spec = network.spec
            rest = rest_behind(other, cut.point)
            forward, grid = at(other, cut.point, batch)
            assert grid.shape == (2, cut.channels, *cut.grid)
            assert torch.equal(forward.features, expected)
            assert torch.equal(rest(grid), expected)


def test_with_a_convolution_put_on():
    network = built("timm/test_resnet", extra_conv=ExtraConv(channels=8))
    rest, batch = rest_behind(network, "layer2"), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        forward, grid = at(network, "layer2", batch)
        assert torch.equal(rest(grid), forward.features)


class Skipping(nn.Module):
    """The third block adds what came before the second."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.three = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, images):
        first = self.one(images)
        return self.fc(self.three(self.two(first) + first).mean((2, 3)))


def test_a_cut_behind_which_the_network_looks_back_is_refused():
    network = classifier_of(Skipping(), (32, 48))
    assert "two" not in {cut.point for cut in cuts_of(network)}
    message = r"cannot be cut at 'two': .* it can be cut at one \(stride 2\)"
    with pytest.raises(ModelError, match=message):
        rest_behind(network, "two")
    with pytest.raises(ModelError, match="no layer 'nine'"):
        rest_behind(network, "nine")


def test_recorders_do_not_hide_cuts():
    network = built("timm/resnet18")
    before = cuts_of(network)
    attach(network, new_head(network, 0))
    assert cuts_of(network) == before
    with torch.inference_mode():
        forward = network(images((64, 64), 1))
        rest = rest_behind(network, "layer2")  # a recorder lies behind it
        assert torch.equal(rest(forward.stages[0]), forward.features)


def test_networks_that_are_no_chain_of_layers():
    with pytest.raises(ModelError, match="no chain of layers that could be cut"):
        cuts_of(built("torchvision/mobilenet_v3_small"))
    assert [cut.point for cut in cuts_of(classifier_of(Gap(), (32, 48)))] == [
        "first", "act", "second",
    ]  # fmt: skip
