"""Sums over resamples, stratified or not, against plain loops that draw image by image."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.paired import paired_difference
from camtool.metrics.resampling import by_stratum, numbered, resampled_sums


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
    one, many = bootstrap.rate(Counter(kinds)), bootstrap.rate(*by_stratum(kinds, strata))
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
    turned = by_stratum(kinds[::-1], strata[::-1])
    assert Bootstrap().rate(*by_stratum(kinds, strata)) == Bootstrap().rate(*turned)


def test_a_stratum_that_is_all_alike_adds_no_spread():
    sums = resampled_sums([{(1, 2): 7}, {(0, 1): 3}], 200, 0)
    assert sums.tolist() == [[7, 17]] * 200


def test_differences_by_class_are_those_of_a_plain_loop():
    kinds, strata = images(6)
    random = np.random.default_rng(0)
    paired = [(e, int(random.integers(0, t + 1)), t) for e, t in kinds]
    found = paired_difference(by_stratum(paired, strata), Bootstrap(samples=20_000))
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
    monkeypatch.setattr("camtool.metrics.confidence._MOST_WEIGHTS", most)
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
            monkeypatch.setattr("camtool.metrics.confidence._MOST_WEIGHTS", most)
            found.append(np.concatenate(list(Bootstrap().weights(5, 20, strata))))
        assert (found[0] == found[1]).all()
        assert (found[0] == found[2]).all()
