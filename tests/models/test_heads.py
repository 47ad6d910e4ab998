from __future__ import annotations

import pytest
import torch
from torch import nn

from camtool.models.heads import LinearHead, NormLinearHead, PerClassHead

# Two channels on a grid of 1×2.
FEATURES = torch.tensor([[[[1.0, 3.0]], [[0.0, 4.0]]]])


def test_linear_head_by_hand():
    head = LinearHead(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]), torch.tensor([10.0, 20.0]))
    assert head(FEATURES).tolist() == [[16.0, 19.0]]
    assert head.class_maps(FEATURES, torch.tensor([[1, 0]])).tolist() == [
        [[[-1.0, -1.0]], [[1.0, 11.0]]]
    ]
    assert head.bias().tolist() == [10.0, 20.0]


def test_linear_head_without_bias():
    head = LinearHead(torch.tensor([[1.0, 2.0]]), None)
    assert head(FEATURES).tolist() == [[6.0]]
    assert head.bias().tolist() == [0.0]


def test_norm_linear_head_by_hand():
    """Pooled: (2, 2 + 2·3) with mean 5 and deviation 3; so the normed vector is (-1, 1)."""
    features = torch.tensor([[[[0.0, 4.0]], [[8.0, 8.0]]]])
    norm = (torch.tensor([2.0, 3.0]), torch.tensor([0.5, -0.5]), 0.0)
    head = NormLinearHead(norm, torch.tensor([[1.0, 1.0]]), torch.tensor([7.0]))
    # (-1·2 + .5) + (1·3 - .5) + 7
    assert head(features).tolist() == [[8.0]]
    assert head.bias().tolist() == [7.0]
    # Weights (2, 3) centred: (-.5, .5), over the deviation: (-1/6, 1/6).
    maps = head.class_maps(features, torch.tensor([[0]]))
    torch.testing.assert_close(maps, torch.tensor([[[[8 / 6, 4 / 6]]]]))


@pytest.mark.parametrize("parts", [(True, True), (True, False), (False, True), (False, False)])
def test_norm_linear_head_equals_the_layers(parts):
    torch.manual_seed(0)
    norm = nn.LayerNorm(6, eps=1e-3, elementwise_affine=parts[0])
    if parts[0]:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    linear = nn.Linear(6, 4, bias=parts[1])
    head = NormLinearHead((norm.weight, norm.bias, norm.eps), linear.weight, linear.bias)
    features = torch.randn(3, 6, 2, 5)
    logits = linear(norm(features.mean((2, 3))))
    torch.testing.assert_close(head(features), logits)
    classes = torch.tensor([[0, 3], [1, 1], [2, 0]])
    means = head.class_maps(features, classes).mean((2, 3)) + head.bias()[classes]
    torch.testing.assert_close(means, logits.gather(1, classes))


def test_per_class_head_by_hand():
    head = PerClassHead(2)
    assert head(FEATURES).tolist() == [[2.0, 2.0]]
    two = torch.cat([FEATURES, FEATURES + 10])
    maps = head.class_maps(two, torch.tensor([[1], [0]]))
    assert maps.tolist() == [[[[0.0, 4.0]]], [[[11.0, 13.0]]]]
    assert head.bias().tolist() == [0.0, 0.0]
    assert not head.state_dict()
