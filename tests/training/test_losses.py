"""Losses against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from camtool.settings import members
from camtool.training.losses import BaseLoss, CrossEntropy, Logistic, Loss

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])


def test_cross_entropy():
    log = LOGITS.log_softmax(1)
    loss = CrossEntropy()(LOGITS, torch.tensor([0, 2]))
    assert loss.item() == pytest.approx(-(log[0, 0] + log[1, 2]).item() / 2)


def test_label_smoothing_spreads_over_all_classes():
    log = LOGITS.log_softmax(1)
    target = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    smoothed = CrossEntropy(label_smoothing=0.3)(LOGITS, torch.tensor([0, 2]))
    assert smoothed.item() == pytest.approx(-(target * log).sum().item() / 2)
    soft = CrossEntropy()(LOGITS, target)
    assert soft.item() == pytest.approx(smoothed.item())


def test_logistic():
    targets = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    signs = [[1, 1, -1], [-1, -1, -1]]
    terms = [
        math.log1p(math.exp(-y * s))
        for row, labels in zip(LOGITS.tolist(), signs, strict=True)
        for s, y in zip(row, labels, strict=True)
    ]
    assert Logistic()(LOGITS, targets).item() == pytest.approx(sum(terms) / 6)
    one_hot = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert torch.equal(Logistic()(LOGITS, torch.tensor([1, 0])), Logistic()(LOGITS, one_hot))


def test_the_settings_of_the_union():
    read = TypeAdapter(Loss).validate_python
    assert read({"name": "logistic"}) == Logistic()
    assert read({"name": "cross-entropy", "label_smoothing": 0.1}) == CrossEntropy(
        label_smoothing=0.1
    )
    assert [one.multi_label for one in members(Loss, BaseLoss)] == [False, True]
    for wrong in ({"name": "logistic", "label_smoothing": 0.1}, {"name": "cross-entropy",
                  "label_smoothing": 1.0}, {"name": "hinge"}):  # fmt: skip
        with pytest.raises(ValidationError):
            read(wrong)
