"""Attention-based dropout by hand, and its places in a network."""

from __future__ import annotations

import pytest
import torch

from camtool.errors import ModelError
from camtool.models import ExtraConv, ModelSettings
from camtool.training.losses import CrossEntropy
from camtool.training.methods import Adl
from camtool.training.methods.trainees import AttentionDropout
from tests.training.methods.drawn_networks import generator, pictures, plain, small

FEATURES = torch.tensor([[[[4.0, 0.0], [6.0, 9.0]], [[4.0, 2.0], [2.0, 11.0]]],
                         [[[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [2.0, 0.0]]]])  # fmt: skip
# Means over the channels: 4 1 / 4 10, and 1 1 / 1 0; at γ = .4 those of 4 and 1 or more go.
ATTENTION = torch.tensor([[[[4.0, 1.0], [4.0, 10.0]]], [[[1.0, 1.0], [1.0, 0.0]]]])
KEPT = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 1.0]]]])


def test_what_a_layer_does():
    layer = AttentionDropout(0.4).train()
    drop = torch.tensor([True, False])
    assert torch.equal(layer(FEATURES, drop, 0), FEATURES * KEPT)
    weighed = FEATURES / (1 + (-ATTENTION).exp())
    torch.testing.assert_close(layer(FEATURES, drop, 1), weighed)
    assert layer(FEATURES, None, 0) is FEATURES
    assert layer.eval()(FEATURES, drop, 0) is FEATURES


def test_the_importance_map_has_a_gradient_and_the_mask_has_none():
    features = FEATURES.clone().requires_grad_()
    layer = AttentionDropout(0.4).train()
    layer(features, torch.tensor([True]), 0).sum().backward()
    assert torch.equal(features.grad, KEPT.expand_as(features))
    features.grad = None
    layer(features, torch.tensor([False]), 0).sum().backward()
    # d/df_k [ Σ_j f_j · s(A) ] = s(A) + Σ_j f_j · s'(A) / K, with Σ_j f_j = K·A.
    s = ATTENTION.sigmoid()
    expected = s + ATTENTION * s * (1 - s)
    torch.testing.assert_close(features.grad, expected.expand_as(features))


def test_by_default_the_last_features():
    classifier = plain([[1.0, 0, 0], [0, 1, 0]])
    images = torch.rand(2, 3, 2, 3)
    method = Adl(drop_rate=1.0, threshold=0.9)
    result = method.step(
        method.trainee(classifier, 0).train(), images, torch.tensor([0, 1]), CrossEntropy(),
        generator(),
    )  # fmt: skip
    attention = images.mean(1, keepdim=True)
    kept = images * (attention < 0.9 * attention.amax((2, 3), keepdim=True))
    torch.testing.assert_close(result.logits, kept.mean((2, 3))[:, :2])


def test_drop_rate():
    trainee = Adl().trainee(plain([[1.0, 0, 0], [0, 1, 0]]), 0).train()
    images, draws = torch.rand(1, 3, 2, 3), generator()
    weighed = trainee(images, torch.tensor([False]))
    method = Adl(drop_rate=0.75)
    steps = [
        method.step(trainee, images, torch.tensor([0]), CrossEntropy(), draws) for _ in range(400)
    ]
    share = sum(not torch.equal(s.logits, weighed) for s in steps) / 400
    assert share == pytest.approx(0.75, abs=0.06)


def test_within_the_backbone_each_point_has_its_own_draw():
    """The same as hooks on the blocks that end there."""
    method = Adl(points=("layer2", "layer3.0"), threshold=0.5)
    trainee = method.trainee(small(), 0).train()
    assert len([m for m in trainee.modules() if isinstance(m, AttentionDropout)]) == 3
    graph = trainee.classifier.features.graph
    calls = {n.target: n for n in graph.nodes if str(n.target).startswith("inserted")}
    assert calls["inserted_0"].args[0].meta["path"] == "layer2"
    assert calls["inserted_1"].args[0].meta["path"].startswith("layer3.0")
    outputs = {
        draw: trainee(pictures(), torch.tensor(draw)).detach()
        for draw in [(a, b, c) for a in (True, False) for b in (True, False) for c in (True, False)]
    }
    values = list(outputs.values())
    assert not any(
        torch.allclose(values[i], values[j]) for i in range(8) for j in range(i)
    )  # fmt: skip


def test_what_follows_the_point_reads_the_dropped_features():
    classifier = small().train()
    seen = {}
    layer3 = classifier.features.get_submodule("layer3.0.conv1")
    layer3.register_forward_pre_hook(lambda _, given: seen.update(given=given[0].detach()))
    plain_logits = classifier(pictures()).logits
    before = seen["given"]
    method = Adl(points=("layer2",), threshold=0.5)
    trainee = method.trainee(classifier, 0).train()
    trainee(pictures(), torch.tensor([True, False]))
    attention = before.mean(1, keepdim=True)
    kept = before * (attention < 0.5 * attention.amax((2, 3), keepdim=True))
    torch.testing.assert_close(seen["given"], kept)
    torch.testing.assert_close(classifier(pictures()).logits, plain_logits)  # no draw: as it was


def test_the_names_of_the_weights_stay():
    names = small().state_dict().keys()
    assert Adl(points=("layer1",)).prepare(small()).state_dict().keys() == names


def test_behind_an_extra_convolution():
    settings = ModelSettings(
        backbone="timm/test_resnet", weights="none", extra_conv=ExtraConv(channels=8)
    )
    method = Adl(points=("layer2",))
    trainee = method.trainee(settings.build(0, 5), 0).train()
    assert trainee(pictures(), torch.tensor([True, True])).shape == (4, 5)


def test_points_that_are_not_there():
    with pytest.raises(ModelError) as raised:
        Adl(points=("layer9",)).trainee(small(), 0)
    assert str(raised.value) == (
        "no layer 'layer9' in the backbone's features; there are layer4, layer3, layer2"
    )
    with pytest.raises(ModelError, match=r"^no layer '' in the backbone's features; there are "):
        Adl(points=("",)).trainee(small(), 0)
    swin = ModelSettings(backbone="torchvision/swin_t", weights="none").build(0, 5)
    with pytest.raises(ModelError) as raised:
        Adl(points=("features.1",)).trainee(swin, 0)
    assert str(raised.value) == (
        "torchvision/swin_t: 'features.1' gives (1, 56, 56, 96), which is no grid of features"
        " (B, K, h, w): choose another layer"
    )
    with pytest.raises(ModelError, match=r"^test/plain keeps channels last, or tokens; no layer"):
        Adl(points=("conv",)).trainee(plain([[1.0, 0, 0]]), 0)
