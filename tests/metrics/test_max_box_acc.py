from __future__ import annotations

import json

import numpy as np
import pytest
from pydantic import ValidationError

from camtool.kernels import all_contours, largest_contours
from camtool.metrics.level_hits import level_hits
from camtool.metrics.map_outcome import MapOutcome
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.max_box_acc import (
    IOUS,
    BoxAccuracy,
    thresholds,
)
from camtool.metrics.unit_frame import eight_bit
from tests.kernels.bodies import body_of, take
from tests.metrics.wsol_golden import GOLDEN, expected, maps, needs_golden, truths

CALLERS = ("camtool.metrics.map_protocols", "camtool.metrics.level_hits")
body = body_of(*CALLERS)
both_bodies = pytest.mark.usefixtures("body")

METRICS = {"single": MaxBoxAcc(), "multi": MaxBoxAccV2()}

# Whole image right, nothing right, half of it right: 4×4 pixels, inclusive corners.
SQUARE = np.array([[1, 1, 2, 2]])


def drawn(values):
    found = np.zeros((6, 6), np.uint8)
    found[1:3, 1:3] = values
    return found


def right_levels(hits):
    """For each IoU the levels at which the image is right."""
    return [np.flatnonzero(np.unpackbits(row)).tolist() for row in hits.bits]


@needs_golden
@both_bodies
@pytest.mark.parametrize("mode", METRICS)
def test_every_count_of_the_reference(mode):
    metric, accuracy = METRICS[mode], BoxAccuracy()
    for name in expected()["image_ids"]:
        accuracy.update(metric.level_hits(eight_bit(maps()[name]), truths()[name]))
    for interval, count in ((0.001, 1000), (0.01, 100)):
        curve = accuracy.compute(thresholds(interval))
        wanted = expected()[f"{mode}_{interval}"]
        assert curve.images == 100
        assert curve.right.shape == (3, count)
        for row, iou in zip(curve.right, IOUS, strict=True):
            assert row.tolist() == wanted["correct_per_threshold"][str(iou)]
            assert curve.best(iou).value == wanted["max_box_acc"][str(iou)]


@needs_golden
def test_figures_of_the_reference():
    found = {}
    for mode, metric in METRICS.items():
        accuracy = BoxAccuracy()
        for name in expected()["image_ids"]:
            accuracy.update(metric.level_hits(eight_bit(maps()[name]), truths()[name]))
        found[mode] = metric.values(accuracy.compute(thresholds(metric.interval)))
    assert found["single"] == {
        "max_box_acc": 71.0,
        "max_box_acc_30": 89.0,
        "max_box_acc_50": 71.0,
        "max_box_acc_70": 34.0,
    }
    assert found["multi"] == {
        "max_box_acc_v2": 66.0,
        "max_box_acc_30": 90.0,
        "max_box_acc_50": 73.0,
        "max_box_acc_70": 35.0,
    }


@needs_golden
def test_every_box_of_the_reference():
    compared = 0
    for image in json.loads((GOLDEN / "boxes.json").read_text()):
        values = eight_bit(maps()[image["image_id"]])
        for mode, function in (("single", largest_contours), ("multi", all_contours)):
            found = function(values)
            for threshold, boxes in zip(image["thresholds"], image[mode], strict=True):
                at = found.at(int(threshold * values.max()))
                mine = np.minimum(at, (224, 224, 223, 223)).tolist() or [[0, 0, 0, 0]]
                assert sorted(mine) == boxes, (image["image_id"], mode, threshold)
                compared += 1
    assert compared == 40 * 2 * 8


def test_known_boxes_of_a_small_map():
    rows = [[0, 0, 0, 0, 0], [0, 4, 4, 4, 6], [0, 4, 10, 8, 6], [0, 4, 4, 4, 6]]
    values = eight_bit(np.array(rows) / 10)
    found = largest_contours(values)
    boxes = [found.at(int(t * values.max()))[0] for t in (0, 0.2, 0.4, 0.6, 0.8)]
    assert np.minimum(boxes, (9, 9, 4, 3)).tolist() == [
        [1, 1, 4, 3],
        [1, 1, 4, 3],
        [2, 1, 4, 3],
        [2, 2, 4, 3],
        [2, 2, 3, 3],
    ]


@both_bodies
def test_known_intersection_over_union():
    # The contour's box is (1, 2, 5, 6) when its pixels are columns 1 to 4 and rows 2 to 5.
    values = np.zeros((9, 9), np.uint8)
    values[2:6, 1:5] = 1
    truth = np.array([[3, 1, 4, 5]])
    for share, right in ((8 / 27, True), (8 / 27 + 1e-12, False)):
        hits = level_hits(all_contours(values), values, truth, (share,))
        assert right_levels(hits) == [[0] if right else []]


@both_bodies
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_the_box_is_one_pixel_too_large_unless_at_the_border(metric):
    # (1, 1, 3, 3) against (1, 1, 2, 2): 4/9.
    hits = metric.level_hits(drawn(200), SQUARE)
    assert right_levels(hits) == [list(range(200)), [], []]
    assert hits.peak == 200
    at_border = np.zeros((6, 6), np.uint8)
    at_border[4:, 4:] = 200
    hits = metric.level_hits(at_border, np.array([[4, 4, 5, 5]]))
    assert right_levels(hits) == [list(range(200))] * 3


@both_bodies
@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_contour_is_the_first_pixel(metric):
    empty = np.zeros((6, 6), np.uint8)
    hits = metric.level_hits(empty, np.array([[0, 0, 0, 0]]))
    assert right_levels(hits) == [list(range(256))] * 3
    hits = metric.level_hits(empty, np.array([[0, 0, 0, 1]]))  # one half
    assert right_levels(hits) == [list(range(256))] * 2 + [[]]
    accuracy = BoxAccuracy()
    accuracy.update(hits)
    assert accuracy.compute(thresholds(0.1)).right.tolist() == [[1] * 10, [1] * 10, [0] * 10]


@both_bodies
def test_any_true_box_counts_and_none_is_never_right():
    truths_ = np.array([[5, 5, 5, 5], [1, 1, 3, 3]])
    hits = METRICS["single"].level_hits(drawn(9), truths_)
    assert right_levels(hits) == [list(range(9))] * 3
    none = METRICS["single"].level_hits(drawn(9), np.zeros((0, 4), np.int64))
    assert right_levels(none) == [[], [], []]


def test_multi_finds_what_single_misses():
    values = np.zeros((12, 12), np.uint8)
    values[0:6, 0:6] = 100
    values[8:10, 8:10] = 100
    truth = np.array([[8, 8, 10, 10]])
    assert right_levels(METRICS["single"].level_hits(values, truth))[0] == []
    assert right_levels(METRICS["multi"].level_hits(values, truth))[0] == list(range(100))


def test_plain_and_compiled_agree_on_random_maps(monkeypatch):
    random = np.random.default_rng(3)
    for _ in range(30):
        values = random.integers(0, 8, (14, 19)).astype(np.uint8) * 30
        corners = random.integers(0, 14, (2, 2, 2))
        truth = np.hstack((corners.min(1), corners.max(1)))
        for metric in METRICS.values():
            found = []
            for of in ("compiled", "plain"):
                with monkeypatch.context() as patch:
                    take(patch, of, *CALLERS)
                    found.append(metric.level_hits(values, truth))
            swept, plain = found
            assert swept.bits.tolist() == plain.bits.tolist()
            assert swept.peak == plain.peak


def test_thresholds_are_shares_of_each_map_and_truncated():
    accuracy = BoxAccuracy()
    values = drawn(100)
    values[5, 5] = 250
    # From level 100 on, the bright corner alone is left.
    accuracy.update(METRICS["single"].level_hits(values, SQUARE))
    accuracy.update(METRICS["single"].level_hits(drawn(10), SQUARE))
    curve = accuracy.compute(np.array([0.0, 0.399, 0.4, 0.999]))
    assert curve.right.tolist() == [[2, 2, 1, 1], [0] * 4, [0] * 4]


def test_the_best_is_the_lowest_of_equals_and_a_fixed_threshold_can_be_asked_for():
    accuracy = BoxAccuracy()
    values = drawn(100)
    values[3:, 3:] = 50
    accuracy.update(METRICS["multi"].level_hits(values, SQUARE))
    curve = accuracy.compute(thresholds(0.01))
    best = curve.best(30)
    assert (best.value, best.threshold) == (100.0, 0.5)
    assert (curve.at(0.49, 30), curve.at(0.5, 30), curve.at(0.5, 50)) == (0.0, 100.0, 0.0)
    with pytest.raises(ValueError) as caught:
        curve.at(0.505, 30)
    assert str(caught.value) == "0.505 is not among the thresholds of the curve"


def test_merged_parts_are_the_whole_and_hits_add_up():
    random = np.random.default_rng(0)
    whole, parts = BoxAccuracy(), [BoxAccuracy(), BoxAccuracy()]
    for i in range(20):
        values = (random.random((10, 12)) * random.integers(1, 256)).astype(np.uint8)
        hits = METRICS["multi"].level_hits(values, np.array([[2, 2, 8, 9]]))
        whole.update(hits)
        parts[i // 10].update(hits)
    parts[0].merge(parts[1])
    assert len(parts[0]) == len(whole) == 20
    at = thresholds(0.001)
    curve = whole.compute(at)
    assert parts[0].compute(at).right.tolist() == curve.right.tolist()
    assert curve.right.max() > 0
    for place in (0, 137, 500, 999):
        assert whole.hits(float(at[place])).sum(0).tolist() == curve.right[:, place].tolist()


def test_without_images():
    with pytest.raises(ValueError) as caught:
        BoxAccuracy().compute(thresholds(0.1))
    assert str(caught.value) == "box accuracy needs at least one image"


def test_thresholds_are_those_of_the_reference():
    assert [len(thresholds(i)) for i in (0.001, 0.01)] == [1000, 100]
    assert thresholds(0.001)[999] == pytest.approx(0.999)


@pytest.mark.parametrize("interval", [0.0, 0.6, 1e-6])
def test_intervals_that_make_no_curve(interval):
    with pytest.raises(ValidationError):
        MaxBoxAcc(interval=interval)


def test_an_outcome_keeps_the_hits_of_all_classes_that_have_a_map():
    values = (np.random.default_rng(3).random((10, 12)) * 200).astype(np.uint8)
    truths_ = [np.array([[2, 2, 8, 9]]), np.array([[0, 0, 11, 9]])]
    hits = [METRICS["multi"].level_hits(values, t)._replace(own=(7, 90)) for t in truths_]
    outcome = MapOutcome.of([hits[0], None, hits[1]])
    assert (outcome.classes, outcome.missing) == (3, 1)
    kept, plain = BoxAccuracy.of([outcome.packed]), BoxAccuracy()
    for of_class in hits:
        plain.update(of_class)
    at = thresholds(0.01)
    assert len(kept) == 2
    assert kept.compute(at).right.tolist() == plain.compute(at).right.tolist()
    assert kept.own("otsu").tolist() == [
        50 * sum(right_levels(h)[k].count(7) for h in hits) for k in range(3)
    ]
    assert kept.own("percentile").tolist() == [
        50 * sum(right_levels(h)[k].count(90) for h in hits) for k in range(3)
    ]
