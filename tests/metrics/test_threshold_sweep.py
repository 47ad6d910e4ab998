from __future__ import annotations

import numpy as np
import pytest

from camtool.boxes import PaperBoxes
from camtool.geometry import scale
from camtool.metrics.crop_protocols import TsCam
from camtool.metrics.ilsvrc import Ilsvrc
from camtool.metrics.threshold_sweep import (
    IOUS,
    ROWS,
    RULES,
    Sweep,
    judge_shares,
    right_by,
    swept_class,
)
from camtool.structures import Box, ScoreMap
from tests.kernels.bodies import body_of

body = body_of("camtool.boxes.paper", "camtool.boxes.rule")
both_bodies = pytest.mark.usefixtures("body")

SIZE = (120, 90)
SWEEP = Sweep(percentile=60)
SHARES = SWEEP.shares()


def score_map(seed: int, size=SIZE) -> ScoreMap:
    values = np.random.default_rng(seed).normal(0.2, 1, (5, 6)).astype(np.float32)
    return ScoreMap(values, (0, 0, *map(float, size)), size)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale", ["max", "min-max"])
@pytest.mark.parametrize("components", ["largest", "all"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@both_bodies
def test_boxes_are_those_of_the_rule_at_each_threshold(seed, scale, components, interpolation):
    settings = {"scale": scale, "components": components, "interpolation": interpolation}
    rule = PaperBoxes(**settings)
    found = judge_shares(rule, SWEEP, score_map(seed), SHARES)
    thresholds = [*SHARES.tolist(), "otsu", {"name": "percentile", "q": 60}]
    assert len(found) == len(thresholds) == len(SHARES) + len(RULES)
    for corners, threshold in zip(found.tolist(), thresholds, strict=True):
        one = PaperBoxes(threshold=threshold, **settings)
        boxes = one.boxes(score_map(seed))
        assert tuple(corners) == (boxes[0].box.xyxy if boxes else (0, 0, 0, 0))


@both_bodies
def test_a_map_that_is_no_number_has_no_box():
    values = np.full((3, 3), np.nan, np.float32)
    found = judge_shares(PaperBoxes(), SWEEP, ScoreMap(values, (0, 0, 9, 9), (9, 9)), SHARES)
    assert not found.any()


@pytest.mark.parametrize("protocol", [Ilsvrc(), Ilsvrc(iou_threshold=0.4), TsCam()])
def test_hits_are_those_of_the_protocol_in_the_frame_of_the_annotation(protocol):
    truths = [Box(40, 20, 200, 150), Box(10, 10, 60, 170)]
    found = judge_shares(PaperBoxes(), SWEEP, score_map(1), SHARES)
    swept = swept_class("n1", 2, found, right_by(protocol, truths, SIZE, (240, 180)))
    width = -(-len(found) // 8)
    bits = np.frombuffer(swept.bits, np.uint8).reshape(ROWS, width)
    hits = np.unpackbits(bits, axis=1, count=len(found)).astype(bool)
    assert hits.any()
    assert not hits.all()
    for column, corners in enumerate(found.tolist()):
        box = scale(Box(*corners), SIZE, (240, 180)) if any(corners) else None
        overlap = protocol.overlap(box, truths, (240, 180)) if box else -1.0
        for k, (known, at) in enumerate((k, at) for k in (False, True) for at in (None, *IOUS)):
            assert hits[k, column] == protocol.is_right(overlap, at, known=known)


def test_a_box_of_exactly_the_overlap_is_a_hit_of_gt_known_only_where_the_protocol_says_so():
    found = np.array([[0.0, 0.0, 50.0, 100.0]])
    right = right_by(TsCam(), [Box(0, 0, 100, 100)], (256, 256), (256, 256))
    exact = right(Box(*found[0]))
    overlap = TsCam().overlap(Box(*found[0]), [Box(0, 0, 100, 100)], (256, 256))
    assert exact[0] == TsCam().is_right(overlap)
    assert exact[ROWS // 2] == TsCam().is_right(overlap, known=True)
