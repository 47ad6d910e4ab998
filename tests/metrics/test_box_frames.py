"""The conventions of TS-CAM and of ADL and followers, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtool.errors import EvaluationError, SettingsError
from camtool.metrics import AdlFirstBox, Bootstrap, Criterion, Ilsvrc, TsCam
from camtool.metrics.box_frames import BoxComparison, CropFrame, OriginalFrame, TrueBoxes
from camtool.metrics.protocol import Figuring
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoredBox,
)
from tests.builders import fared, judged

SIZE = (224, 224)


def place(frame, box, size):
    """The box in the frame; None where no pixel of it is left."""
    corners = frame.place(np.array([box.xyxy]), np.array(size, np.float64))[0].tolist()
    return Box(*corners) if corners[0] < corners[2] and corners[1] < corners[3] else None


TRUE = Box(20, 20, 60, 60)
HALF = Box(20, 20, 60, 40)  # intersection over union with TRUE: exactly one half
FAR = Box(150, 150, 200, 200)


def guess(name, rank, *boxes, **rest):
    return ClassPrediction(name, None, tuple(ScoredBox(b, 1.0) for b in boxes), rank, **rest)


def judge(protocol, true_boxes, *guesses, size=SIZE):
    truth = Annotation("a", size, tuple(AnnotatedObject("x", box) for box in true_boxes))
    return fared(protocol, truth, Prediction("a", "a.jpg", size, guesses))


def test_an_overlap_of_exactly_one_half():
    """In TS-CAM's program it is a hit when the class is known, and none for a guess."""
    half = guess("x", 1, HALF)
    ts_cam = judge(TsCam(), [TRUE], half)
    assert (ts_cam.class_rank, ts_cam.box_rank, ts_cam.known) == (1, None, (True,))
    ilsvrc = judge(Ilsvrc(), [TRUE], half)
    assert (ilsvrc.box_rank, ilsvrc.known) == (1, (True,))
    # In a crop of a 256×256 image nothing but the origin changes.
    adl = judge(AdlFirstBox(), [TRUE], half, size=(256, 256))
    assert (adl.box_rank, adl.known) == (1, (True,))


def test_the_figures_of_one_half_by_name():
    outcome = judge(TsCam(), [TRUE], guess("x", 1, HALF))
    table = judged(TsCam(), [outcome.pair])
    found = TsCam().reduce(table, Figuring(Bootstrap(), 2))
    assert found.metrics["top1_localization_error"].value == 100.0
    assert found.metrics["gt_known_error"].value == 0.0
    assert found.metrics["top1_classification_error"].value == 0.0


@pytest.mark.parametrize(
    ("true_boxes", "right"),
    [([FAR, TRUE], False), ([TRUE, FAR], True), ([FAR], False), ([TRUE], True)],
)
def test_only_the_first_true_box(true_boxes, right):
    outcome = judge(AdlFirstBox(), true_boxes, guess("x", 1, TRUE))
    assert (outcome.box_rank, outcome.known) == (1 if right else None, (right,))
    assert judge(TsCam(), true_boxes, guess("x", 1, TRUE)).known == (TRUE in true_boxes,)


def test_top_n_with_the_true_class_box():
    """The class in the top 5, and the box of the true class: its first, not any later one."""
    fourth = guess("y", 1, TRUE), guess("q", 2), guess("r", 3), guess("x", 4, TRUE)
    for protocol in (AdlFirstBox(), TsCam()):
        assert judge(protocol, [TRUE], *fourth).box_rank == 4
    again = guess("x", 1, FAR), guess("y", 2, TRUE), guess("x", 3, TRUE)
    assert judge(AdlFirstBox(), [TRUE], *again).box_rank is None
    assert judge(TsCam(), [TRUE], *again).box_rank == 3


def test_crop_frame_by_hand():
    frame = CropFrame(resize=256, crop=224)
    # 512×128: x is halved, y doubled, and both lose 16.
    inclusive = Box.from_inclusive(100, 20, 199, 49)
    # 100/512·256 - 16 = 34; 199/512·256 - 16 = 83.5; 20/128·256 - 16 = 24; 49·2 - 16 = 82.
    assert place(frame, inclusive, (512, 128)) == Box.from_inclusive(34, 24, 83, 82)
    # Cut off at both ends: 0/512 → -16 → 0; 511 → 239.5 → 223.
    assert place(frame, Box(0, 0, 512, 128), (512, 128)) == Box(0, 0, 224, 224)
    # The last pixel of a true box counts by its own corner, not by its far edge.
    assert place(frame, Box.from_inclusive(33, 33, 33, 33), (256, 256)) == Box(17, 17, 18, 18)


@pytest.mark.parametrize(
    "outside",
    [Box(0, 0, 15, 256), Box(0, 0, 256, 15), Box(240, 0, 256, 256), Box(0, 241, 256, 256)],
)
def test_a_box_outside_the_crop_overlaps_nothing(outside):
    size = (256, 256)
    assert place(CropFrame(), outside, size) is None
    assert AdlFirstBox().comparison.overlap(outside, [TRUE], size) == 0.0
    assert AdlFirstBox().comparison.overlap(TRUE, [outside], size) == 0.0
    assert AdlFirstBox().comparison.overlap(outside, [outside], size) == 0.0
    # The image still counts, as one that cannot be right; the whole-image frame has its box.
    assert judge(AdlFirstBox(), [outside], guess("x", 1, outside), size=size).known == (False,)
    assert TsCam().comparison.overlap(outside, [outside], size) == 1.0


def test_a_part_outside_is_cut_off():
    half_out = Box(0, 16, 32, 240)
    assert place(CropFrame(), half_out, (256, 256)) == Box(0, 0, 16, 224)
    assert AdlFirstBox().comparison.overlap(Box(16, 16, 32, 240), [half_out], (256, 256)) == 1.0


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    *[st.integers(0, 400)] * 2,
    *[st.integers(1, 400)] * 2,
)


@given(boxes, st.integers(800, 900), st.integers(800, 900), st.sampled_from([224, 256, 448]))
def test_a_prediction_equal_to_the_true_box_overlaps_it_wholly(box, width, height, resize):
    protocol = AdlFirstBox(frame=CropFrame(resize=resize, crop=224))
    placed = place(protocol.frame, box, (width, height))
    assert protocol.comparison.overlap(box, [box], (width, height)) == (placed is not None)
    if placed is not None:
        assert min(placed.xyxy) >= 0
        assert max(placed.xyxy) <= 224


@given(boxes, boxes)
def test_the_frame_of_the_images_own_size_changes_nothing(one, two):
    size = (1024, 1024)
    whole = TsCam(frame=CropFrame(resize=1024, crop=1024))
    expected = Ilsvrc().comparison.overlap(one, [two], size)
    assert whole.comparison.overlap(one, [two], size) == expected


def test_the_crop_is_a_setting():
    assert (TsCam().frame.resize, TsCam().frame.crop) == (224, 224)
    assert (AdlFirstBox().frame.resize, AdlFirstBox().frame.crop) == (256, 224)
    with pytest.raises(SettingsError, match=r"crop \(300\) is larger than resize \(256\)"):
        CropFrame(resize=256, crop=300)


@pytest.mark.parametrize("protocol", [TsCam(), AdlFirstBox()])
def test_without_the_size_of_the_image(protocol):
    with pytest.raises(EvaluationError) as caught:
        judge(protocol, [TRUE], guess("x", 1, TRUE), size=None)
    assert str(caught.value).startswith(
        "a: neither annotation nor prediction gives the image's size, which the frame of this "
        "protocol needs: image squashed to "
    )
    with pytest.raises(ValueError, match="needs the size of the image"):
        protocol.comparison.overlap(TRUE, [TRUE], None)
    assert judge(Ilsvrc(), [TRUE], guess("x", 1, TRUE), size=None).box_rank == 1


def test_each_states_its_convention():
    ts_cam = TsCam().aspects("paper")
    assert ts_cam["hit"] == (
        "class right and IoU > 0.5 with any true box of the class; GT-known: IoU >= 0.5"
    )
    assert ts_cam["frame"] == (
        "image squashed to 224×224; true and predicted boxes scaled, truncated to whole pixels and"
        " cut off to it; a box outside overlaps nothing"
    )
    adl = AdlFirstBox().aspects(None)
    assert adl["hit"].startswith("class right and IoU >= 0.5 with only the first true box")
    assert adl["true_boxes"] == TrueBoxes.FIRST.value
    assert adl["frame"].startswith("image squashed to 256×256, centred 224×224 cut out; ")
    assert adl["top_n"].endswith("and the true class's box is right")
    assert OriginalFrame().describe() == Ilsvrc().aspects(None)["frame"]


@pytest.mark.parametrize(("above", "holds"), [(False, True), (True, False)])
def test_criteria(above, holds):
    criterion = Criterion(0.5, above)
    assert criterion.holds(0.5) is holds
    assert criterion.holds(0.6)
    assert not criterion.holds(0.4)
    assert criterion.holds(np.array([0.4, 0.5, 0.6])).tolist() == [False, holds, True]


@given(st.lists(boxes, max_size=4), st.lists(boxes, max_size=3), st.sampled_from(list(TrueBoxes)))
def test_many_boxes_at_once_overlap_as_each_by_itself(found, true_boxes, which):
    size = (900, 800)
    corners = np.array([box.xyxy for box in found] + [(0.0,) * 4])
    for frame in (OriginalFrame(), CropFrame(), CropFrame(resize=224, crop=224)):
        comparison = BoxComparison(which, frame)
        one_by_one = [comparison.overlap(box, true_boxes, size) for box in found]
        # Zeros stand for no box, which overlaps nothing.
        assert comparison.overlaps(corners, true_boxes, size).tolist() == [*one_by_one, 0.0]
