"""The kinds of errors: each rule at its border, and the order of the rules."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.errors import SettingsError
from camtool.geometry import Box, iou
from camtool.metrics.diagnosis import DiagnosisSettings, Kind, wrong_kind

SETTINGS = DiagnosisSettings()
OBJECT = Box(0, 0, 10, 10)
SECOND = Box(100, 0, 110, 10)


def kind(box, *true_boxes, others=(), settings=SETTINGS):
    return wrong_kind(box, true_boxes, (*true_boxes, *others), settings)


@pytest.mark.parametrize(
    ("box", "true_boxes", "expected"),
    [
        pytest.param(None, [OBJECT], Kind.OTHER, id="no box"),
        pytest.param(Box(0, 0, 4, 10), [OBJECT], Kind.PART, id="inside the object"),
        pytest.param(Box(0, 0, 1, 1), [OBJECT], Kind.PART, id="a speck inside: IoU .01"),
        pytest.param(Box(6, 0, 14, 10), [OBJECT], Kind.OTHER, id="IoP exactly .5"),
        pytest.param(Box(6, 0, 13, 10), [OBJECT], Kind.PART, id="IoP 4/7"),
        pytest.param(Box(0, 0, 10, 30), [OBJECT], Kind.TOO_LARGE, id="around the object"),
        pytest.param(Box(0, 3, 10, 40), [OBJECT], Kind.TOO_LARGE, id="IoG exactly .7"),
        pytest.param(Box(0, 4, 10, 40), [OBJECT], Kind.OTHER, id="IoG .6"),
        pytest.param(Box(0, 0, 100, 100), [OBJECT], Kind.TOO_LARGE, id="around it: IoU .01"),
        pytest.param(Box(8, 0, 18, 10), [OBJECT], Kind.OTHER, id="IoU 1/9"),
        pytest.param(Box(5, 0, 11, 10), [Box(0, 0, 5, 10)], Kind.BACKGROUND, id="beside it"),
        pytest.param(Box(9, 0, 19, 10), [OBJECT], Kind.BACKGROUND, id="IoU 1/19"),
        pytest.param(Box(8, 0, 10, 1000), [OBJECT], Kind.BACKGROUND, id="a thin line"),
        # Two instances of the class, 10×10 each, 90 pixels between them.
        pytest.param(Box(7, 0, 103, 10), [OBJECT, SECOND], Kind.BACKGROUND, id="IoG .3 of both"),
        pytest.param(
            Box(6, 0, 103, 10), [OBJECT, SECOND], Kind.BACKGROUND, id="IoG .4 of one, .3 of other"
        ),
        pytest.param(Box(6, 0, 104, 10), [OBJECT, SECOND], Kind.SEVERAL_INSTANCES, id="IoG .4"),
        pytest.param(Box(0, 0, 110, 10), [OBJECT, SECOND], Kind.SEVERAL_INSTANCES, id="both whole"),
        pytest.param(Box(0, 0, 20, 10), [OBJECT, SECOND], Kind.TOO_LARGE, id="one of the two"),
        pytest.param(
            Box(2, 0, 8, 10), [Box(0, 0, 5, 10), Box(5, 0, 10, 10)], Kind.SEVERAL_INSTANCES,
            id="several instances go before part",
        ),
        pytest.param(
            Box(0, 0, 20, 10), [Box(0, 0, 14, 5), OBJECT], Kind.SEVERAL_INSTANCES,
            id="several instances go before too large",
        ),
        pytest.param(
            Box(0, 0, 10, 12), [Box(0, 0, 7, 10)], Kind.PART, id="part goes before too large"
        ),
    ],
)  # fmt: skip
def test_each_rule_at_its_border(box, true_boxes, expected):
    assert kind(box, *true_boxes) is expected


def test_background_begins_just_below_a_tenth():
    # 20 of 200 pixels common.
    true, box = Box(0, 0, 11, 10), Box(9, 0, 20, 10)
    assert iou(true, box) == 0.1
    assert kind(box, true) is Kind.OTHER
    assert kind(Box(9, 0, 21, 10), true) is Kind.BACKGROUND


def test_an_object_of_another_class_is_no_background():
    box = Box(50, 0, 60, 10)
    assert kind(box, OBJECT) is Kind.BACKGROUND
    assert kind(box, OBJECT, others=[box]) is Kind.OTHER
    assert kind(box, others=[OBJECT]) is Kind.BACKGROUND


def test_part_and_too_large_look_at_the_best_box_only():
    # Two thirds of the box lie on the large object, IoU 16/108; it covers the small one, IoU 8/24.
    box, large, small = Box(8, 0, 11, 8), Box(0, 0, 10, 10), Box(10, 0, 11, 8)
    assert kind(box, large) is Kind.PART
    assert kind(box, small) is Kind.TOO_LARGE
    assert kind(box, large, small) is kind(box, small, large) is Kind.TOO_LARGE


def test_the_thresholds_are_settings():
    assert kind(Box(6, 0, 14, 10), OBJECT, settings=DiagnosisSettings(part_iop=0.4)) is Kind.PART
    looser = DiagnosisSettings(large_iog=0.4)
    assert kind(Box(0, 4, 10, 40), OBJECT, settings=looser) is Kind.TOO_LARGE
    fewer = DiagnosisSettings(several_iog=0.2)
    assert kind(Box(7, 0, 103, 10), OBJECT, SECOND, settings=fewer) is Kind.SEVERAL_INSTANCES
    wider = DiagnosisSettings(background_iou=0.2)
    assert kind(Box(8, 0, 18, 10), OBJECT, settings=wider) is Kind.BACKGROUND


@pytest.mark.parametrize("name", ["size_edges", "aspect_edges", "instance_edges"])
def test_edges_must_rise(name):
    with pytest.raises(SettingsError, match=f"{name} must rise: 0.5, 0.5"):
        DiagnosisSettings(**{name: (0.5, 0.5)})


def published(box, true_boxes):
    """The rules of the TS-CAM program on inclusive corners, written down a second time."""

    def ratio(true, whole):
        sides = [
            min(box[2], true[2]) - max(box[0], true[0]) + 1,
            min(box[3], true[3]) - max(box[1], true[1]) + 1,
        ]
        common = max(sides[0], 0) * max(sides[1], 0)
        areas = [(b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, true)]
        return common / {"p": areas[0], "g": areas[1], "u": sum(areas) - common}[whole]

    unions = [ratio(true, "u") for true in true_boxes]
    if max(unions) > 0.5:
        return "right"
    if sum(ratio(true, "g") > 0.3 for true in true_boxes) > 1:
        return "several_instances"
    best = true_boxes[int(np.argmax(unions))]
    if ratio(best, "p") > 0.5:
        return "part"
    return "too_large" if ratio(best, "g") >= 0.7 else "wrong"


def test_the_published_program_gives_the_same_kinds():
    random = np.random.default_rng(3)
    seen = set()
    for _ in range(4000):
        number = random.integers(1, 4)
        corners = random.integers(0, 12, (number + 1, 2, 2))
        low, high = corners.min(1), corners.max(1)
        box, *true_boxes = np.concatenate((low, high), 1).tolist()
        expected = published(box, true_boxes)
        if expected == "right":
            continue
        boxes = [Box.from_inclusive(*b) for b in (box, *true_boxes)]
        found = kind(boxes[0], *boxes[1:]).name.lower()
        seen.add(found)
        assert ("wrong" if found in ("background", "other") else found) == expected
    assert seen == {"several_instances", "part", "too_large", "background", "other"}
