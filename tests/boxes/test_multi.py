"""All components with suppression; the strongest point."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st

from camtool.boxes import MultiBoxes, PaperBoxes, PointBoxes
from camtool.boxes.paper import suppress
from camtool.structures import Box, ScoredBox, ScoreMap


def random_map(seed, shape=(7, 9), size=(90, 60)) -> ScoreMap:
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return ScoreMap(values, (0, 0, *size), size)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0]))
def test_suppression_is_that_of_torchvision(seed, number, iou):
    random = np.random.default_rng(seed)
    corners = random.integers(0, 20, (number, 2))
    boxes = np.concatenate([corners, corners + random.integers(1, 15, (number, 2))], 1)
    boxes = boxes.astype(np.float64)
    scores = torch.arange(number, 0, -1, dtype=torch.float64)
    expected = torchvision.ops.nms(torch.from_numpy(boxes), scores, iou).tolist()
    assert suppress(boxes, iou, 1000) == expected
    assert suppress(boxes, iou, 3) == expected[:3]


@pytest.mark.parametrize(("scale", "share"), [("max", 0.3), ("min-max", 0.6)])
@pytest.mark.parametrize("seed", range(8))
def test_at_one_threshold_without_suppression_it_is_the_papers_rule_for_all(seed, scale, share):
    score_map = random_map(seed)
    multi = MultiBoxes(thresholds=(share,), nms=1.0, scale=scale)
    paper = PaperBoxes(threshold=share, components="all", scale=scale)
    found = multi.boxes(score_map)
    assert len(found) > 1
    assert set(found) == set(paper.boxes(score_map))
    assert [b.score for b in found] == sorted((b.score for b in found), reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_several_thresholds_are_pooled_and_suppressed(seed):
    score_map = random_map(seed)
    thresholds = (0.2, 0.4, 0.6)
    pooled = [
        b for t in thresholds for b in PaperBoxes(threshold=t, components="all").boxes(score_map)
    ]
    found = MultiBoxes(thresholds=thresholds).boxes(score_map)
    assert set(found) <= set(pooled)
    # No order of equal scores is needed to check what suppression promises.
    boxes = torch.tensor([b.box.xyxy for b in found], dtype=torch.float64)
    overlaps = torchvision.ops.box_iou(boxes, boxes).fill_diagonal_(0)
    assert overlaps.max() <= 0.5
    for left_out in set(pooled) - set(found):
        box = torch.tensor([left_out.box.xyxy], dtype=torch.float64)
        stronger = [k for k, b in enumerate(found) if b.score >= left_out.score]
        assert torchvision.ops.box_iou(box, boxes[stronger]).max() > 0.5


def test_of_equal_scores_the_larger_component_goes_first():
    """A hat over a plateau, and a second bump: the plateau hides the hat it holds up."""
    values = np.zeros((10, 30), np.float32)
    values[2:8, 2:12] = 0.3
    values[2:8, 2:10] = 1
    values[4:6, 20:24] = 0.5
    score_map = ScoreMap(values, (0, 0, 30, 10), (30, 10))
    assert MultiBoxes(thresholds=(0.4, 0.2)).boxes(score_map) == (
        ScoredBox(Box(2, 2, 12, 8), 1.0),
        ScoredBox(Box(20, 4, 24, 6), 0.5),
    )
    assert MultiBoxes(thresholds=(0.4, 0.2), max_boxes=1).boxes(score_map) == (
        ScoredBox(Box(2, 2, 12, 8), 1.0),
    )
    assert len(MultiBoxes(thresholds=(0.4, 0.2), nms=0.9).boxes(score_map)) == 3


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 5))
def test_the_point_is_the_argmax_at_image_size(seed, height, width):
    random = np.random.default_rng(seed)
    values = random.integers(-3, 3, (height, width)).astype(np.float32)
    size = int(random.integers(1, 40)), int(random.integers(1, 40))
    score_map = ScoreMap(values, (0, 0, *size), size)
    place = score_map.at_image_size().argmax()
    y, x = divmod(int(place), size[0])
    assert PointBoxes().boxes(score_map) == (ScoredBox(Box(x, y, x + 1, y + 1), 1.0),)
