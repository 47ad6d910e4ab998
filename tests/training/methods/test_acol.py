"""ACoL by hand: what is erased, what is minimised, which map comes out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from camtool.cam import Cam
from camtool.models.classifier import Forward
from camtool.training.losses import CrossEntropy, Logistic
from camtool.training.methods import Acol
from camtool.training.methods.trainees import (
    ComplementaryHead,
    ComplementaryTrainee,
    maps_of_labels,
    scaled,
)
from tests.training.methods.drawn_networks import generator, pictures, plain, small


def by_hand(threshold=0.6):
    """Branches without hidden layers: A's maps are channels 0 and 1, B's twice channels 1 and 2."""
    first, second = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None])
        second.weight.copy_(torch.tensor([[0.0, 2, 0], [0, 0, 2]])[:, :, None, None])
        first.bias.copy_(torch.tensor([10.0, 20.0]))
        second.bias.zero_()
    return ComplementaryHead(nn.Sequential(first), nn.Sequential(second), threshold)


FEATURES = torch.tensor([[[[0.0, 5.0], [6.0, 10.0]], [[8.0, 2.0], [4.0, 6.0]],
                          [[1.0, 1.0], [3.0, 7.0]]]])  # fmt: skip


def test_scaling():
    maps = torch.tensor([[[-2.0, 0.0], [2.0, 6.0]], [[3.0, 3.0], [3.0, 3.0]]])
    assert scaled(maps).tolist() == [[[0, 0.25], [0.5, 1]], [[0, 0], [0, 0]]]


def test_maps_of_labels():
    maps = torch.tensor([[[[0.0, 4.0]], [[2.0, 0.0]], [[5.0, 1.0]]]]).repeat(3, 1, 1, 1)
    one = maps_of_labels(maps, torch.tensor([0, 1, 2]))
    assert one.tolist() == [[[[0, 1]]], [[[1, 0]]], [[[1, 0]]]]
    several = maps_of_labels(maps, torch.tensor([[1.0, 1, 0], [0, 1, 1], [0, 0, 0]]))
    assert several.tolist() == [[[[1, 1]]], [[[1, 0]]], [[[0, 0]]]]


def test_branch_b_is_blind_where_branch_a_looks():
    """Class 0: A's map is 0 .5 / .6 1 when scaled, so at δ = .6 the lower row is erased."""
    first, second = by_hand().both(FEATURES, torch.tensor([0]))
    assert first.tolist() == [[21 / 4 + 10, 5 + 20]]
    assert second.tolist() == [[2 * (8 + 2) / 4, 2 * (1 + 1) / 4]]
    first, second = by_hand().both(FEATURES, torch.tensor([1]))  # 1 0 / .33 .67: the diagonal goes
    assert second.tolist() == [[2 * (2 + 4) / 4, 2 * (1 + 3) / 4]]


def test_the_larger_of_both_maps_at_each_place():
    head = by_hand()
    maps = head.class_maps(FEATURES, torch.tensor([[0, 1]]))
    # Class 0: A 0 .5 / .6 1; B sees 8 2 / 0 0, scaled 1 .25 / 0 0.
    # Class 1: A 1 0 / ⅓ ⅔; B sees 0 1 / 3 0, scaled 0 ⅓ / 1 0.
    expected = [[[[1.0, 0.5], [0.6, 1.0]], [[1.0, 1 / 3], [1.0, 2 / 3]]]]
    torch.testing.assert_close(maps, torch.tensor(expected))
    assert head.class_maps(FEATURES, torch.tensor([[1]])).tolist() == maps[:, 1:].tolist()


@pytest.mark.parametrize("loss", [CrossEntropy(), Logistic()])
def test_the_loss_is_the_sum_of_both_branches(loss):
    classifier = plain([[1.0, 0, 0], [0, 1, 0]])
    classifier.replace_head(by_hand())
    result = Acol().step(
        ComplementaryTrainee(classifier).train(), FEATURES, torch.tensor([0]), loss, generator()
    )
    targets = torch.tensor([0])
    a, b = torch.tensor([[15.25, 25.0]]), torch.tensor([[5.0, 1.0]])
    torch.testing.assert_close(result.loss, loss(a, targets) + loss(b, targets))
    torch.testing.assert_close(result.logits, a)


def test_what_is_erased_teaches_branch_a_nothing():
    head = by_hand()
    _, second = head.both(FEATURES, torch.tensor([0]))
    grads = torch.autograd.grad(second.sum(), list(head.first.parameters()), allow_unused=True)
    assert grads == (None, None)


def test_the_branches_as_published():
    classifier = Acol(channels=16).prepare(small(), 3)
    head = classifier.head
    assert isinstance(head, ComplementaryHead)
    for branch in (head.first, head.second):
        convolutions = [m for m in branch if isinstance(m, nn.Conv2d)]
        assert [c.kernel_size[0] for c in convolutions] == [3, 3, 1]
        assert [c.out_channels for c in convolutions] == [16, 16, 5]
        assert [m.p for m in branch if isinstance(m, nn.Dropout)] == [0.5, 0.5]
    assert classifier.num_classes == 5
    assert head.channels == classifier.head.first[1].in_channels
    again, other = (Acol(channels=16).prepare(small(), seed).sha256() for seed in (3, 4))
    assert again == classifier.sha256()
    assert other != again
    with pytest.raises(TypeError, match="not prepared for complementary learning"):
        ComplementaryTrainee(small())(pictures(), torch.tensor([0, 1, 2, 3]))


@torch.inference_mode()
def test_the_plain_localizer_reads_it():
    classifier = Acol(channels=8).prepare(small())
    forward: Forward = classifier(pictures())
    classes = torch.tensor([[0, 1, 2]] * 4)
    maps = Cam().maps(classifier, pictures(), forward, classes)
    assert maps.shape == (4, 3, *forward.features.shape[2:])
    assert maps.min() >= 0
    torch.testing.assert_close(maps.amax((2, 3)), torch.ones(4, 3))
    own = classifier.head.first(forward.features).mean((2, 3))
    torch.testing.assert_close(forward.logits, own)
