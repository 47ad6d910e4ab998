"""What a row of the history says of a training that goes wrong."""

from __future__ import annotations

import math

import pytest

from camtool.training.history import doubts_of, map_doubt_of

NAMES = ["cat", "dog", "owl"]
EVEN = [1 / 3] * 3
GUESSING = math.log(3)


def row(loss: float = 1.0, **val: float) -> dict:
    return {"train": {"loss": loss}, "val": val or None}


@pytest.mark.parametrize(("loss", "told"), [(0.1, 0), (1.5, 0), (3.2, 0), (3.4, 1), (412.0, 1)])
def test_a_loss_of_several_times_that_of_guessing_diverges(loss, told):
    found = doubts_of(row(loss), GUESSING, EVEN, NAMES)
    assert len(found) == told
    assert all(f"the loss is {loss:g}, that of guessing 1.10" in text for text in found)


def test_few_classes_make_no_false_alarm():
    assert doubts_of(row(0.9), 0.0, [1.0], ["cat"]) == []


@pytest.mark.parametrize(
    ("guessed", "shares", "told"),
    [(100.0, EVEN, 1), (95.0, EVEN, 0), (99.0, [0.1, 0.6, 0.3], 0), (100.0, [1.0], 0)],
)
def test_one_class_for_all_images_collapses(guessed, shares, told):
    most = min(1, len(shares) - 1)
    found = doubts_of(row(most_guessed=guessed, most_guessed_class=most), GUESSING, shares, NAMES)
    assert len(found) == told
    if told:
        assert found[0] == (
            "training collapses: 100 % of the validation images are taken for 'dog', which 33.3 %"
            " show"
        )


@pytest.mark.parametrize(("known", "told"), [(28.4, True), (29.8, True), (29.9, False)])
def test_boxes_no_better_than_the_whole_picture(known, told):
    found = map_doubt_of(row(gt_known=known, whole_image=29.8))
    assert (found is not None) == told
    assert not told or f"GT-known {known} % is not above 29.8 %" in found


def test_nothing_is_said_without_validation_or_boxes():
    assert map_doubt_of(row()) is None
    assert map_doubt_of(row(gt_known=None, whole_image=29.8)) is None
    assert map_doubt_of(row(top1=5.0)) is None
