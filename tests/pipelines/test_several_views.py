"""Scores and boxes of several views of one picture, made one answer."""

import numpy as np
import torch

from camtool.cam import Cam, SelfTaught
from camtool.images.views import View
from camtool.pipelines.merging import merge_boxes, merge_logits
from camtool.structures import Box, ScoredBox


def test_the_probability_is_the_mean_of_the_views():
    logits = [torch.randn(3, 7, generator=torch.Generator().manual_seed(k)) for k in range(4)]
    mean = torch.stack([each.double().softmax(1) for each in logits]).mean(0)
    torch.testing.assert_close(merge_logits(logits).softmax(1).double(), mean, rtol=1e-5, atol=1e-7)
    assert merge_logits(logits[:1]) is logits[0]


def test_the_mean_of_probabilities_that_do_not_sum_to_1():
    logits = [torch.tensor([[3.0, -2.0, 60.0, -90.0]]), torch.tensor([[1.0, 4.0, 80.0, -80.0]])]
    mean = torch.stack([each.double().sigmoid() for each in logits]).mean(0)
    merged = merge_logits(logits, "sigmoid")
    torch.testing.assert_close(merged.double().sigmoid(), mean, rtol=1e-5, atol=0)
    assert merged.isfinite().all()


def test_a_class_that_no_view_holds_possible_has_the_probability_0():
    logits = [torch.tensor([[200.0, 0.0, -200.0]])] * 2
    merged = merge_logits(logits)
    assert merged.softmax(1).tolist() == [[1.0, 0.0, 0.0]]
    assert torch.isnan(merge_logits([torch.tensor([[float("nan"), 1.0]])] * 2)).all()


def test_boxes_are_put_back_in_place_strongest_first():
    """A crop of 20×10 input pixels shows 40×40 picture pixels from (100, 50) on."""
    view = View(np.zeros((3, 10, 20), np.float32), (100.0, 50.0, 140.0, 90.0))
    box = Box(0, 0, 5, 10)
    plain = [(ScoredBox(box, 0.4),), ()]
    mirrored = [(ScoredBox(box, 0.7), ScoredBox(box, 0.1)), (ScoredBox(box, 0.2),)]
    left, right = Box(100, 50, 110, 90), Box(130, 50, 140, 90)
    assert merge_boxes([plain, mirrored], (view, view.mirror()), Cam().strongest) == [
        (ScoredBox(right, 0.7), ScoredBox(left, 0.4), ScoredBox(right, 0.1)),
        (ScoredBox(right, 0.2),),
    ]
    assert merge_boxes([plain], (view,), Cam().strongest) == [(ScoredBox(left, 0.4),), ()]


def test_a_method_without_boxes_of_its_own():
    view = View(np.zeros((3, 10, 20), np.float32), (0.0, 0.0, 40.0, 40.0))
    assert merge_boxes([None, None], (view, view), Cam().strongest) is None


def test_boxes_of_several_views_are_chosen_among_as_those_of_one():
    view = View(np.zeros((3, 10, 20), np.float32), (0.0, 0.0, 40.0, 20.0))
    same, near, other = Box(0, 0, 8, 8), Box(0, 0, 9, 8), Box(12, 0, 18, 8)
    first = [(ScoredBox(same, 0.4), ScoredBox(other, 0.3))]
    second = [(ScoredBox(near, 0.5), ScoredBox(other, 0.2))]
    for count, expected in ((1, [0.5]), (5, [0.5, 0.3])):
        (found,) = merge_boxes([first, second], (view, view), SelfTaught(boxes=count).strongest)
        assert [b.score for b in found] == expected
