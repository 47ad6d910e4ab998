"""Dilated depthwise convolutions by sub-grids equal the plain ones."""

from __future__ import annotations

import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn

from camtool.models import ModelSettings
from camtool.models.layers import DilatedDepthwise, replace_dilated


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
@pytest.mark.parametrize(("kernel", "step"), [(3, 2), (5, 2), (5, 4), (3, 3)])
@pytest.mark.parametrize("shape", [(7, 7), (8, 5), (2, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_the_plain_one(kind, kernel, step, shape, bias):
    padding = kernel // 2 * step if kind is nn.Conv2d else 0
    plain = kind(6, 6, kernel, padding=padding, dilation=step, groups=6, bias=bias).double()
    fast = DilatedDepthwise(plain)
    assert fast.weight is plain.weight
    results = []
    for layer in (plain, fast):
        grid = draw(2, 6, *shape).requires_grad_()
        out = layer(grid)
        inputs = [grid, *plain.parameters()]
        results.append((out, *torch.autograd.grad((out * draw(*out.shape)).sum(), inputs)))
    assert results[0][0].shape == (2, 6, *shape)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_channels_stay_last():
    layer = DilatedDepthwise(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8))
    grid = torch.randn(2, 8, 7, 7).contiguous(memory_format=torch.channels_last)
    assert layer(grid).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=4),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, stride=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, padding_mode="reflect"),
        nn.Conv2d(4, 4, (3, 1), padding=(2, 0), dilation=2, groups=4),
        nn.Conv2d(4, 4, 4, padding=4, dilation=2, groups=4),
    ],
)
def test_others_are_left_alone(other):
    network = nn.Sequential(other)
    replace_dilated(network)
    assert network[0] is other


def test_the_bundled_network_at_a_finer_grid():
    coarse, fine = ModelSettings().build(), ModelSettings(output_stride=16).build()
    count = [sum(isinstance(m, DilatedDepthwise) for m in c.modules()) for c in (coarse, fine)]
    assert count[0] == 0
    assert count[1] >= 3
    assert coarse.state_dict().keys() == fine.state_dict().keys()
    images = torch.randn(2, 3, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain = fine(images).logits  # the library's convolution
    torch.testing.assert_close(fine(images).logits.detach(), plain, rtol=1e-4, atol=1e-4)
