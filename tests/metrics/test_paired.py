"""Paired differences against a plain loop, McNemar's test against values by hand."""

import math
from collections import Counter

import numpy as np
import pytest
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.marks import image_marks
from camtool.metrics.paired import EXACT_BELOW, McNemar, mcnemar, paired_difference


@pytest.mark.parametrize(
    ("better", "worse", "p"),
    [
        (0, 0, 1),
        (5, 5, 1),
        (1, 0, 1),
        (5, 0, 2 / 32),
        (0, 5, 2 / 32),
        (6, 1, 2 * 8 / 128),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (4, 3, 1),
        (0, 24, 2 / 2**24),
    ],
)
def test_few_changes_are_tested_exactly(better, worse, p):
    assert mcnemar(better, worse) == McNemar(pytest.approx(p, rel=1e-14), None)


@pytest.mark.parametrize(
    ("better", "worse", "chi2", "p"),
    [
        (10, 15, 16 / 25, 0.4237107971705),
        # The tails are those of a numerical integral of the normal density.
        (86, 150, 63**2 / 236, 4.114562281835e-05),
        (15, 15, 0, 1),
        (13, 12, 0, 1),
    ],
)
def test_many_changes_by_corrected_chi_square(better, worse, chi2, p):
    found = mcnemar(better, worse)
    assert found.chi2 == pytest.approx(chi2, rel=1e-14)
    assert found.p == pytest.approx(p, rel=1e-8)
    assert mcnemar(worse, better) == found


def test_chi_square_is_that_of_a_squared_normal_variable():
    # The upper 5 % point of chi-square with one degree of freedom is 3.8414588.
    below, above = mcnemar(10_195, 10_473), mcnemar(10_195, 10_479)
    assert below.chi2 < 3.8414588 < above.chi2
    assert above.p < 0.05 < below.p
    draws = np.random.default_rng(0).normal(size=200_000) ** 2
    assert below.p == pytest.approx((draws >= below.chi2).mean(), abs=0.003)


def test_exact_and_approximate_agree_where_they_meet():
    assert mcnemar(7, EXACT_BELOW - 8).chi2 is None
    assert mcnemar(8, EXACT_BELOW - 8).chi2 is not None
    assert mcnemar(8, 17).p == pytest.approx(0.1078, abs=0.003)  # exact: 0.10775


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError, match="not numbers of images: -1, 2"):
        mcnemar(-1, 2)


def test_value_and_interval_of_a_plain_loop():
    random = np.random.default_rng(5)
    first = random.random(400) < 0.4
    second = np.where(random.random(400) < 0.2, random.random(400) < 0.1, first)
    kinds = Counter((int(a), int(b), 1) for a, b in zip(first, second, strict=True))
    found = paired_difference([kinds], Bootstrap(samples=20_000, seed=1))
    assert found.first == 100 * first.mean()
    assert found.second == pytest.approx(100 * second.mean(), abs=1e-12)
    change = second.astype(int) - first
    assert found.value == pytest.approx(100 * change.mean(), abs=1e-12)
    assert found.n == 400
    loop = [100 * change[random.integers(0, 400, 400)].mean() for _ in range(20_000)]
    assert found.ci95 == pytest.approx(np.percentile(loop, (2.5, 97.5)), abs=0.26)
    # Unpaired, the interval would be far wider: the pairing is what narrows it.
    wide = 2 * 1.96 * 100 * math.sqrt((first.var() + second.var()) / 400)
    assert found.ci95[1] - found.ci95[0] < 0.8 * wide


def test_images_with_several_trials_stay_whole():
    random = np.random.default_rng(7)
    trials = random.integers(1, 5, 150)
    first, second = random.binomial(trials, 0.5), random.binomial(trials, 0.7)
    kinds = Counter(zip(first.tolist(), second.tolist(), trials.tolist(), strict=True))
    found = paired_difference([kinds], Bootstrap(samples=20_000))
    assert found.n == trials.sum()
    assert found.value == pytest.approx(100 * (second - first).sum() / trials.sum(), abs=1e-12)
    rows = random.integers(0, 150, (20_000, 150))
    loop = 100 * (second - first)[rows].sum(1) / trials[rows].sum(1)
    assert found.ci95 == pytest.approx(np.percentile(loop, (2.5, 97.5)), abs=0.35)


def test_order_and_seed():
    kinds = {(0, 0, 1): 20, (0, 1, 1): 7, (1, 0, 1): 3, (1, 1, 1): 9}
    turned = dict(reversed(kinds.items()))
    one = paired_difference([kinds], Bootstrap(seed=4))
    assert one == paired_difference([turned], Bootstrap(seed=4))
    assert one.ci95 != paired_difference([kinds], Bootstrap(seed=5, samples=101)).ci95


def test_runs_that_agree_have_no_difference():
    found = paired_difference([{(1, 1, 1): 3, (0, 0, 1): 1}], Bootstrap())
    assert (found.first, found.second, found.value, found.ci95) == (75, 75, 0, (0, 0))


def test_no_images():
    with pytest.raises(ValueError, match="a difference needs at least one image"):
        paired_difference([{(0, 0, 1): 0}], Bootstrap())


def test_marks_of_images():
    events = np.array([[1, 1], [1, 0], [0, 0], [0, 1]], bool)
    assert image_marks(events, [1, 2, 1]) == [(2, 2), (1, 4), (1, 2)]
