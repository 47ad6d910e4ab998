"""Intervals: rates, resamples by stratum, and paired differences, against plain loops."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from camtool.errors import SettingsError
from camtool.metrics.intervals import (
    EXACT_BELOW,
    Bootstrap,
    McNemar,
    Tally,
    by_stratum,
    mcnemar,
    numbered,
    paired_difference,
    resampled_sums,
)


def tally(images):
    """Images as (events, trials)."""
    columns = np.array(images, np.int64).reshape(-1, 2)
    return Tally(columns[:, 0], columns[:, 1])


def of_kinds(numbers):
    """So many images of each kind (events, trials)."""
    return tally([kind for kind, n in numbers.items() for _ in range(n)])


def difference(images, bootstrap, strata=None):
    """Images as (events of the first run, events of the second, trials)."""
    first, second, trials = np.array(images, np.int64).reshape(-1, 3).T
    return paired_difference(Tally(first, trials), Tally(second, trials), bootstrap, strata)


def loop_interval(images, samples, seed):
    """The bootstrap as the textbook has it: draw images, take the share, take percentiles."""
    generator = np.random.default_rng(seed)
    pairs = np.array(images)
    shares = []
    for _ in range(samples):
        events, trials = pairs[generator.integers(0, len(pairs), len(pairs))].sum(0)
        shares.append(100 * events / trials)
    return np.percentile(shares, (2.5, 97.5))


@pytest.mark.parametrize(
    "images",
    [
        [(1, 1)] * 60 + [(0, 1)] * 140,
        [(1, 1)] * 3 + [(0, 1)] * 197,
        [(0, 2)] * 40 + [(1, 2)] * 30 + [(3, 3)] * 20 + [(0, 1)] * 110,
    ],
    ids=["third", "rare", "several classes an image"],
)
def test_interval_is_that_of_a_bootstrap_loop(images):
    rate = Bootstrap(samples=20_000).rate(tally(images))
    assert rate.ci95 == pytest.approx(loop_interval(images, 20_000, 7), abs=0.6)


def test_value_and_n_are_exact():
    rate = Bootstrap().rate(of_kinds({(1, 2): 3, (0, 1): 4, (2, 2): 1}))
    assert (rate.value, rate.n) == (100 * 5 / 12, 12)
    assert rate.ci95[0] < rate.value < rate.ci95[1]


def test_interval_of_a_known_share_is_close_to_the_normal_one():
    rate = Bootstrap().rate(of_kinds({(1, 1): 5_000, (0, 1): 5_000}))
    assert rate.ci95 == pytest.approx((49.02, 50.98), abs=0.06)


def test_all_or_none_has_an_interval_of_one_point():
    assert Bootstrap().rate(of_kinds({(0, 1): 12, (1, 1): 0})).ci95 == (0.0, 0.0)
    assert Bootstrap().rate(of_kinds({(1, 1): 12})).ci95 == (100.0, 100.0)


def test_order_of_the_images_does_not_matter_and_the_seed_does():
    there, back = {(1, 1): 30, (0, 1): 70, (1, 2): 9}, {(1, 2): 9, (0, 1): 70, (1, 1): 30}
    assert Bootstrap().rate(of_kinds(there)) == Bootstrap().rate(of_kinds(back))
    assert Bootstrap().rate(of_kinds(there)) != Bootstrap(seed=1).rate(of_kinds(there))


def test_no_images_is_a_wrong_call():
    with pytest.raises(ValueError, match="a rate needs at least one image"):
        Bootstrap().rate(of_kinds({(0, 1): 0}))


@pytest.mark.parametrize("wrong", [{"samples": 99}, {"samples": 100_001}, {"seed": -1}])
def test_bounds(wrong):
    with pytest.raises(SettingsError):
        Bootstrap(**wrong)


def loop_sums(kinds, strata, samples, seed):
    """The textbook's stratified bootstrap: for each stratum, draw as many of its images."""
    generator = np.random.default_rng(seed)
    kinds = np.array(kinds)
    places = [np.flatnonzero(np.array(strata) == s) for s in dict.fromkeys(strata)]
    return np.array(
        [
            sum(kinds[generator.choice(here, len(here))].sum(0) for here in places)
            for _ in range(samples)
        ]
    )


def images(seed, classes=12):
    """Kinds and classes of images whose classes are of unlike difficulty, some of one size."""
    random = np.random.default_rng(seed)
    kinds, strata = [], []
    for label in range(classes):
        trials = 1 + label % 3
        for _ in range(10 + 5 * (label % 4)):
            kinds.append((int(random.binomial(trials, (label % 5) / 4)), trials))
            strata.append(f"class {label}")
    return kinds, strata


@pytest.mark.parametrize("stratified", [False, True])
def test_sums_have_the_distribution_of_a_plain_loop(stratified):
    kinds, strata = images(0)
    if not stratified:
        strata = ["all"] * len(kinds)
    found = resampled_sums(by_stratum(kinds, strata), 20_000, 1)
    expected = loop_sums(kinds, strata, 3000, 2)
    error = expected.std(0) / np.sqrt(3000)
    assert np.abs(found.mean(0) - expected.mean(0)) == pytest.approx(0, abs=5 * error.max() + 1e-9)
    assert found.std(0) == pytest.approx(expected.std(0), rel=0.06, abs=1e-9)
    for q in (2.5, 25, 75, 97.5):
        assert np.percentile(found, q, 0) == pytest.approx(np.percentile(expected, q, 0), abs=1.5)


def test_strata_narrow_the_interval_where_classes_differ():
    kinds, strata = images(3)
    bootstrap = Bootstrap(stratify="class")
    one, many = bootstrap.rate(tally(kinds)), bootstrap.rate(tally(kinds), strata)
    assert (one.value, one.n) == (many.value, many.n)
    assert many.ci95[1] - many.ci95[0] < 0.8 * (one.ci95[1] - one.ci95[0])


def test_strata_of_equal_shares_are_one():
    """Two thirds of 6 and two thirds of 30: as two thirds of 36, whoever comes first."""
    small, large = Counter({(1, 1): 4, (0, 1): 2}), Counter({(1, 1): 20, (0, 1): 10})
    together = resampled_sums([small + large], 300, 5)
    assert (resampled_sums([small, large], 300, 5) == together).all()
    assert (resampled_sums([large, Counter(), small], 300, 5) == together).all()


def test_order_of_images_and_classes_does_not_matter():
    kinds, strata = images(4)
    turned = Bootstrap().rate(tally(kinds[::-1]), strata[::-1])
    assert Bootstrap().rate(tally(kinds), strata) == turned


def test_a_stratum_that_is_all_alike_adds_no_spread():
    sums = resampled_sums([{(1, 2): 7}, {(0, 1): 3}], 200, 0)
    assert sums.tolist() == [[7, 17]] * 200


def test_differences_by_class_are_those_of_a_plain_loop():
    kinds, strata = images(6)
    random = np.random.default_rng(0)
    paired = [(e, int(random.integers(0, t + 1)), t) for e, t in kinds]
    found = difference(paired, Bootstrap(samples=20_000), strata)
    sums = loop_sums(paired, strata, 4000, 1)
    expected = np.percentile(100 * (sums[:, 1] - sums[:, 0]) / sums[:, 2], (2.5, 97.5))
    assert found.ci95 == pytest.approx(expected, abs=0.6)


def test_wrong_calls():
    with pytest.raises(ValueError, match="at least one image"):
        resampled_sums([Counter()], 100, 0)
    with pytest.raises(ValueError, match="zip"):
        by_stratum([(0, 1)], ["a", "b"])


def test_strata_by_number():
    assert numbered(["b", "a", "b", 3]).tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("most", [7, 10**6])
def test_weights_keep_the_number_of_images_of_each_stratum(monkeypatch, most):
    monkeypatch.setattr("camtool.metrics.intervals._MOST_WEIGHTS", most)
    strata = np.array([0, 1, 0, 2, 1, 0])
    weights = np.concatenate(list(Bootstrap(seed=1).weights(6, 4000, strata)))
    assert weights.shape == (4000, 6)
    for stratum, size in ((0, 3), (1, 2), (2, 1)):
        assert (weights[:, strata == stratum].sum(1) == size).all()
    assert weights.mean(0) == pytest.approx(np.ones(6), abs=0.06)
    # Each image of a stratum of three: binomial of three draws at one third.
    assert weights[:, 0].var() == pytest.approx(2 / 3, abs=0.06)


def test_how_much_is_drawn_at_once_does_not_matter(monkeypatch):
    for strata in (None, np.array([0, 0, 1, 1, 1])):
        found = []
        for most in (1, 5 * 3, 10**6):
            monkeypatch.setattr("camtool.metrics.intervals._MOST_WEIGHTS", most)
            found.append(np.concatenate(list(Bootstrap().weights(5, 20, strata))))
        assert (found[0] == found[1]).all()
        assert (found[0] == found[2]).all()


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
    kinds = [(int(a), int(b), 1) for a, b in zip(first, second, strict=True)]
    found = difference(kinds, Bootstrap(samples=20_000, seed=1))
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
    kinds = list(zip(first.tolist(), second.tolist(), trials.tolist(), strict=True))
    found = difference(kinds, Bootstrap(samples=20_000))
    assert found.n == trials.sum()
    assert found.value == pytest.approx(100 * (second - first).sum() / trials.sum(), abs=1e-12)
    rows = random.integers(0, 150, (20_000, 150))
    loop = 100 * (second - first)[rows].sum(1) / trials[rows].sum(1)
    assert found.ci95 == pytest.approx(np.percentile(loop, (2.5, 97.5)), abs=0.35)


def test_order_and_seed():
    kinds = [(0, 0, 1)] * 20 + [(0, 1, 1)] * 7 + [(1, 0, 1)] * 3 + [(1, 1, 1)] * 9
    one = difference(kinds, Bootstrap(seed=4))
    assert one == difference(kinds[::-1], Bootstrap(seed=4))
    assert one.ci95 != difference(kinds, Bootstrap(seed=5, samples=101)).ci95


def test_runs_that_agree_have_no_difference():
    found = difference([(1, 1, 1)] * 3 + [(0, 0, 1)], Bootstrap())
    assert (found.first, found.second, found.value, found.ci95) == (75, 75, 0, (0, 0))


def test_no_images():
    with pytest.raises(ValueError, match="a difference needs at least one image"):
        difference([], Bootstrap())
