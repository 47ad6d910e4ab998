"""Boxes that say which guess of the image they are: the five slots of the heuristic entry."""

from __future__ import annotations

import pytest

from camtool.boxes import TightLooseBoxes
from camtool.metrics import AdlFirstBox, Ilsvrc
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
)
from tests.builders import fared

LOOSE, TIGHT = Box(0, 0, 80, 80), Box(10, 10, 30, 30)


def entered(rank, number=2):
    boxes = [ScoredBox(LOOSE, 0.64), ScoredBox(TIGHT, 0.04)][:number]
    return TightLooseBoxes().entered(boxes, rank)


def prediction(**numbers):
    """Five classes `1` to `5` by rank, each with a loose and a tight box, or fewer as given."""
    classes = tuple(
        ClassPrediction(str(r), None, entered(r, numbers.get(f"of_{r}", 2)), r) for r in range(1, 6)
    )
    return Prediction("a", "a.jpg", (100, 100), classes)


def judge(label, box, protocol=None, **numbers):
    annotation = Annotation("a", (100, 100), (AnnotatedObject(label, box),))
    return fared(protocol or Ilsvrc(), annotation, prediction(**numbers))


def test_the_five_guesses():
    slots = [(c.name, b.box, b.guess) for c in prediction().classes for b in c.boxes]
    assert slots[:6] == [
        ("1", LOOSE, 1), ("1", TIGHT, 2), ("2", LOOSE, 3), ("2", TIGHT, 4), ("3", LOOSE, 5),
        ("3", TIGHT, 0),
    ]  # fmt: skip
    assert {guess for _, _, guess in slots[6:]} == {0}


@pytest.mark.parametrize(
    ("label", "box", "place"),
    [
        ("1", LOOSE, 1), ("1", TIGHT, 2), ("2", LOOSE, 3), ("2", TIGHT, 4), ("3", LOOSE, 5),
        ("3", TIGHT, None), ("4", LOOSE, None), ("5", TIGHT, None), ("6", LOOSE, None),
    ],
)  # fmt: skip
def test_an_image_is_right_at_the_place_of_its_first_right_guess(label, box, place):
    outcome = judge(label, box)
    assert outcome.box_rank == place
    # Classes keep their ranks, whatever their boxes are entered as.
    assert outcome.class_rank == (int(label) if label != "6" else None)


def test_gt_known_has_the_loose_box_of_the_true_class():
    assert judge("4", LOOSE).known == (True,)
    assert judge("4", TIGHT).known == (False,)


def test_a_guess_without_a_box_stays_empty_and_nothing_moves_up():
    assert judge("2", LOOSE, of_1=1).box_rank == 3
    assert judge("2", LOOSE, of_1=0).box_rank == 3
    assert judge("1", LOOSE, of_1=0).box_rank is None


def test_a_protocol_of_the_true_classs_box_goes_by_classes():
    protocol = AdlFirstBox(frame={"resize": 100, "crop": 100})
    assert judge("4", LOOSE, protocol).box_rank == 4
    assert judge("1", TIGHT, protocol).box_rank is None


def test_boxes_that_say_nothing_are_guesses_by_class():
    plain = ClassPrediction("1", None, (ScoredBox(TIGHT, 1.0), ScoredBox(LOOSE, 0.5)), 2)
    annotation = Annotation("a", (100, 100), (AnnotatedObject("1", TIGHT),))
    outcome = fared(Ilsvrc(), annotation, Prediction("a", "a.jpg", (100, 100), (plain,)))
    assert outcome.box_rank == 2
