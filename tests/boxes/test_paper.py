from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camtool.boxes import BoxRule, PaperBoxes, Rule
from camtool.errors import SettingsError
from camtool.kernels import components_above
from camtool.settings import members
from camtool.structures import Box, ScoredBox, ScoreMap


def picture(*rows: str) -> ScoreMap:
    """A map of one cell a pixel; `#` is 1, a digit that many tenths, anything else 0."""
    values = [[1.0 if c == "#" else int(c) / 10 if c.isdigit() else 0.0 for c in r] for r in rows]
    return one_to_one(np.array(values, np.float32))


def one_to_one(values: np.ndarray) -> ScoreMap:
    height, width = values.shape
    return ScoreMap(np.asarray(values, np.float32), (0, 0, width, height), (width, height))


def flood(mask: np.ndarray) -> list[list[tuple[int, int]]]:
    """The 8-connected components as lists of (y, x), by first pixel in raster order."""
    seen, found = np.zeros_like(mask), []
    for y, x in zip(*np.nonzero(mask), strict=True):
        if seen[y, x]:
            continue
        seen[y, x] = True
        queue, members = deque([(int(y), int(x))]), []
        while queue:
            a, b = queue.popleft()
            members.append((a, b))
            for c in range(max(a - 1, 0), min(a + 2, mask.shape[0])):
                for d in range(max(b - 1, 0), min(b + 2, mask.shape[1])):
                    if mask[c, d] and not seen[c, d]:
                        seen[c, d] = True
                        queue.append((c, d))
        found.append(members)
    return found


def reference(rule: PaperBoxes, score_map: ScoreMap) -> tuple[ScoredBox, ...]:
    """The rule as its docstring states it, pixel by pixel."""
    if not np.isfinite(score_map.values).all():
        return ()
    pixels = score_map.at_image_size(outside=-np.inf)
    covered = pixels[np.isfinite(pixels)]
    if not covered.size:
        return ()
    base, high = (covered.min() if rule.scale == "min-max" else 0.0), covered.max()
    if high <= base:
        return ()
    parts = flood(pixels > base + rule.threshold * (high - base))
    if rule.components == "all":
        parts = [p for p in parts if len(p) >= rule.min_area * pixels.size]
    elif parts:
        parts = [max(parts, key=len)]
    scored = []
    for part in parts:
        ys, xs = [y for y, _ in part], [x for _, x in part]
        box = Box(min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        peak = max(pixels[y, x] for y, x in part)
        scored.append(ScoredBox(box, float((peak - base) / (high - base))))
    return tuple(sorted(scored, key=lambda s: -s.score))


MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    # Few values make ties and plateaus; the others anything finite.
    elements=st.one_of(
        st.sampled_from([-1.0, 0.0, 0.125, 0.25, 0.5, 1.0]),
        st.floats(-100, 100, width=32, allow_subnormal=False),
    ),
)


@st.composite
def score_maps(draw) -> ScoreMap:
    values = draw(MAPS)
    size = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    if draw(st.booleans()):
        return ScoreMap(values, (0, 0, *size), size)
    if draw(st.booleans()):
        return one_to_one(values)
    x, y = (draw(st.floats(-3, n - 0.5)) for n in size)
    w, h = (draw(st.floats(0.5, n + 3)) for n in size)
    return ScoreMap(values, (x, y, x + w, y + h), size)


@st.composite
def rules(draw) -> PaperBoxes:
    return PaperBoxes(
        threshold=draw(st.sampled_from([0.0, 0.125, 0.2, 0.25, 0.5, 0.99])),
        scale=draw(st.sampled_from(["max", "min-max"])),
        components=draw(st.sampled_from(["largest", "all"])),
        min_area=draw(st.sampled_from([0.0, 0.01, 0.1])),
    )


@settings(max_examples=400, deadline=None)
@given(rules(), score_maps())
def test_boxes_equal_those_of_a_flood_fill(rule, score_map):
    assert rule.boxes(score_map) == reference(rule, score_map)


@settings(max_examples=100, deadline=None)
@given(score_maps())
def test_components_equal_those_of_a_flood_fill(score_map):
    found = components_above(score_map.values, *score_map.axes, 0.25)
    pixels = score_map.at_image_size(outside=-np.inf)
    finite = pixels[np.isfinite(pixels)]
    if not finite.size or finite.max() <= 0:
        assert not len(found.areas)
        return
    parts = flood(pixels > 0.25 * finite.max())
    assert found.areas.tolist() == [len(p) for p in parts]
    assert found.peaks.tolist() == [max(pixels[y, x] for y, x in p) for p in parts]
    assert (found.low, found.high) == (finite.min(), finite.max())


@settings(max_examples=100, deadline=None)
@given(rules(), score_maps())
def test_boxes_lie_in_the_picture_and_in_the_region(rule, score_map):
    x0, y0, x1, y1 = score_map.region
    for scored in rule.boxes(score_map):
        box = scored.box
        assert 0 <= box.x0 < box.x1 <= score_map.size[0]
        assert 0 <= box.y0 < box.y1 <= score_map.size[1]
        # By pixel centres: a box reaches over the region by less than half a pixel.
        assert box.x0 + 0.5 >= x0
        assert box.y0 + 0.5 >= y0
        assert box.x1 - 0.5 < x1
        assert box.y1 - 0.5 < y1
        assert 0 < scored.score <= 1


def test_the_default_is_that_of_the_paper():
    assert PaperBoxes().model_dump() == {
        "name": "paper", "threshold": 0.2, "scale": "max", "interpolation": "bilinear",
        "components": "largest", "min_area": 0.01,
    }  # fmt: skip
    assert members(BoxRule, Rule)[0] is PaperBoxes


def test_largest_component_by_number_of_pixels():
    found = PaperBoxes().boxes(picture("##....", "##....", "....##", "...###", "......"))
    assert found == (ScoredBox(Box(3, 2, 6, 4), 1.0),)


def test_corners_connect():
    assert PaperBoxes().boxes(picture("#...", ".#..", "..#.", "....", "##.#")) == (
        ScoredBox(Box(0, 0, 3, 3), 1.0),
    )
    assert PaperBoxes().boxes(picture("..#", ".#.", "#..")) == (ScoredBox(Box(0, 0, 3, 3), 1.0),)


def test_of_equals_the_first_in_raster_order():
    assert PaperBoxes().boxes(picture("....#", "#...#", "#....", "#...#", ".....", "....#"))[
        0
    ].box == Box(0, 1, 1, 4)
    # The second begins further left, but one row later.
    assert PaperBoxes().boxes(picture("...#", "#...", "#..#", "....", "...."))[0].box == Box(
        0, 1, 1, 3
    )
    assert PaperBoxes().boxes(picture("...#", "#..#", "#..."))[0].box == Box(3, 0, 4, 2)


def test_a_pixel_at_the_threshold_is_not_above_it():
    rule = PaperBoxes(threshold=0.5)
    values = np.array([[0.5, 1.0, 0.500001]], np.float32)
    assert rule.boxes(one_to_one(values))[0].box == Box(1, 0, 3, 1)


def test_ring_and_bar():
    """64 pixels against 80: the bar wins here, although the ring encloses the larger polygon."""
    values = np.zeros((40, 40), np.float32)
    values[2:12, 2:12] = 1
    values[4:10, 4:10] = 0
    values[20:25, 20:36] = 1
    assert int(values.sum()) == 64 + 80
    assert PaperBoxes().boxes(one_to_one(values)) == (ScoredBox(Box(20, 20, 36, 25), 1.0),)
    both = PaperBoxes(components="all").boxes(one_to_one(values))
    assert [s.box for s in both] == [Box(2, 2, 12, 12), Box(20, 20, 36, 25)]


def test_all_components_strongest_first_without_small_ones():
    # Areas 4, 6 and 1 of 40 pixels.
    score_map = picture("55......", "55......", "....888.", "....888.", "#.......")
    every = PaperBoxes(components="all", min_area=0.0).boxes(score_map)
    assert [s.box for s in every] == [Box(0, 4, 1, 5), Box(4, 2, 7, 4), Box(0, 0, 2, 2)]
    assert [s.score for s in every] == pytest.approx([1.0, 0.8, 0.5])
    large = PaperBoxes(components="all", min_area=0.1).boxes(score_map)
    assert [s.box for s in large] == [Box(4, 2, 7, 4), Box(0, 0, 2, 2)]  # 4 of 40 is enough
    assert PaperBoxes(components="all", min_area=0.2).boxes(score_map) == ()


def test_min_max_counts_from_the_minimum():
    values = np.full((3, 5), 10.0, np.float32)
    values[1, 1:3] = 12
    values[0, 4] = 10.3
    assert PaperBoxes().boxes(one_to_one(values))[0].box == Box(0, 0, 5, 3)
    assert PaperBoxes(scale="min-max").boxes(one_to_one(values))[0].box == Box(1, 1, 3, 2)
    # A negative map has no positive part, but it has a range.
    assert PaperBoxes().boxes(one_to_one(values - 20)) == ()
    assert PaperBoxes(scale="min-max").boxes(one_to_one(values - 20))[0].box == Box(1, 1, 3, 2)


ALL = [
    PaperBoxes(scale=s, components=c, threshold=t)
    for s in ("max", "min-max")
    for c in ("largest", "all")
    for t in (0.0, 0.2)
]


@pytest.mark.parametrize("rule", ALL, ids=str)
@pytest.mark.parametrize(
    "value", [0.0, -1.0, -0.0, float("nan"), float("inf"), -float("inf"), -1e-38]
)
def test_flat_maps_without_a_positive_part_give_no_box(rule, value):
    score_map = ScoreMap(np.full((7, 5), value, np.float32), (0, 0, 50, 30), (50, 30))
    assert rule.boxes(score_map) == ()


@pytest.mark.parametrize("value", [1e-38, 0.1, 1.0, 3e38])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5)])
def test_a_flat_positive_map_gives_the_whole_picture(value, shape):
    score_map = ScoreMap(np.full(shape, value, np.float32), (0, 0, 50, 30), (50, 30))
    assert PaperBoxes().boxes(score_map) == (ScoredBox(Box(0, 0, 50, 30), 1.0),)
    assert PaperBoxes(scale="min-max").boxes(score_map) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("rule", ALL, ids=str)
def test_one_value_that_is_no_number_gives_no_box(rule, value):
    values = np.ones((4, 4), np.float32)
    values[2, 1] = value
    assert rule.boxes(one_to_one(values)) == ()


def test_the_largest_numbers_do_not_overflow():
    values = np.array([[-3e38, 3e38, 0]], np.float32)
    assert PaperBoxes(scale="min-max").boxes(one_to_one(values)) == (
        ScoredBox(Box(1, 0, 3, 1), 1.0),
    )


def test_a_centre_crop_covers_its_region_only():
    """The flat map of a crop of 100×50: its box is the crop, not the picture."""
    score_map = ScoreMap(np.ones((7, 7), np.float32), (25, 0, 75, 50), (100, 50))
    assert PaperBoxes().boxes(score_map) == (ScoredBox(Box(25, 0, 75, 50), 1.0),)


def test_a_region_between_pixel_centres_gives_no_box():
    score_map = ScoreMap(np.ones((2, 2), np.float32), (3.6, 0, 4.4, 10), (10, 10))
    assert all(rule.boxes(score_map) == () for rule in ALL)


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (3000, 2), (1, 1)])
def test_very_wide_and_very_tall_pictures(size):
    along = np.exp(-np.abs(np.arange(7) - 3), dtype=np.float32)
    score_map = ScoreMap(np.outer(along, along), (0, 0, *size), size)
    (found,) = PaperBoxes().boxes(score_map)
    assert (found,) == reference(PaperBoxes(), score_map)
    # A side of one or two pixels belongs to the box as a whole, the middle of a long one.
    for start, stop, side in zip(found.box.xyxy[:2], found.box.xyxy[2:], size, strict=True):
        expected = (0, side) if side < 3 else ((side - stop), side - start)
        assert (start, stop) == expected
        assert side < 3 or 0 < start < stop < side


def test_a_large_picture_is_not_made_to_find_its_box():
    """A gigapixel frame would take 8 GB as an array of numbers."""
    values = np.zeros((7, 7), np.float32)
    values[3, 3] = 1
    size = 40_000, 25_000
    (found,) = PaperBoxes(threshold=0.2).boxes(ScoreMap(values, (0, 0, *size), size))
    # Along the middle the hat falls to .2 at .8 cells from the centre: (3.5 ± .8) / 7.
    expected = (2.7 / 7 * size[0], 2.7 / 7 * size[1], 4.3 / 7 * size[0], 4.3 / 7 * size[1])
    assert found.box.xyxy == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.0}, {"threshold": -0.1}, {"threshold": float("nan")}, {"threshold": "0.2"},
        {"scale": "mean"}, {"components": "two"}, {"min_area": 1.5}, {"treshold": 0.2},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        PaperBoxes(**wrong)
