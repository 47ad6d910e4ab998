"""The boxes of stored maps in every column, by any rule that has a threshold."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.boxes import MultiBoxes, PaperBoxes
from camtool.evaluation.score_maps import SweptMaps
from camtool.geometry import scale
from camtool.metrics import Ilsvrc, TsCam
from camtool.metrics.protocol import Material
from camtool.metrics.thresholds import Chosen, Sweep
from camtool.structures import (
    AnnotatedObject,
    Annotation,
    Box,
    ClassPrediction,
    Prediction,
    ScoreMap,
)
from tests.kernels.bodies import body_of

body = body_of("camtool.boxes.paper", "camtool.boxes.rule")
both_bodies = pytest.mark.usefixtures("body")

SIZE = (120, 90)
SWEEP = Sweep(percentile=60)
CHOSEN = Chosen("stored", 0.333, {"n1": 0.444})


def score_map(seed: int, size=SIZE) -> ScoreMap:
    values = np.random.default_rng(seed).normal(0.2, 1, (5, 6)).astype(np.float32)
    return ScoreMap(values, (0, 0, *map(float, size)), size)


class OneMap:
    """A run of one map."""

    def __init__(self, found):
        self.found = found

    def stored(self, prediction, label):
        del prediction, label
        return self.found


def swept(rule, found, chosen=None):
    return SweptMaps(rule, SWEEP, OneMap(found), chosen)


def first_box(rule, found):
    boxes = rule.boxes(found)
    return boxes[0].box.xyxy if boxes else (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scale_by", ["max", "min-max"])
@pytest.mark.parametrize("components", ["largest", "all"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@both_bodies
def test_boxes_are_those_of_the_rule_at_each_threshold(seed, scale_by, components, interpolation):
    settings = {"scale": scale_by, "components": components, "interpolation": interpolation}
    found, size = swept(PaperBoxes(**settings), score_map(seed), CHOSEN).boxes(None, "x", "n1")
    thresholds = SWEEP.columns(CHOSEN).thresholds.tolist()
    every = [*thresholds, 0.2, "otsu", {"name": "percentile", "q": 60}, 0.444]
    assert (len(found), size) == (len(every), SIZE)
    for corners, threshold in zip(found.tolist(), every, strict=True):
        one = PaperBoxes(threshold=threshold, **settings)
        assert tuple(corners) == first_box(one, score_map(seed))


@pytest.mark.parametrize("seed", range(3))
def test_another_rule_with_a_threshold_is_swept_alike(seed):
    found, _ = swept(MultiBoxes(), score_map(seed)).boxes(None, "x", "n1")
    for corners, threshold in zip(found.tolist(), SWEEP.thresholds().tolist(), strict=False):
        assert tuple(corners) == first_box(MultiBoxes(thresholds=(threshold,)), score_map(seed))


@both_bodies
def test_a_map_that_is_no_number_has_no_box():
    values = np.full((3, 3), np.nan, np.float32)
    found, _ = swept(PaperBoxes(), ScoreMap(values, (0, 0, 9, 9), (9, 9))).boxes(None, "x", "n1")
    assert not found.any()


def test_a_map_that_is_not_stored():
    assert swept(PaperBoxes(), None).boxes(None, "x", "n1") is None


@pytest.mark.parametrize("protocol", [Ilsvrc(), Ilsvrc(iou_threshold=0.4), TsCam()])
def test_hits_are_those_of_the_protocol_in_the_frame_of_the_annotation(protocol):
    size, truths = (240, 180), [Box(40, 20, 200, 150), Box(10, 10, 60, 170)]
    maps = swept(PaperBoxes(), score_map(1))
    layout = protocol.layout(SWEEP)
    truth = Annotation("a", size, tuple(AnnotatedObject("n1", box) for box in truths))
    guess = ClassPrediction("n1", None, (), 2)
    outcome = protocol.judge(
        truth, Prediction("a", "a", size, (guess,)), Material(layout, swept=maps)
    )
    (row,) = outcome.rows
    bits = np.frombuffer(row.hits, np.uint8).reshape(len(layout.criteria), -1)
    hits = np.unpackbits(bits, axis=1, count=len(layout.columns)).astype(bool)
    assert hits.any()
    assert not hits.all()
    # The last column is the box as stored: there is none.
    assert not hits[:, -1].any()
    boxes, source = maps.boxes(None, "n1", "n1")
    for column, corners in enumerate(boxes.tolist()):
        box = scale(Box(*corners), source, size) if any(corners) else None
        overlap = protocol.comparison.overlap(box, truths, size) if box else -1.0
        for k, criterion in enumerate(layout.criteria):
            assert hits[k, column] == criterion.holds(overlap)
