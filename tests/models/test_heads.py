"""Heads by hand; poolings, their order, limits and gradients; what maps owe to logits."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from torch import nn

from camtool.models import POOLINGS, Gap, Gmp, Lse, PerClass, Pooling
from camtool.models.heads import ClassMapHead, LinearHead, NormLinearHead, PerClassHead

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


SPATIAL = [Gap(), Gmp(), Lse(r=0.5), Lse(), Lse(r=40.0)]


def grid(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6),
    st.floats(1e-6, 1e4, exclude_min=True),
)
@settings(deadline=None)
def test_lse_lies_between_mean_and_maximum(values, r):
    features = torch.tensor(values, dtype=torch.float64).view(1, 1, 2, 3)
    low, mid, high = (p.pool(features).item() for p in (Gap(), Lse(r=r), Gmp()))
    slack = 1e-9 * (1 + abs(low) + abs(high))
    assert low - slack <= mid <= high + slack


def test_lse_is_its_formula():
    features = grid(2, 3, 4, 5)
    plain = (2.5 * features).exp().mean((2, 3)).log() / 2.5
    torch.testing.assert_close(Lse(r=2.5).pool(features), plain)


def test_lse_grows_with_r_from_the_mean_to_the_maximum():
    features = grid(2, 3, 4, 5)
    steps = [Lse(r=r).pool(features) for r in (1e-9, 1e-3, 0.1, 1.0, 10.0, 100.0, 1e4)]
    assert all((a < b).all() for a, b in pairwise(steps))
    torch.testing.assert_close(steps[0], Gap().pool(features), rtol=0, atol=1e-7)
    # The maximum is missed by at most log(hw) / r, when one place alone has it.
    torch.testing.assert_close(steps[-1], Gmp().pool(features) - math.log(20) / 1e4)


@pytest.mark.parametrize("r", [1e-6, 1e-3, 5.0, 1e4])
def test_lse_in_single_precision(r):
    features = grid(2, 3, 14, 14, scale=30)
    exact = Lse(r=r).pool(features)
    assert torch.allclose(Lse(r=r).pool(features.float()).double(), exact, rtol=1e-5, atol=1e-4)


def test_lse_of_large_values_and_of_half_precision():
    features = torch.tensor([[[[1e6, -1e6], [1e6, 0.0]]]])
    assert Lse(r=5.0).pool(features).item() == pytest.approx(1e6 - math.log(2) / 5, rel=1e-6)
    half = grid(1, 2, 7, 7).bfloat16()
    pooled = Lse().pool(half)
    assert pooled.dtype == torch.bfloat16
    torch.testing.assert_close(pooled, Lse().pool(half.float()).bfloat16())


@pytest.mark.parametrize("r", [1e-6, 0.3, 5.0, 100.0])
def test_the_gradient_of_lse_is_the_spatial_softmax(r):
    features = grid(2, 3, 4, 5).requires_grad_()
    (actual,) = torch.autograd.grad(Lse(r=r).pool(features).sum(), features)
    softmax = (r * features.detach()).flatten(2).softmax(2).view_as(features)
    torch.testing.assert_close(actual, softmax)
    torch.testing.assert_close(actual.sum((2, 3)), torch.ones(2, 3).double())
    assert torch.autograd.gradcheck(Lse(r=min(r, 5.0)).pool, features, atol=1e-4)


def test_the_gradients_of_mean_and_maximum():
    features = torch.tensor([[[[1.0, 4.0, 2.0], [0.0, 3.0, 4.0]]]], requires_grad=True)
    (mean,) = torch.autograd.grad(Gap().pool(features).sum(), features)
    assert mean.tolist() == [[[[pytest.approx(1 / 6)] * 3] * 2]]
    (top,) = torch.autograd.grad(Gmp().pool(features).sum(), features)
    assert top.tolist() == [[[[0, 0.5, 0], [0, 0, 0.5]]]]


WEIGHT, BIAS = grid(5, 4, seed=1), grid(5, seed=2)
NORM = (grid(4, seed=3), grid(4, seed=4), 1e-5)
CLASSES = torch.tensor([[4, 0], [2, 2]])


@pytest.mark.parametrize("pooling", SPATIAL, ids=repr)
def test_features_pooled_then_linear(pooling):
    """The logit is the same weighted sum of pooled features that the map is of features."""
    features, head = grid(2, 4, 3, 6), LinearHead(WEIGHT, BIAS, pooling)
    logits = head(features)
    for b, row in enumerate(CLASSES.tolist()):
        for n, c in enumerate(row):
            pairs = list(zip(WEIGHT[c], features[b], strict=True))
            torch.testing.assert_close(
                head.class_maps(features, CLASSES)[b, n], sum(w * f for w, f in pairs)
            )
            pooled = sum(w * pooling.pool(f[None, None])[0, 0] for w, f in pairs)
            torch.testing.assert_close(logits[b, c], pooled + head.bias()[c])


@pytest.mark.parametrize("pooling", SPATIAL, ids=repr)
def test_pooled_class_map_and_bias_are_the_logit(pooling):
    """What `per-class` promises; and GAP on features, where both definitions are one."""
    features = grid(2, 4, 3, 6)
    heads = [ClassMapHead(WEIGHT, BIAS, pooling)]
    heads += [LinearHead(WEIGHT, BIAS, pooling)] if pooling == Gap() else []
    for head in heads:
        pooled = pooling.pool(head.class_maps(features, CLASSES)) + head.bias()[CLASSES]
        torch.testing.assert_close(pooled, head(features).gather(1, CLASSES))
    bare = PerClassHead(4, pooling)
    pooled = pooling.pool(bare.class_maps(features, CLASSES % 4))
    torch.testing.assert_close(pooled, bare(features).gather(1, CLASSES % 4))


def test_max_pooling_of_features_and_of_class_maps_are_not_the_same():
    features = grid(2, 4, 3, 6)
    by_features = LinearHead(WEIGHT, BIAS, Gmp())(features)
    assert not torch.allclose(by_features, ClassMapHead(WEIGHT, BIAS, Gmp())(features))


@pytest.mark.parametrize("pooling", SPATIAL, ids=repr)
def test_norm_between_pooling_and_scores(pooling):
    features, head = grid(2, 4, 3, 6), NormLinearHead(NORM, WEIGHT, BIAS, pooling)
    weights = head.map_weights(features, CLASSES)
    sums = (weights * pooling.pool(features)[:, None]).sum(2) + head.bias()[CLASSES]
    torch.testing.assert_close(sums, head(features).gather(1, CLASSES))
    maps = torch.einsum("bnk,bkhw->bnhw", weights, features)
    torch.testing.assert_close(head.class_maps(features, CLASSES), maps)


@pytest.mark.parametrize("kind", [LinearHead, ClassMapHead])
def test_dropout_acts_in_training_only(kind):
    head = kind(torch.eye(4), None)
    head.dropout = 0.5
    features = torch.ones(1, 4, 50, 50)
    assert torch.equal(head.eval()(features), torch.ones(1, 4))
    torch.manual_seed(0)
    dropped = head.train()(features)
    if kind is LinearHead:
        assert set(dropped.flatten().tolist()) == {0.0, 2.0}
    else:
        assert ((dropped - 1).abs() < 0.1).all()
        assert not torch.equal(dropped, torch.ones(1, 4))


def test_the_settings_of_the_union():
    read = TypeAdapter(Pooling).validate_python
    assert read({"name": "lse", "r": 2.0}) == Lse(r=2.0)
    assert read({"name": "per-class", "by": {"name": "gmp"}}) == PerClass(by=Gmp())
    assert [p.model_fields["name"].default for p in POOLINGS] == ["gap", "gmp", "lse", "per-class"]
    for wrong in ({"name": "lse", "r": 0.0}, {"name": "gap", "r": 1.0}, {"name": "max"}):
        with pytest.raises(ValidationError):
            read(wrong)
