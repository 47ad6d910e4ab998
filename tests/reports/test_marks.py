"""True boxes are shown in the frame that the predicted boxes are in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from camtool.reports.marks import Mark
from camtool.structures import Box
from tests.builders import annotation, guess, prediction


@pytest.mark.parametrize("exif", [5, 6, 7, 8])
@pytest.mark.parametrize("upright", [True, False])
def test_boxes_of_the_other_frame_are_turned_back(exif, upright):
    box = Box(10, 20, 40, 25)
    found = prediction("a", guess("cat", box), size=(90, 60))
    found = replace(found, exif=exif, upright=upright)
    # What `eval` does for the same pair: it brings the prediction to the annotation's frame.
    turned = found.in_other_frame()
    truth = annotation("a", ("cat", turned.classes[0].boxes[0].box), size=turned.size)
    assert Mark(truth, None).boxes_in(found) == [("cat", [box])]


def test_boxes_of_another_size_are_scaled():
    truth = annotation("a", ("cat", Box(10, 20, 40, 25)), ("dog", None), size=(100, 80))
    found = prediction("a", size=(50, 160))
    assert Mark(truth, None).boxes_in(found) == [("cat", [Box(5, 40, 20, 50)]), ("dog", [])]
    unknown = annotation("a", ("cat", Box(10, 20, 40, 25)), size=None)
    assert Mark(unknown, None).boxes_in(found) == [("cat", [Box(10, 20, 40, 25)])]
