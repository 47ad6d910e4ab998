"""The bootstrap that is drawn group by group, against the plain one that draws all at once."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.metrics.pixels import BINS, PixelDraws, average_precision

SAMPLES = 4000


def histograms(images, seed=0):
    random = np.random.default_rng(seed)
    found = np.zeros((images, 2, BINS), np.int64)
    for image in found:
        low, high = np.sort(random.integers(0, 1000, 2))
        image[0, random.integers(0, high + 1, 200)] += 1
        image[1, random.integers(low, 1001, random.integers(1, 80))] += 1
    return found


def weights_of(images, sizes, **given):
    """How often each image is in each resample: each has pixels in a bin of its own."""
    own = np.zeros((images, 2, BINS), np.int64)
    own[np.arange(images), 1, np.arange(images)] = 1
    draws = PixelDraws(images, SAMPLES, 0, **given)
    first = 0
    for size in sizes:
        draws.add(own[first : first + size])
        first += size
    return draws._counts.reshape(SAMPLES, 2, BINS)[:, 1, :images]


@pytest.mark.parametrize("sizes", [[20], [7, 7, 6], [1] * 20])
def test_how_often_an_image_is_drawn(sizes):
    """Multinomial: mean 1, variance 1 - 1/n, covariance -1/n, whatever the groups."""
    weights = weights_of(20, sizes)
    assert (weights.sum(1) == 20).all()
    assert np.allclose(weights.mean(0), 1, atol=0.06)
    covariance = np.cov(weights.T)
    assert np.allclose(np.diag(covariance), 1 - 1 / 20, atol=0.12)
    assert np.allclose(covariance[~np.eye(20, dtype=bool)], -1 / 20, atol=0.07)


def test_strata_have_draws_of_their_own():
    strata = ["x", "y", "x", "z", "y", "x"] * 3
    weights = weights_of(18, [5, 5, 8], strata=strata)
    for stratum in "xyz":
        of_it = [i for i, other in enumerate(strata) if other == stratum]
        assert (weights[:, of_it].sum(1) == len(of_it)).all()
        assert np.allclose(np.var(weights[:, of_it], axis=0), 1 - 1 / len(of_it), atol=0.12)


def test_the_interval_of_a_plain_bootstrap():
    found = histograms(40)
    draws = PixelDraws(40, SAMPLES, 0)
    for first in range(0, 40, 16):
        draws.add(found[first : first + 16])
    values = draws.values()[:, 0]
    random = np.random.default_rng(1)
    plain = np.array(
        [100 * average_precision(found[random.integers(0, 40, 40)].sum(0)) for _ in range(SAMPLES)]
    )
    assert values.std() == pytest.approx(plain.std(), rel=0.06)
    assert values.mean() == pytest.approx(plain.mean(), abs=0.15 * plain.std())
    for share in (2.5, 25, 75, 97.5):
        expected = np.percentile(plain, share)
        assert np.percentile(values, share) == pytest.approx(expected, abs=0.15 * plain.std())


def test_same_seed_same_values():
    found = histograms(10)
    values = []
    for seed in (3, 3, 4):
        draws = PixelDraws(10, 100, seed)
        draws.add(found)
        values.append(draws.values()[:, 0])
    assert (values[0] == values[1]).all()
    assert (values[0] != values[2]).any()


def test_resamples_without_foreground_are_left_out():
    found = histograms(3)
    found[1:, 1] = 0
    draws = PixelDraws(3, 1000, 0)
    draws.add(found)
    # (2/3)³ of the resamples hold none of the one image with foreground.
    assert len(draws.values()) / 1000 == pytest.approx(1 - 8 / 27, abs=0.05)


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="2 strata for 3 images"):
        PixelDraws(3, 10, 0, ["x", "y"])
    draws = PixelDraws(3, 10, 0)
    draws.add(histograms(2))
    with pytest.raises(ValueError, match="2 more images, where 1 are left"):
        draws.add(histograms(2))


def test_several_maps_an_image_in_the_same_resamples():
    found = np.stack([histograms(20), histograms(20, seed=1)], axis=1)
    both = PixelDraws(20, 200, 0, maps=2)
    both.add(found)
    for column in range(2):
        alone = PixelDraws(20, 200, 0)
        alone.add(found[:, column])
        assert (both.values()[:, column] == alone.values()[:, 0]).all()
