from __future__ import annotations

from collections import Counter

import pytest

from camtool.evaluation.truths import Frame, compare_frames, frame_warnings, to_frame
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox


@pytest.mark.parametrize(
    ("predicted", "annotated", "frame"),
    [
        ((500, 375), (500, 375), Frame.SAME),
        (None, (500, 375), Frame.UNKNOWN),
        ((500, 375), None, Frame.UNKNOWN),
        ((375, 500), (500, 375), Frame.SWAPPED),
        ((1000, 750), (500, 375), Frame.SCALED),
        ((1000, 765), (500, 375), Frame.SCALED),  # 2 %
        ((1000, 766), (500, 375), Frame.SQUEEZED),
        ((227, 227), (500, 375), Frame.SQUEEZED),
    ],
)
def test_compare(predicted, annotated, frame):
    assert compare_frames(predicted, annotated) is frame


def test_boxes_are_scaled_by_axis():
    boxes = (ScoredBox(Box(10, 20, 30, 40), 0.5), ScoredBox(Box(0, 0, 1, 1), 0.1))
    prediction = Prediction("a", "a", (100, 100), (ClassPrediction("x", None, boxes, 1),))
    moved = to_frame(prediction, (200, 50))
    assert moved.size == (200, 50)
    assert moved.classes[0].boxes[0] == ScoredBox(Box(20, 10, 60, 20), 0.5)
    assert to_frame(prediction, (100, 100)) is prediction
    assert to_frame(prediction, None) is prediction


def test_warnings_name_number_reason_and_example():
    frames = Counter({Frame.SAME: 7, Frame.SWAPPED: 2, Frame.SQUEEZED: 1})
    assert frame_warnings(frames, {Frame.SWAPPED: "a", Frame.SQUEEZED: "b"}) == [
        "2 of 10 images have another size in the predictions than in the annotations, and width "
        "and height are swapped: check the EXIF rotation of the photos (first: a); their predicted "
        "boxes were scaled to the annotated size",
        "1 of 10 images have another size in the predictions than in the annotations, and the "
        "aspect ratios differ by more than 2 %: squeezed images, or wrong sizes (first: b); their "
        "predicted boxes were scaled to the annotated size",
    ]
    assert frame_warnings(Counter({Frame.SAME: 7, Frame.UNKNOWN: 3}), {}) == []
