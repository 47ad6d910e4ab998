"""CorLoc, mean IoU, the largest box and the pointing game against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.metrics import pair_metrics
from camtool.metrics.intervals import Bootstrap, Tally, class_means
from camtool.metrics.outcome import IMAGE_TYPE, NO_BOX, Layout
from camtool.metrics.pair_metrics import BINS, iou_histogram
from camtool.metrics.trials import Trials

DTYPE = Layout().row
BOOTSTRAP = Bootstrap(samples=400)


def table_of(table, labels, numbers, strata=None):
    """Trials of these rows; images are of the strata where some are given."""
    first = np.cumsum(numbers) - numbers
    names = [str(label) for label in labels] if strata is None else [str(s) for s in strata]
    truths = [Named(names[i]) for i in first]
    images = np.zeros(len(numbers), IMAGE_TYPE)
    counting = np.ones(len(numbers), np.bool_)
    return Trials(Layout(), table, truths, images, counting, labels.tolist(), [], numbers)


class Named:
    """An annotation of which only the first class is asked for."""

    def __init__(self, label):
        self.labels = (label,)


def box_figures(table, labels, numbers, bootstrap, strata=None):
    stratified = bootstrap.model_copy(update={"stratify": "class" if strata else "none"})
    return pair_metrics.box_figures(table_of(table, labels, numbers, strata), stratified)


def pointing_figures(table, labels, numbers, bootstrap, strata=None):
    stratified = bootstrap.model_copy(update={"stratify": "class" if strata else "none"})
    return pair_metrics.pointing_figures(table_of(table, labels, numbers, strata), stratified)


def made(seed, images=60, classes=7):
    """Images of one to three classes each."""
    random = np.random.default_rng(seed)
    numbers = random.integers(1, 4, images)
    owners = [random.choice(classes, size=n, replace=False) for n in numbers]
    labels = np.concatenate([np.arange(classes), *owners])
    numbers = np.concatenate([np.ones(classes, np.int64), numbers])
    table = np.zeros(len(labels), DTYPE)
    table["iou"] = random.choice([0, 0.5, 0.5000001, 0.75, 1], len(labels))
    table["largest"] = random.choice([0, 1, NO_BOX], len(labels))
    table["pointing"] = random.integers(0, 4, len(labels))
    return table, labels.astype(np.int64), numbers


@pytest.mark.parametrize("seed", range(3))
def test_values_of_a_plain_loop(seed):
    table, labels, numbers = made(seed)
    shares, points = [], []
    for label in sorted(set(labels.tolist())):
        rows = [row for row, own in zip(table, labels, strict=True) if own == label]
        shares.append(sum(row["iou"] > 0.5 for row in rows) / len(rows))
        points.append([sum(bool(row["pointing"] & bit) for row in rows) / len(rows)
                       for bit in (1, 2)])  # fmt: skip
    found = box_figures(table, labels, numbers, BOOTSTRAP)
    assert found["corloc"].rate.value == pytest.approx(100 * sum(shares) / len(shares), abs=1e-9)
    assert found["corloc"].rate.n == len(table)
    assert found["mean_iou"].rate.value == pytest.approx(100 * table["iou"].mean(), abs=1e-9)
    boxed = [int(row["largest"]) for row in table if row["largest"] != NO_BOX]
    largest = found["largest_box_precision"].rate
    assert (largest.value, largest.n) == (pytest.approx(100 * sum(boxed) / len(boxed)), len(boxed))
    found = pointing_figures(table, labels, numbers, BOOTSTRAP)
    means = 100 * np.mean(points, axis=0)
    assert found["pointing_game_0"].rate.value == pytest.approx(means[0], abs=1e-9)
    assert found["pointing_game_18"].rate.value == pytest.approx(means[1], abs=1e-9)


def test_the_interval_of_a_plain_loop_over_the_same_resamples():
    table, labels, numbers = made(5)
    last = np.cumsum(numbers)
    rows = [np.arange(end - n, end) for n, end in zip(numbers, last, strict=True)]
    corloc, overlap = [], []
    # The very resamples, image by image.
    for weights in BOOTSTRAP.weights(len(numbers), 400):
        for one in weights:
            drawn = np.concatenate([np.tile(rows[i], int(n)) for i, n in enumerate(one) if n])
            hit = table["iou"][drawn] > 0.5
            every = np.bincount(labels)[labels[drawn]]  # a class counts by its pairs drawn
            corloc.append((hit / every).sum() / (1 / every).sum())
            overlap.append(table["iou"][drawn].mean())
    found = box_figures(table, labels, numbers, BOOTSTRAP)
    for name, values in (("corloc", corloc), ("mean_iou", overlap)):
        expected = 100 * np.percentile(values, (2.5, 97.5))
        assert found[name].rate.ci95 == pytest.approx(expected, abs=1e-4)


def test_same_seed_same_interval():
    table, labels, numbers = made(1)
    first, again = (box_figures(table, labels, numbers, BOOTSTRAP) for _ in range(2))
    assert first == again
    other = box_figures(table, labels, numbers, Bootstrap(samples=400, seed=1))
    assert other["corloc"].rate.ci95 != first["corloc"].rate.ci95


def test_a_class_that_a_resample_lacks_is_not_in_its_mean():
    hits = np.array([[True], [True], [True]])
    (rate,) = class_means(hits, np.array([0, 0, 1]), np.array([1, 1, 1]), BOOTSTRAP)
    assert (rate.value, rate.ci95) == (100.0, (100.0, 100.0))


def test_one_image_with_a_box_among_many():
    table, labels, numbers = made(4)
    table["largest"] = NO_BOX
    table["largest"][0] = 1
    rate = box_figures(table, labels, numbers, BOOTSTRAP)["largest_box_precision"].rate
    assert (rate.value, rate.ci95, rate.n) == (100.0, (100.0, 100.0), 1)


def test_class_by_class_no_class_varies_that_is_all_alike():
    """Two classes, one always right and one never: only their sizes could vary."""
    labels, numbers = np.repeat([0, 1], 10), np.ones(20, np.int64)
    table = np.zeros(20, DTYPE)
    table["iou"] = table["largest"] = labels
    table["pointing"] = 3 * labels
    by_class = box_figures(table, labels, numbers, BOOTSTRAP, labels.tolist())
    by_class |= pointing_figures(table, labels, numbers, BOOTSTRAP, labels.tolist())
    for figure in by_class.values():
        assert (figure.rate.value, figure.rate.ci95) == (50.0, (50.0, 50.0))
    freely = box_figures(table, labels, numbers, BOOTSTRAP)
    for name in ("mean_iou", "largest_box_precision"):
        assert freely[name].rate.ci95[0] < 40


def test_no_class_has_a_box():
    table, labels, numbers = made(2)
    table["largest"], table["iou"] = NO_BOX, 0
    found = box_figures(table, labels, numbers, BOOTSTRAP)
    assert "largest_box_precision" not in found
    assert found["corloc"].rate.value == found["mean_iou"].rate.value == 0.0


@pytest.mark.parametrize(("value", "place"), [
    (0.0, 0), (0.049, 0), (1 / 20, 1), (3 / 20, 3), (7 / 20, 7), (11 / 20, 11), (0.5, 10),
    (np.nextafter(0.5, 0), 9), (19 / 20, 19), (1.0, 19),
])  # fmt: skip
def test_bins_of_the_histogram(value, place):
    counts = iou_histogram(np.array([value]))
    assert len(counts) == BINS
    assert counts.index(1) == place
    assert sum(counts) == 1


def test_classes_of_one_image_vary_as_images_do():
    """The interval is then that of a plain bootstrap, not of the distinct classes in each draw."""
    hits = np.array([True] * 56 + [False] * 4)[:, None]
    (rate,) = class_means(hits, np.arange(60), np.ones(60, np.int64), BOOTSTRAP)
    plain = BOOTSTRAP.rate(Tally(hits[:, 0].astype(np.int64), np.ones(60, np.int64)))
    assert rate.value == plain.value
    assert rate.ci95 == pytest.approx(plain.ci95, abs=1.7)
