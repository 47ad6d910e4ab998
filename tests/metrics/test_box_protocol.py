from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from camtool.errors import SettingsError
from camtool.metrics import Bootstrap, Ilsvrc, Protocol
from camtool.metrics.box_protocol import DEPTHS
from camtool.metrics.protocol import Figuring, matches
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
)
from tests.builders import fared, judged

FULL = Box(0, 0, 10, 10)
FAR = Box(50, 50, 60, 60)


def guess(name, rank, *boxes, **rest):
    return ClassPrediction(name, None, tuple(ScoredBox(b, 1.0) for b in boxes), rank, **rest)


def truth(*objects):
    return Annotation("a", (100, 100), tuple(AnnotatedObject(*o) for o in objects))


def judge(annotation, *guesses, **settings):
    return fared(Ilsvrc(**settings), annotation, Prediction("a", "a.jpg", None, guesses))


def figures(*outcomes, located=None, classes=None):
    kept = {id(one.pair[0]) for one in (outcomes if located is None else located)}
    table = judged(Ilsvrc(), [o.pair for o in outcomes], lambda annotation: id(annotation) in kept)
    return Ilsvrc().reduce(table, Figuring(Bootstrap(), classes))


@pytest.mark.parametrize(
    ("label", "expected"),
    [("n01", True), ("tench", True), (7, True), ("Tench", False), (1, False), ("7", False)],
)
def test_class_is_matched_by_name_title_or_index(label, expected):
    assert matches(label, guess("n01", 1, title="tench", index=7)) is expected


def test_no_index_and_no_title_match_nothing():
    assert not matches(0, guess("n01", 1))
    assert not matches("None", guess("n01", 1))


@pytest.mark.parametrize(
    ("box", "right"),
    [
        (Box(0, 0, 10, 5), True),  # exactly one half
        (Box(0, 0, 10, 4.99), False),
        (Box(0, 0, 10, 20), True),
        (Box(0, 0, 10, 20.01), False),
        (FAR, False),
    ],
)
def test_hit_is_at_least_one_half(box, right):
    assert judge(truth(("x", FULL)), guess("x", 1, box)).box_rank == (1 if right else None)


def test_threshold_is_a_setting():
    annotation, third = truth(("x", FULL)), guess("x", 1, Box(0, 0, 10, 3))
    assert judge(annotation, third, iou_threshold=0.3).box_rank == 1
    assert judge(annotation, third).box_rank is None
    for wrong in (0, 1.01, -0.5):
        with pytest.raises(SettingsError):
            Ilsvrc(iou_threshold=wrong)


def test_any_true_box_of_the_class_but_of_no_other_class():
    annotation = truth(("x", FAR), ("x", FULL), ("y", Box(20, 20, 30, 30)))
    assert judge(annotation, guess("x", 1, FULL)).box_rank == 1
    outcome = judge(annotation, guess("y", 1, FULL))
    assert (outcome.class_rank, outcome.box_rank) == (1, None)


def test_only_the_strongest_box_of_a_guess_counts():
    assert judge(truth(("x", FULL)), guess("x", 1, FAR, FULL)).box_rank is None


def test_guess_without_a_box_has_the_class_right_and_the_box_wrong():
    outcome = judge(truth(("x", FULL)), guess("x", 1))
    assert (outcome.class_rank, outcome.box_rank, outcome.known) == (1, None, (False,))


def test_a_later_guess_of_the_same_class_may_have_the_right_box():
    outcome = judge(truth(("x", FULL)), guess("x", 1, FAR), guess("y", 2), guess("x", 3, FULL))
    assert (outcome.class_rank, outcome.box_rank, outcome.known) == (1, 3, (False,))


def test_several_classes_are_pairs_of_their_own():
    annotation = truth(("x", FULL), ("y", FAR), ("z", None))
    outcome = judge(annotation, guess("q", 1), guess("y", 2, FAR), guess("x", 3, FAR))
    assert (outcome.class_rank, outcome.box_rank) == (2, 2)
    assert outcome.known == (False, True)
    assert not outcome.complete


def test_order_of_the_stored_classes_does_not_matter():
    annotation = truth(("x", FULL))
    guesses = guess("y", 2), guess("x", 3, FULL), guess("q", 1)
    assert judge(annotation, *guesses) == judge(annotation, *guesses[::-1])


def test_errors_at_each_depth_by_hand():
    right_at = {1: 1, 2: 3, 3: None, 4: 5}
    outcomes = [
        judge(
            truth(("x", FULL)),
            *(guess("x" if rank == at else f"q{rank}", rank, FULL) for rank in DEPTHS),
        )
        for at in right_at.values()
    ]
    metrics = figures(*outcomes).metrics
    values = [metrics[f"top{n}_localization_error"].value for n in DEPTHS]
    assert values == [75.0, 75.0, 50.0, 50.0, 25.0]
    assert values == [metrics[f"top{n}_classification_error"].value for n in DEPTHS]
    assert metrics["top1_localization_error"].n == 4


def test_missing_guesses_are_said_and_not_scored():
    found = figures(judge(truth(("x", FULL)), guess("y", 1), guess("q", 2)))
    assert {"top1_localization_error", "top2_classification_error"} <= found.metrics.keys()
    assert found.absent["top3_localization_error"] == (
        "the predictions carry 2 guesses an image, not 3; "
        "`camtool localize --set localize.classes.k=3` stores them"
    )
    assert found.absent.keys() >= {"top3_classification_error", "top5_localization_error"}


def test_a_true_class_stored_beside_is_no_guess():
    wrong = judge(truth(("x", FULL)), guess("y", 1))
    beside = judge(truth(("x", FULL)), guess("y", 1), guess("x", 2, FULL, target=True))
    found = figures(wrong, beside)
    assert found.metrics["top1_localization_error"].value == 100.0
    assert found.absent["top2_localization_error"].startswith("the predictions carry 1 guess an")


def test_true_classes_stored_for_all_images_give_every_depth():
    outcomes = [
        judge(truth(("x", FULL)), guess("y", 1), guess("x", rank, FULL, target=True))
        for rank in (2, 4, 30)
    ]
    found = figures(*outcomes)
    assert found.absent == {}
    errors = [found.metrics[f"top{n}_localization_error"].value for n in DEPTHS]
    assert errors == pytest.approx([100, 200 / 3, 200 / 3, 100 / 3, 100 / 3])
    assert found.metrics["gt_known_error"].value == 0.0


def test_ragged_guesses_end_an_image_early():
    full = judge(truth(("x", FULL)), *(guess(f"q{n}", n) for n in range(1, 5)), guess("x", 5, FULL))
    short = judge(truth(("x", FULL)), guess("y", 1))
    none = judge(truth(("x", FULL)))
    metrics = figures(full, short, none).metrics
    assert metrics["top5_localization_error"].value == pytest.approx(200 / 3)


def test_network_of_fewer_classes_than_guesses():
    outcome = judge(truth(("x", FULL)), guess("y", 1), guess("x", 2, FULL))
    assert figures(outcome, classes=2).metrics["top5_localization_error"].value == 0.0
    assert "top5_localization_error" in figures(outcome, classes=3).absent


def test_gt_known_takes_the_box_of_the_true_class_wherever_it_ranks():
    right = judge(truth(("x", FULL)), guess("y", 1, FAR), guess("x", 812, FULL, target=True))
    wrong = judge(truth(("x", FULL)), guess("y", 1, FULL), guess("x", 9, FAR, target=True))
    rate = figures(right, wrong, wrong).metrics["gt_known_error"]
    assert (rate.value, rate.n) == (pytest.approx(200 / 3), 3)


def test_gt_known_is_over_pairs_of_image_and_class():
    both = truth(("x", FULL), ("y", FAR))
    outcome = judge(both, guess("x", 1, FULL), guess("y", 2, FULL))
    rate = figures(outcome).metrics["gt_known_error"]
    assert (rate.value, rate.n) == (50.0, 2)


def test_gt_known_is_absent_when_not_stored_for_all():
    stored = judge(truth(("x", FULL)), guess("x", 1, FULL))
    lacking = judge(truth(("x", FULL)), guess("y", 1, FULL))
    assert figures(stored, stored, lacking).absent["gt_known_error"] == (
        "the true class's box is stored for 2 of 3 images; "
        "`camtool localize --labels` stores it for all"
    )


def test_without_true_boxes_only_classes_are_scored():
    outcome = judge(truth(("x", None)), guess("x", 1, FULL))
    found = figures(outcome, located=())
    assert outcome.known == ()
    assert list(found.metrics) == ["top1_classification_error"]
    assert found.absent["top1_localization_error"] == "no scored image has a true box"
    assert found.absent["gt_known_error"] == "no scored image has a true box"


def test_black_listed_images_stay_in_classification_only():
    right = judge(truth(("x", FULL)), guess("x", 1, FULL))
    wrong = judge(truth(("x", FULL)), guess("y", 1, FULL))
    metrics = figures(right, wrong, located=[right]).metrics
    assert (metrics["top1_classification_error"].value, metrics["top1_classification_error"].n) == (
        50.0,
        2,
    )
    assert (metrics["top1_localization_error"].value, metrics["gt_known_error"].n) == (0.0, 1)


def test_bare_name_stands_for_the_protocol():
    class Settings(BaseModel):
        protocol: Protocol

    assert Settings(protocol="ilsvrc").protocol == Ilsvrc()
    assert Settings(protocol={"name": "ilsvrc", "iou_threshold": 0.7}).protocol.iou_threshold == 0.7
    with pytest.raises(ValidationError, match="ilsvrc"):
        Settings(protocol="imagenet")


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    *[st.integers(0, 6)] * 2,
    *[st.integers(1, 6)] * 2,
)


@st.composite
def cases(draw):
    objects = draw(st.lists(st.tuples(st.sampled_from("xyz"), boxes), min_size=1, max_size=4))
    names = draw(st.lists(st.sampled_from("xyzq"), min_size=5, max_size=5))
    shown = [draw(st.lists(boxes, max_size=2)) for _ in names]
    guesses = [guess(n, i, *b) for i, (n, b) in enumerate(zip(names, shown, strict=True), 1)]
    return objects, guesses


def official_error(images, n):
    """The published rule, guess by guess and pixel by pixel."""

    def pixels(box):
        return {
            (x, y) for x in range(int(box.x0), int(box.x1)) for y in range(int(box.y0), int(box.y1))
        }

    wrong = 0
    for objects, guesses in images:
        wrong += not any(
            g.name == label
            and g.boxes
            and 2 * len(pixels(g.boxes[0].box) & pixels(box))
            >= len(pixels(g.boxes[0].box) | pixels(box))
            for g in guesses[:n]
            for label, box in objects
        )
    return 100 * wrong / len(images)


@given(st.lists(cases(), min_size=1, max_size=5), st.randoms())
def test_equals_brute_force_in_any_order(images, random):
    expected = [official_error(images, n) for n in DEPTHS]
    random.shuffle(images)
    outcomes = []
    for objects, guesses in images:
        random.shuffle(objects)
        random.shuffle(guesses)
        outcomes.append(judge(truth(*objects), *guesses))
    metrics = figures(*outcomes).metrics
    assert [metrics[f"top{n}_localization_error"].value for n in DEPTHS] == expected
