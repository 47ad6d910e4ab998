from __future__ import annotations

import numpy as np
import pytest
from camtool.metrics.confidence import Bootstrap
from pydantic import ValidationError


def loop_interval(images, samples, seed):
    """The bootstrap as the textbook has it: draw images, take the share, take percentiles."""
    generator = np.random.default_rng(seed)
    pairs = np.array(images)
    shares = []
    for _ in range(samples):
        events, trials = pairs[generator.integers(0, len(pairs), len(pairs))].sum(0)
        shares.append(100 * events / trials)
    return np.percentile(shares, (2.5, 97.5))


def counted(images):
    return {kind: images.count(kind) for kind in set(images)}


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
    rate = Bootstrap(samples=20_000).rate(counted(images))
    assert rate.ci95 == pytest.approx(loop_interval(images, 20_000, 7), abs=0.6)


def test_value_and_n_are_exact():
    rate = Bootstrap().rate({(1, 2): 3, (0, 1): 4, (2, 2): 1})
    assert (rate.value, rate.n) == (100 * 5 / 12, 12)
    assert rate.ci95[0] < rate.value < rate.ci95[1]


def test_interval_of_a_known_share_is_close_to_the_normal_one():
    rate = Bootstrap().rate({(1, 1): 5_000, (0, 1): 5_000})
    assert rate.ci95 == pytest.approx((49.02, 50.98), abs=0.06)


def test_all_or_none_has_an_interval_of_one_point():
    assert Bootstrap().rate({(0, 1): 12, (1, 1): 0}).ci95 == (0.0, 0.0)
    assert Bootstrap().rate({(1, 1): 12}).ci95 == (100.0, 100.0)


def test_order_of_the_images_does_not_matter_and_the_seed_does():
    there, back = {(1, 1): 30, (0, 1): 70, (1, 2): 9}, {(1, 2): 9, (0, 1): 70, (1, 1): 30}
    assert Bootstrap().rate(there) == Bootstrap().rate(back)
    assert Bootstrap().rate(there) != Bootstrap(seed=1).rate(there)


def test_no_images_is_a_wrong_call():
    with pytest.raises(ValueError, match="a rate needs at least one image"):
        Bootstrap().rate({(0, 1): 0})


@pytest.mark.parametrize("wrong", [{"samples": 99}, {"samples": 100_001}, {"seed": -1}])
def test_bounds(wrong):
    with pytest.raises(ValidationError):
        Bootstrap(**wrong)
