from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camtool.boxes import PaperBoxes
from camtool.boxes.thresholds import ByClass, Otsu, Percentile, otsu_bin, percentile_bin
from camtool.errors import RunError, SettingsError
from camtool.runs.threshold import ChosenOn, StoredThreshold, write_threshold
from camtool.structures import ScoreMap

EIGHT_BIT = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def over(values, size) -> ScoreMap:
    return ScoreMap(np.asarray(values, np.float32), (0, 0, *map(float, size)), size)


def levels(score_map: ScoreMap) -> np.ndarray:
    """The map at image size in 256 levels of its maximum, uint8."""
    pixels = score_map.at_image_size()
    edges = np.arange(1, 256) / 256 * pixels.max()
    return np.searchsorted(edges, pixels).astype(np.uint8)


@settings(max_examples=300, deadline=None)
@given(EIGHT_BIT)
def test_otsu_gives_the_mask_of_opencv(values):
    level = otsu_bin(np.bincount(values.ravel(), minlength=256))
    _, mask = cv2.threshold(values, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if not np.array_equal(values > level, mask):
        # Only where two levels are equally good, up to the rounding of sums.
        opencv, _ = cv2.threshold(values, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
        ours, theirs = between(values, level), between(values, int(opencv))
        assert ours == pytest.approx(theirs, rel=1e-9)


def between(values: np.ndarray, level: int) -> float:
    """The variance between the values up to a level and those above."""
    low, high = values[values <= level], values[values > level]
    return len(low) * len(high) * (high.mean() - low.mean()) ** 2 if len(low) and len(high) else 0


@settings(max_examples=100, deadline=None)
@given(EIGHT_BIT)
def test_otsu_is_the_best_of_all_levels(values):
    level = otsu_bin(np.bincount(values.ravel(), minlength=256))
    best = max(between(values, k) for k in range(256))
    assert between(values, level) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("cells", [2, 7, 14])
def test_boxes_by_otsu_are_those_of_opencvs_mask(cells):
    random = np.random.default_rng(cells)
    score_map = over(random.random((cells, cells)), (120, 90))
    _, mask = cv2.threshold(levels(score_map), 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    x, y, w, h, _ = stats[1 + stats[1:, cv2.CC_STAT_AREA].argmax()]
    (found,) = PaperBoxes(threshold="otsu").boxes(score_map)
    assert found.box.xyxy == (x, y, x + w, y + h)


@settings(max_examples=200, deadline=None)
@given(EIGHT_BIT, st.floats(0.1, 99.9))
def test_a_percentile_leaves_enough_pixels_below(values, q):
    level = percentile_bin(np.bincount(values.ravel(), minlength=256), q)
    expected = np.percentile(values, q, method="inverted_cdf")
    assert level == min(expected, 254)


def test_a_percentile_keeps_the_share_of_pixels_that_it_says():
    ramp = over(np.linspace(0, 1, 200)[None], (200, 10))
    rule = PaperBoxes(threshold={"name": "percentile", "q": 75})
    (found,) = rule.boxes(ramp)
    assert found.box.xyxy == (150, 0, 200, 10)


@pytest.mark.parametrize("rule", ["otsu", "percentile"])
def test_a_flat_positive_map_gives_the_whole_image(rule):
    (found,) = PaperBoxes(threshold=rule).boxes(over(np.full((3, 3), 2.0), (30, 20)))
    assert found.box.xyxy == (0, 0, 30, 20)


@pytest.mark.parametrize("rule", ["otsu", "percentile"])
@pytest.mark.parametrize("values", [np.zeros((2, 2)), -np.ones((2, 2)), np.full((2, 2), np.nan)])
def test_a_map_without_a_positive_maximum_has_no_box(rule, values):
    assert PaperBoxes(threshold=rule).boxes(over(values, (30, 20))) == ()


def test_thresholds_of_classes():
    ramp = over(np.linspace(0, 1, 100)[None], (100, 10))
    rule = PaperBoxes(threshold=ByClass(otherwise=0.2, classes={"n1": 0.5}))
    assert [rule.boxes(ramp, label)[0].box.x0 for label in ("n1", "n2", None)] == [50, 20, 20]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (1.0, "less than 1"),
        ("otzu", "otzu"),
        ({"name": "percentile", "q": 100}, "less than 100"),
        ({"name": "by-class", "otherwise": 0.2, "classes": {"a": 1.2}}, "less than 1"),
    ],
)
def test_what_is_no_threshold(given, message):
    with pytest.raises(SettingsError, match=message):
        PaperBoxes(threshold=given)


def test_a_bare_name_is_the_rule_with_its_defaults():
    assert PaperBoxes(threshold="otsu").threshold == Otsu()
    assert PaperBoxes(threshold="percentile").threshold == Percentile(q=80.0)


def stored(**options) -> StoredThreshold:
    chosen_on = ChosenOn("val", "run", "ilsvrc", "gt_known_error", 60.0, 0.5, ("a", "b"))
    return StoredThreshold(**({"value": 0.3, "chosen_on": chosen_on, "boxes": {}} | options))


def test_a_stored_threshold_becomes_the_number(tmp_path):
    path = write_threshold(tmp_path, stored())
    for place in (tmp_path, path, str(path)):
        assert PaperBoxes(threshold={"name": "stored", "file": place}).threshold == 0.3


def test_stored_thresholds_of_classes_become_these(tmp_path):
    write_threshold(tmp_path, stored(classes={"n1": 0.4}))
    rule = PaperBoxes(threshold={"name": "stored", "file": tmp_path})
    assert rule.threshold == ByClass(otherwise=0.3, classes={"n1": 0.4})
    # What is written down needs the file no more.
    assert PaperBoxes.model_validate(rule.model_dump(mode="json")) == rule


def test_a_threshold_of_another_scale_is_none_of_these_boxes(tmp_path):
    write_threshold(tmp_path, stored(boxes={"name": "paper", "scale": "min-max"}))
    with pytest.raises(SettingsError, match=r"chosen with scale min-max.*have scale max"):
        PaperBoxes(threshold={"name": "stored", "file": tmp_path})
    rule = PaperBoxes(scale="min-max", threshold={"name": "stored", "file": tmp_path})
    assert rule.threshold == 0.3


def test_a_threshold_of_another_interpolation_is_none_of_these_boxes(tmp_path):
    write_threshold(tmp_path, stored(boxes={"name": "paper", "interpolation": "bicubic"}))
    with pytest.raises(SettingsError, match=r"interpolation bicubic, and these boxes have bilin"):
        PaperBoxes(threshold={"name": "stored", "file": tmp_path})
    rule = PaperBoxes(interpolation="bicubic", threshold={"name": "stored", "file": tmp_path})
    assert rule.threshold == 0.3


def test_nothing_is_stored(tmp_path):
    with pytest.raises(SettingsError, match=r"no threshold is stored there.*--calibrate-on"):
        PaperBoxes(threshold={"name": "stored", "file": tmp_path})


def test_a_threshold_of_a_map_protocol_is_none_of_boxes(tmp_path):
    write_threshold(tmp_path, stored(boxes=None))
    with pytest.raises(SettingsError, match="no box rule of localize"):
        PaperBoxes(threshold={"name": "stored", "file": tmp_path})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 1, "value": 3}'])
def test_a_damaged_threshold(tmp_path, text):
    (tmp_path / "threshold.json").write_text(text)
    with pytest.raises(RunError, match=r"threshold.json: not a readable threshold"):
        PaperBoxes(threshold={"name": "stored", "file": tmp_path})
