"""The boxes of the released program: the authors' own sample, and the program in plain steps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from camtool.boxes import DtBoxes, TightLooseBoxes
from camtool.boxes.dt import Rectangle, rectangles, survivors
from camtool.structures import Box, ScoreMap


def parts(mask, around):
    """Connected components as lists of (y, x), by neighbours (dy, dx)."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        queue = [left.pop()]
        for y, x in queue:
            near = {(y + dy, x + dx) for dy, dx in around} & left
            left -= near
            queue += near
        found.append(queue)
    return found


CROSS = [(-1, 0), (1, 0), (0, -1), (0, 1)]
RING = [*CROSS, (-1, -1), (-1, 1), (1, -1), (1, 1)]


def extent(pixels, grown=0):
    ys, xs = zip(*pixels, strict=True)
    x, y = min(xs) - grown, min(ys) - grown
    return x, y, max(xs) + 1 + grown - x, max(ys) + 1 + grown - y


def core(mask):
    """What is deep inside a mask: every distance by comparison with every pixel outside."""
    if mask.all() or not mask.any():
        return mask
    outside = np.argwhere(~mask)
    squares = np.array(
        [[((outside - (y, x)) ** 2).sum(1).min() for x in range(mask.shape[1])]
         for y in range(mask.shape[0])]
    )  # fmt: skip
    # 255 · d / max(d) > 10, in whole numbers.
    return 65025 * squares > 100 * squares.max()


def contour_rectangles(mask):
    """Outer contours bound components; the contour of a hole runs on the pixels around it."""
    found = [extent(part) for part in parts(mask, RING)]
    for hole in parts(~mask, CROSS):
        x, y, w, h = extent(hole)
        if x > 0 and y > 0 and x + w < mask.shape[1] and y + h < mask.shape[0]:
            found.append(extent(hole, 1))
    return found


def plain(levels, thresholds):
    """The program's steps up to its sorting, one by one."""
    height, width = levels.shape
    found = []
    for place, threshold in enumerate(thresholds):
        for x, y, w, h in contour_rectangles(core(levels > threshold)):
            clamped = Rectangle(
                max(0, min(x, width - 5)),
                max(0, min(y, height - 5)),
                max(0, min(w, width - x - 5)),
                max(0, min(h, height - y - 5)),
            )
            found.append((-clamped.w * clamped.h, place, clamped.y, clamped.x, clamped))
    return [f[-1] for f in sorted(found)]


@st.composite
def eight_bit_maps(draw):
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    coarse = random.integers(0, 256, (draw(st.integers(1, 8)), draw(st.integers(1, 8))), np.uint8)
    kind = draw(st.sampled_from([cv2.INTER_NEAREST, cv2.INTER_LINEAR]))
    return cv2.resize(coarse, (width, height), interpolation=kind).reshape(height, width)


# Rectangles of one place and area, but not of one shape.
TWINS = np.array(
    [
        [111, 104, 170, 73, 160, 248, 161, 181],
        [91, 14, 212, 210, 61, 185, 60, 172],
        [145, 140, 160, 81, 203, 145, 112, 139],
    ],
    np.uint8,
)


@settings(max_examples=150, deadline=None)
@given(eight_bit_maps(), st.sampled_from([(20, 100, 110), (0,), (128, 20), (254,)]))
@example(TWINS, (20, 100, 110))
def test_rectangles_are_those_of_the_plain_steps(levels, thresholds):
    assert rectangles(levels, thresholds) == plain(levels, thresholds)


def golden(shared):
    levels = cv2.imread(str(shared / "golden" / "dt_box" / "heatmap_6.jpg"), cv2.IMREAD_GRAYSCALE)
    numbers = (shared / "golden" / "dt_box" / "expected.txt").read_text().split()
    return levels, np.array(numbers, int).reshape(-1, 4)


def test_the_authors_sample_gives_their_two_quads(shared):
    levels, expected = golden(shared)
    assert [tuple(q) for q in expected] == [(41, 145, 362, 202), (102, 188, 242, 126)]
    assert survivors(rectangles(levels, (20, 100, 110)))[:2] == [tuple(q) for q in expected]


@pytest.mark.parametrize("rule", [DtBoxes(), DtBoxes(scale="max"), TightLooseBoxes()])
def test_the_authors_sample_as_a_map_gives_their_two_boxes(shared, rule):
    levels, expected = golden(shared)
    height, width = levels.shape
    score_map = ScoreMap(levels.astype(np.float32), (0, 0, width, height), (width, height))
    found = rule.boxes(score_map)
    assert [b.box for b in found] == [Box.from_xywh(*map(int, q)) for q in expected]
    assert [b.score for b in found] == [q[2] * q[3] / levels.size for q in expected]


def test_the_element_behind_a_deleted_one_is_skipped():
    """Four nested rectangles: the first deletes the second and the fourth, the third stays."""
    a, b, c, d = (Rectangle(0, 0, 100, n) for n in (100, 99, 98, 97))
    assert survivors([a, b, c, d]) == [a, c]
    # The first leaves the third and the fifth; of these the third deletes the fifth.
    e, f = Rectangle(0, 0, 100, 96), Rectangle(0, 0, 100, 95)
    assert survivors([a, b, c, d, e, f]) == [a, c]


@pytest.mark.parametrize(("shared_width", "stays"), [(4, True), (5, True), (6, False)])
def test_half_of_the_larger_area_is_still_allowed(shared_width, stays):
    a, b = Rectangle(0, 0, 11, 1), Rectangle(11 - shared_width, 0, 10, 1)
    assert survivors([a, b]) == ([a, b] if stays else [a])


def test_boxes_keep_off_the_right_and_the_lower_border():
    levels = np.zeros((60, 80), np.uint8)
    levels[20:, 30:] = 255
    (first, *_) = rectangles(levels, (100,))
    # The core begins 2 to 3 pixels inside the mask: 10/255 of the deepest, 40 pixels, is 1.6.
    assert first == (31, 21, 80 - 31 - 5, 60 - 21 - 5)


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (4, 90), (90, 5)])
def test_a_picture_within_the_border_has_no_box(size):
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert DtBoxes().boxes(ScoreMap(values, (0, 0, *size), size)) == ()


def test_of_the_scale_max_only_what_is_positive_counts():
    values = np.full((20, 20), -5, np.float32)
    values[5:12, 5:12] = 1
    score_map = ScoreMap(values, (0, 0, 20, 20), (20, 20))
    assert DtBoxes(scale="max").boxes(score_map)[0].box == Box(5, 5, 12, 12)
    assert (
        DtBoxes(scale="max").boxes(ScoreMap(-np.abs(values), score_map.region, score_map.size))
        == ()
    )


def test_a_large_picture_is_worked_on_at_a_smaller_size():
    random = np.random.default_rng(0)
    values = random.random((7, 7), np.float32)
    small, large = (ScoreMap(values, (0, 0, n, n // 2), (n, n // 2)) for n in (400, 4000))
    expected = DtBoxes().boxes(small)
    found = DtBoxes(max_side=400).boxes(large)
    assert [b.box.xyxy for b in found] == [tuple(10 * v for v in b.box.xyxy) for b in expected]
    assert [b.score for b in found] == [b.score for b in expected]
