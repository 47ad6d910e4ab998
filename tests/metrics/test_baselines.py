from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool.geometry import iou
from camtool.metrics import AdlFirstBox, Bootstrap, Criterion, Rate, TsCam
from camtool.metrics.baselines import (
    SIDES,
    Baseline,
    against_centred,
    best_centred,
    centred_box,
    score_baselines,
)
from camtool.metrics.intervals import Tally
from camtool.structures import AnnotatedObject, Annotation, Box


def counted(baseline):
    return baseline.right, baseline.n


def annotation(*objects, size=(100, 80)):
    return Annotation("a", size, tuple(AnnotatedObject(label, box) for label, box in objects))


def test_centred_box_is_that_of_the_formula():
    assert centred_box((100, 80), 1.0).xyxy == (0, 0, 100, 80)
    assert centred_box((100, 80), 0.5).xyxy == (25, 20, 75, 60)


def test_exactly_one_half_is_right():
    whole = score_baselines([annotation(("x", Box(0, 0, 50, 80)))])["whole_image"]
    assert counted(whole) == (1, 1)
    assert counted(score_baselines([annotation(("x", Box(0, 0, 49, 80)))])["whole_image"]) == (0, 1)


def test_any_true_box_of_the_class_and_each_class_of_an_image_counts():
    truth = annotation(
        ("x", Box(0, 0, 5, 5)), ("x", Box(0, 0, 100, 80)), ("y", Box(0, 0, 5, 5)), ("z", None)
    )
    assert counted(score_baselines([truth])["whole_image"]) == (1, 2)


def test_accuracy_and_error_are_in_percent():
    tally = Tally(np.array([1, 0, 0, 0]), np.ones(4, np.int64))
    baseline = Baseline(1, Rate(25.0, (10.0, 40.0), 4), tally)
    assert (baseline.accuracy, baseline.error) == (25.0, 75.0)


def test_top1_needs_a_right_first_guess_and_a_right_box_of_any_class_of_the_image():
    large, small = Box(0, 0, 100, 80), Box(0, 0, 5, 5)
    truths = [
        annotation(("x", large), ("y", large)),  # y is guessed
        annotation(("x", large)),  # another class is guessed
        annotation(("x", large), ("y", small)),  # y is guessed, whose box is small
        annotation(("x", large), size=None),  # does not count
        annotation(("x", large)),
    ]
    guessed = np.array([False, True, False, False, True, True])
    whole = score_baselines(truths, guessed=guessed)["whole_image"]
    assert counted(whole) == (5, 6)
    assert (whole.top1.value, whole.top1.n) == (50.0, 4)
    assert score_baselines(truths)["whole_image"].top1 is None


def test_images_without_size_or_box_do_not_count():
    assert score_baselines([annotation(("x", Box(0, 0, 9, 9)), size=None)]) == {}
    assert score_baselines([annotation(("x", None))]) == {}
    assert score_baselines([]) == {}


@st.composite
def truths(draw):
    width, height = draw(st.integers(2, 60)), draw(st.integers(2, 60))
    objects = []
    for _ in range(draw(st.integers(0, 4))):
        x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
        objects.append((draw(st.sampled_from("xy")), Box(x0, y0, x1, y1)))
    return annotation(*objects, size=(width, height))


@given(st.lists(truths(), max_size=8))
def test_equals_box_by_box(images):
    found = score_baselines(images)
    for name, side in SIDES.items():
        hits = [
            any(iou(centred_box(image.size, side), box) >= 0.5 for box in image.boxes(label))
            for image in images
            for label in image.labels
        ]
        assert (counted(found[name]) if found else (0, 0)) == (sum(hits), len(hits))


def test_chunks_add_up(monkeypatch):
    images = [annotation(("x", Box(0, 0, side, 80))) for side in range(10, 100, 7)]
    whole = score_baselines(images)
    monkeypatch.setattr("camtool.metrics.baselines._CHUNK", 4)
    assert score_baselines(images) == whole
    assert counted(whole["whole_image"]) == (7, 13)


def test_names_of_the_baselines_are_part_of_the_report():
    assert list(SIDES) == [
        "whole_image",
        "centred_0.9",
        "centred_0.8",
        "centred_0.7",
        "centred_0.6",
    ]


@pytest.mark.parametrize(("threshold", "right"), [(0.3, 1), (0.31, 0)])
def test_threshold(threshold, right):
    truth = annotation(("x", Box(0, 0, 30, 80)))
    assert score_baselines([truth], Criterion(threshold))["whole_image"].right == right


def test_interval_is_that_of_the_images_with_all_their_classes():
    both = annotation(("x", Box(0, 0, 100, 80)), ("y", Box(0, 0, 90, 80)))
    neither = annotation(("x", Box(0, 0, 9, 9)), ("y", Box(0, 0, 5, 5)))
    bootstrap = Bootstrap(samples=500, seed=2)
    found = score_baselines([both] * 6 + [neither] * 9, bootstrap=bootstrap)["whole_image"]
    assert found.rate == bootstrap.rate(Tally(np.array([2] * 6 + [0] * 9), np.full(15, 2)))


def test_intervals_by_class():
    easy, hard = annotation(("x", Box(0, 0, 100, 80))), annotation(("y", Box(0, 0, 9, 9)))
    images = [easy] * 20 + [hard] * 20
    by_class = score_baselines(images, bootstrap=Bootstrap(stratify="class"))["whole_image"]
    assert by_class.rate == Rate(50.0, (50.0, 50.0), 40)
    assert score_baselines(images)["whole_image"].rate.ci95[0] < 40


def test_best_centred_box():
    assert best_centred({"whole_image": 4, "centred_0.7": 9, "centred_0.6": 9, "x": 99}) == (
        "centred_0.7"
    )
    assert best_centred({"x": 99}) is None


@given(st.lists(truths(), max_size=8), st.sampled_from([TsCam(), AdlFirstBox()]))
def test_by_the_rule_of_a_protocol_box_by_box(images, protocol):
    found = score_baselines(images, protocol.known, protocol.comparison)
    for name, side in SIDES.items():
        hits = []
        for image in images:
            box = centred_box(image.size, side)
            overlaps = [
                protocol.comparison.overlap(box, image.boxes(label), image.size)
                for label in image.labels
            ]
            hits += [protocol.known.holds(overlap) for overlap in overlaps]
        assert (counted(found[name]) if found else (0, 0)) == (sum(hits), len(hits))


def test_the_best_centred_box_is_compared_in_pairs_on_the_images_with_a_size():
    """Of three images with a size the whole image is right in one, the boxes in two."""
    whole, small = Box(0, 0, 100, 80), Box(0, 0, 5, 5)
    truths = [
        annotation(("x", whole)),
        annotation(("x", small), size=None),
        annotation(("x", small)),
        annotation(("x", small)),
    ]
    baselines = score_baselines(truths)
    errors = Tally(np.array([1, 0, 0, 0]), np.ones(4, np.int64))
    found = against_centred(errors, truths, baselines, Bootstrap(samples=200))
    assert (found.first, found.second, found.n) == (100 / 3, 200 / 3, 3)
    assert found.value == pytest.approx(100 / 3)
    assert found.ci95[0] < 0 < found.ci95[1]
    assert against_centred(errors, truths, {}, Bootstrap()) is None
