"""Kinds counted by group and class."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.metrics.diagnosis import (
    KINDS,
    DiagnosisSettings,
    Group,
    Kind,
    Objects,
    _aspect_title,
    _instances_title,
    _size_title,
    count_classes,
    diagnose,
)
from camtool.metrics.intervals import Bootstrap, Tally

BOOTSTRAP = Bootstrap(samples=500)


def diagnosed(kinds, *, images=None, shares=None, aspects=None, instances=None, **settings):
    n = len(kinds)
    objects = Objects(
        np.array([0.5] * n if shares is None else shares, np.float64),
        np.array([1.0] * n if aspects is None else aspects, np.float64),
        np.array([1] * n if instances is None else instances, np.int64),
    )
    return diagnose(
        np.array(kinds, np.uint8),
        np.array([1] * n if images is None else images, np.int64),
        objects,
        {},
        DiagnosisSettings(**settings),
        BOOTSTRAP,
    )


def test_counts_and_shares():
    found = diagnosed([Kind.RIGHT] * 5 + [Kind.PART] * 3 + [Kind.BACKGROUND] * 2)
    assert list(found.counts) == list(found.kinds) == list(KINDS)
    assert found.counts == dict.fromkeys(KINDS, 0) | {"right": 5, "part": 3, "background": 2}
    assert found.kinds["part"].value == 30.0
    assert found.kinds["part"] == BOOTSTRAP.rate(
        Tally(np.array([1] * 3 + [0] * 7), np.ones(10, np.int64))
    )
    assert sum(rate.value for rate in found.kinds.values()) == 100.0


def test_pairs_of_one_image_are_resampled_together():
    found = diagnosed([Kind.RIGHT, Kind.PART, Kind.PART, Kind.RIGHT], images=[2, 1, 1])
    expected = BOOTSTRAP.rate(Tally(np.array([1, 0, 1]), np.array([2, 1, 1])))
    assert found.kinds["right"] == expected
    assert found.kinds["right"].n == 4


def test_a_group_begins_at_its_edge():
    found = diagnosed(
        [Kind.RIGHT, Kind.PART, Kind.PART, Kind.OTHER, Kind.OTHER],
        shares=[0.1, 0.2, np.nextafter(0.4, 0), 0.4, np.nan],
        aspects=[0.5, 0.5, 2.0, 1.0, 9.0],
        instances=[1, 2, 3, 4, 70],
        size_edges=(0.2, 0.4),
        aspect_edges=(0.5, 2),
    )
    assert [(g.low, g.high, g.n) for g in found.by_size] == [
        (None, 0.2, 1), (0.2, 0.4, 2), (0.4, None, 1), (None, None, 1),
    ]  # fmt: skip
    assert found.by_size[1] == Group(
        "size 20 to 40 % of the image", 0.2, 0.4, (0, 0, 2, 0, 0, 0, 0)
    )
    assert [(g.low, g.high, g.n) for g in found.by_aspect] == [(0.5, 2, 3), (2, None, 2)]
    assert [(g.low, g.high, g.n) for g in found.by_instances] == [
        (None, 2, 1), (2, 3, 1), (3, 5, 2), (5, None, 1),
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_every_grouping_sums_to_all(seed):
    random = np.random.default_rng(seed)
    kinds = random.integers(0, len(KINDS), 200)
    shares = np.where(random.random(200) < 0.1, np.nan, random.random(200))
    found = diagnosed(
        kinds, shares=shares, aspects=random.uniform(0.1, 5, 200),
        instances=random.integers(1, 9, 200),
    )  # fmt: skip
    for groups in (found.by_size, found.by_aspect, found.by_instances):
        assert np.sum([group.counts for group in groups], axis=0).tolist() == list(
            found.counts.values()
        )
        assert sum(group.n for group in groups) == 200


def test_bars_of_all_and_by_group():
    bars = diagnosed([Kind.RIGHT] * 3 + [Kind.PART], instances=[1, 1, 2, 2]).bars()
    assert bars.groups == (
        "all", "size 40 to 67 % of the image", "width/height 0.8 to 1.25", "1 object", "2 objects",
    )  # fmt: skip
    assert bars.counts == (4, 4, 4, 2, 2)
    assert bars.shares["right"] == (75, 75, 75, 100, 50)
    assert bars.shares["part"] == (25, 25, 25, 0, 50)
    assert np.sum(list(bars.shares.values()), axis=0).tolist() == [100] * 5


@pytest.mark.parametrize(
    ("title", "low", "high", "expected"),
    [
        (_size_title, None, 0.07, "size under 7 % of the image"),
        (_size_title, 0.2, 0.4, "size 20 to 40 % of the image"),
        (_size_title, 0.67, None, "size from 67 % of the image"),
        (_size_title, None, None, "size of the image unknown"),
        (_aspect_title, None, 0.5, "width/height under 0.5"),
        (_aspect_title, 0.8, 1.25, "width/height 0.8 to 1.25"),
        (_aspect_title, 2, None, "width/height from 2"),
        (_instances_title, None, 2, "1 object"),
        (_instances_title, 2, 3, "2 objects"),
        (_instances_title, 3, 5, "3 to 4 objects"),
        (_instances_title, 5, None, "5 or more objects"),
    ],
)
def test_titles_of_groups(title, low, high, expected):
    assert title(low, high) == expected


def test_counts_by_class():
    kinds = np.array([0, 2, 0, 6], np.uint8)
    assert count_classes(kinds, np.array([0, 0, 1, 0]), ["cat", "dog"]) == {
        "cat": (1, 0, 1, 0, 0, 0, 1),
        "dog": (1, 0, 0, 0, 0, 0, 0),
    }
