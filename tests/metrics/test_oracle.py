"""Intervals of box accuracy at the best threshold, against plain loops; the curve behind it."""

from __future__ import annotations

import numpy as np
import pytest
from camtool.metrics.confidence import Bootstrap
from camtool.metrics.figures import AtThreshold, ThresholdChoice
from camtool.metrics.level_hits import LevelHits
from camtool.metrics.map_outcome import MapOutcome
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy, thresholds
from camtool.metrics.oracle import ImageDraws, accuracy_curve, oracle_intervals
from camtool.metrics.resampling import Strata

from camtool.metrics.map_protocols import MaxBoxAccV2

PROTOCOL = MaxBoxAccV2(interval=0.01)


def drawn_outcomes(images, seed=0):
    """Images of one to three classes whose maps have any peak and are right at some levels."""
    random = np.random.default_rng(seed)
    outcomes = []
    for _ in range(images):
        hits = []
        for _ in range(random.integers(1, 4)):
            rows = np.zeros((3, 256), np.bool_)
            low, high = np.sort(random.integers(0, 256, 2))
            for k in range(3):
                rows[k, low + 9 * k : high - 9 * k] = True
            hits.append(LevelHits(np.packbits(rows, axis=1), int(random.choice([255, 200, 3]))))
        outcomes.append(MapOutcome.of(hits))
    return outcomes


def curve_of(outcomes):
    return BoxAccuracy.of(o.packed for o in outcomes).compute(thresholds(0.01))


@pytest.mark.parametrize("strata", [None, "abcab" * 5])
@pytest.mark.parametrize("most", [60, 10**6])
def test_every_resample_of_images_chooses_its_threshold_anew(monkeypatch, strata, most):
    monkeypatch.setattr("camtool.metrics.confidence._MOST_WEIGHTS", most)
    outcomes = drawn_outcomes(25)
    bootstrap = Bootstrap(samples=150, seed=4, stratify="class" if strata else "none")
    figures = PROTOCOL.figures(
        outcomes, outcomes, network_classes=None, bootstrap=bootstrap,
        strata=Strata(strata, strata),
    )  # fmt: skip
    numbers = None if strata is None else np.array([ord(letter) for letter in strata]) - ord("a")
    drawn = []
    for weights in np.concatenate(list(bootstrap.weights(25, 150, numbers))):
        again = [o for o, times in zip(outcomes, weights, strict=True) for _ in range(int(times))]
        assert len(again) == 25
        drawn.append(PROTOCOL.values(curve_of(again)))
    for name, rate in figures.metrics.items():
        expected = np.percentile([values[name] for values in drawn], (2.5, 97.5))
        assert rate.ci95 == pytest.approx(expected, abs=1e-9)
        assert rate.value == PROTOCOL.values(curve_of(outcomes))[name]


def test_blocks_hold_what_each_image_has_at_each_threshold():
    outcomes = drawn_outcomes(40, seed=1)
    accuracy = BoxAccuracy.of(o.packed for o in outcomes)
    at = thresholds(0.013)
    blocks = list(accuracy.blocks(at, most=7))
    places = np.concatenate([np.arange(len(accuracy))[images] for images, _ in blocks])
    assert (places == np.arange(len(accuracy))).all()
    whole = np.concatenate([hits for _, hits in blocks])
    for column, threshold in enumerate(at):
        assert (whole[:, :, column] == accuracy.hits(float(threshold))).all()


def test_the_curve_holds_every_value_that_a_threshold_gives():
    accuracy = BoxAccuracy.of(o.packed for o in drawn_outcomes(30, seed=2))
    curve = accuracy.compute(thresholds(0.001))
    choices = {
        f"max_box_acc_{iou}": ThresholdChoice(
            {
                "fixed": AtThreshold(0.2, curve.at(0.2, iou)),
                "oracle": AtThreshold(curve.best(iou).threshold, curve.best(iou).value),
            },
            "fixed",
        )
        for iou in IOUS
    }
    shown = accuracy_curve(accuracy, curve, choices)
    assert list(shown.y) == ["IoU ≥ 0.3", "IoU ≥ 0.5", "IoU ≥ 0.7"]
    assert len(shown.x) < 1000
    x = np.array(shown.x)
    for iou, values in zip(IOUS, shown.y.values(), strict=True):
        for threshold in thresholds(0.001):
            place = int(np.searchsorted(x, threshold, side="right")) - 1
            assert values[place] == pytest.approx(curve.at(float(threshold), iou))
    oracle = [point.y for point in shown.points if point.label == "oracle"]
    assert oracle == [max(values) for values in shown.y.values()]


def test_intervals_do_not_depend_on_how_many_images_are_unpacked_at_once(monkeypatch):
    outcomes = drawn_outcomes(40, seed=5)
    accuracy = BoxAccuracy.of(o.packed for o in outcomes)
    draws = ImageDraws(Bootstrap(), 100, [o.classes for o in outcomes])
    blocks, found = BoxAccuracy.blocks, []
    for most in (1, 7, 1000):
        monkeypatch.setattr(BoxAccuracy, "blocks", lambda self, at, m=most: blocks(self, at, m))
        found.append(oracle_intervals(accuracy, thresholds(0.01), PROTOCOL.values, draws))
    assert found[0] == found[1] == found[2]
    assert all(low < high for low, high in found[0].values())
