"""CutMix: the rectangle, the share of what is left, the mixed loss."""

from __future__ import annotations

import pytest
import torch

from camtool.training.losses import CrossEntropy, Logistic
from camtool.training.methods import CutMix
from tests.training.methods.drawn_networks import generator, plain


def rectangles(method, shape, count=2000):
    draws = generator()
    return [method.rectangle(shape, draws) for _ in range(count)]


def test_rectangles_lie_within_the_picture_and_have_its_proportions():
    whole = []
    for x0, y0, x1, y1 in rectangles(CutMix(), (40, 90)):
        assert 0 <= x0 <= x1 <= 90
        assert 0 <= y0 <= y1 <= 40
        if x0 > 0 and y0 > 0 and x1 < 90 and y1 < 40:  # not cut off
            whole.append((x1 - x0, y1 - y0))
    assert len(whole) > 100
    assert all(abs(w * 40 - h * 90) <= 90 * 2 + 40 * 2 for w, h in whole)


@pytest.mark.parametrize(("beta", "low", "high"), [(1.0, 0.2, 0.3), (50.0, 0.1, 0.1)])
def test_shares_follow_the_beta_distribution(beta, low, high):
    """Without the border's cut the share would have mean ½ and, by β, variance 1 / (8β + 4)."""
    sides = [
        max(x1 - x0, y1 - y0) / 400 for x0, y0, x1, y1 in rectangles(CutMix(beta=beta), (400, 400))
        if (x0 > 0 or x1 < 400) and (y0 > 0 or y1 < 400)
    ]  # fmt: skip
    shares = torch.tensor(sides).square()
    spread = shares.quantile(0.9) - shares.quantile(0.1)
    assert low < spread < 0.9 if beta == 1 else spread < 3 * high


def test_the_mixed_picture_and_the_mixed_loss_by_hand(monkeypatch):
    classifier = plain([[1.0, 0, 0], [0, 1, 0]])
    method = CutMix()
    monkeypatch.setattr(CutMix, "rectangle", lambda *_: (1, 0, 3, 1))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.tensor([1, 0]))
    images = torch.zeros(2, 3, 2, 3)
    images[0, 0], images[1, 1] = 6.0, 12.0
    before = images.clone()
    targets = torch.tensor([0, 1])
    trainee = method.trainee(classifier, 0).train()
    result = method.step(trainee, images, targets, CrossEntropy(), generator())
    # Two of six pixels, columns 1 and 2 of row 0, come from the other picture.
    logits = torch.tensor([[6 * 4 / 6, 12 * 2 / 6], [6 * 2 / 6, 12 * 4 / 6]])
    torch.testing.assert_close(result.logits, logits)
    log = logits.log_softmax(1)
    own, other = -(log[0, 0] + log[1, 1]) / 2, -(log[0, 1] + log[1, 0]) / 2
    torch.testing.assert_close(result.loss, 4 / 6 * own + 2 / 6 * other)
    assert torch.equal(images, before)  # the loader's batch is left as it was


def test_several_labels_an_image_are_mixed_alike(monkeypatch):
    classifier = plain([[1.0, 0, 0], [0, 1, 0]])
    monkeypatch.setattr(CutMix, "rectangle", lambda *_: (0, 0, 3, 1))
    monkeypatch.setattr(torch, "randperm", lambda *_, **__: torch.tensor([1, 0]))
    images, targets = torch.rand(2, 3, 2, 3), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    trainee = CutMix().trainee(classifier, 0).train()
    result = CutMix().step(trainee, images, targets, Logistic(), generator())
    halves = Logistic()(result.logits, torch.full((2, 2), 0.5))  # the loss is linear in targets
    torch.testing.assert_close(result.loss, halves)


def test_the_share_is_that_of_what_is_really_left(monkeypatch):
    """The rectangle at the border is smaller than λ says."""
    method = CutMix()
    seen = []

    def recording(logits, targets):
        seen.append(targets)
        return logits.sum() * 0 + float(len(seen))

    monkeypatch.setattr(CutMix, "rectangle", lambda *_: (2, 1, 3, 2))
    trainee = method.trainee(plain([[1.0, 0, 0], [0, 1, 0]]), 0).train()
    result = method.step(
        trainee, torch.rand(2, 3, 2, 3), torch.tensor([0, 1]), recording, generator()
    )
    # Loss 1 for the own labels, 2 for the others': kept + 2 (1 - kept) with kept = 5/6.
    assert result.loss.item() == pytest.approx(5 / 6 + 2 / 6)
    assert len(seen) == 2


def test_probability():
    trainee = CutMix().trainee(plain([[1.0, 0, 0], [0, 1, 0]]), 0).train()
    images, targets = torch.rand(4, 3, 20, 30), torch.tensor([0, 1, 0, 1])
    clean = images.mean((2, 3))[:, :2]

    def share(probability):
        method, draws = CutMix(probability=probability), generator()
        results = [
            method.step(trainee, images, targets, CrossEntropy(), draws).logits for _ in range(60)
        ]
        return sum(torch.equal(r, clean) or torch.allclose(r, clean) for r in results) / 60

    assert share(0.0) == 1
    assert share(1.0) < 0.1
    assert 0.3 < share(0.5) < 0.7
