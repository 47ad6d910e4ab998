"""Schedules against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, StepLR

from camtool.training.optimizer import Constant, Cosine, OneCycle, StepDecay

EPOCHS, STEPS = 6, 10


def rates(make, peak=0.5):
    """The rates of torch's schedule, step by step."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = make(optimizer)
    found = []
    for _ in range(EPOCHS * STEPS):
        found.append(optimizer.param_groups[0]["lr"] / peak)
        optimizer.step()
        schedule.step()
    return found


def factors(schedule):
    return [schedule.factor(step, STEPS, EPOCHS) for step in range(EPOCHS * STEPS)]


def test_step():
    assert factors(StepDecay(every=2.0, gamma=0.1)) == pytest.approx(
        rates(lambda o: StepLR(o, 2 * STEPS, 0.1))
    )


def test_step_of_a_fraction_of_an_epoch():
    assert factors(StepDecay(every=0.7))[:15] == pytest.approx([1.0] * 7 + [0.1] * 7 + [0.01])


def test_cosine():
    assert factors(Cosine(final=0.1)) == pytest.approx(
        rates(lambda o: CosineAnnealingLR(o, EPOCHS * STEPS, eta_min=0.05))
    )


def test_one_cycle():
    """torch counts to the last step, which then has the end's rate; here the run ends there."""
    ours = factors(OneCycle(rise=0.3, start=0.04, end=4e-6))
    theirs = rates(
        lambda o: OneCycleLR(o, 0.5, EPOCHS * STEPS + 1, pct_start=19 / 61, cycle_momentum=False)
    )
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_warm_up():
    assert factors(Constant(warmup_epochs=0.5))[:7] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])
    assert factors(Cosine(warmup_epochs=1.0))[STEPS:] == factors(Cosine())[STEPS:]
