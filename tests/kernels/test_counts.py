"""Both bodies of the counting kernels against each other, and against plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camtool.geometry import Box, iou
from camtool.kernels import grouped_histogram, levels_with_overlap

BODIES = pytest.mark.parametrize("body", ["compiled", "plain"])
IOUS = np.array([0.3, 0.5, 0.7])
EDGES = np.append(np.arange(0, 1, 0.001), (1.0, 2.0, 3.0))


def drawn_boxes(random, number: int) -> np.ndarray:
    """Inclusive corners, some boxes of one pixel."""
    corners = random.integers(0, 12, (number, 2, 2))
    return np.hstack((corners.min(1), corners.max(1)))


@BODIES
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**6), number=st.integers(0, 8), others=st.integers(0, 4))
def test_levels_are_those_of_a_loop_over_boxes(body, seed, number, others):
    random = np.random.default_rng(seed)
    boxes, truths = (drawn_boxes(random, n) for n in (number, others))
    levels = np.sort(random.integers(0, 256, (number, 2)), 1)
    expected = np.zeros((3, 256), bool)
    for box, (low, high) in zip(boxes.tolist(), levels.tolist(), strict=True):
        every = (iou(Box.from_inclusive(*box), Box.from_inclusive(*one)) for one in truths.tolist())
        best = max(every, default=0.0)
        for k, enough in enumerate(IOUS):
            expected[k, low : high + 1] |= best >= enough
    kernel = getattr(levels_with_overlap, body)
    found = kernel(boxes.astype(np.int32), levels.astype(np.int32), truths, IOUS)
    np.testing.assert_array_equal(found, expected)


@BODIES
def test_one_half_is_one_half(body):
    boxes, levels = np.array([[0, 0, 0, 1]], np.int32), np.array([[3, 4]], np.int32)
    kernel = getattr(levels_with_overlap, body)
    found = kernel(boxes, levels, np.array([[0, 0, 0, 0]]), np.array([0.5, 0.5 + 1e-12]))
    assert [np.flatnonzero(row).tolist() for row in found] == [[3, 4], []]


@BODIES
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_are_counted_as_by_numpy(body, kind):
    random = np.random.default_rng(0)
    # Edges themselves, their neighbours in floating point, and anything between.
    steps = (random.integers(0, 1001, 4000) / 1000).astype(kind)
    near = np.nextafter(steps, random.integers(0, 2, 4000).astype(kind)).clip(0, 1)
    values = np.concatenate((steps, near, random.random(4000).astype(kind))).reshape(60, 200)
    groups = random.choice(np.array([0, 1, 2, 255], np.uint8), values.shape)
    found = getattr(grouped_histogram, body)(values, groups, EDGES, 1000)
    for group in (0, 1):
        inside = values[groups == group].astype(np.float64)
        expected = [((inside >= a) & (inside < b)).sum() for a, b in pairwise(EDGES)]
        assert found[group].tolist() == expected
