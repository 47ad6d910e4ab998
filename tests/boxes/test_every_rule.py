"""What holds for every box rule, on maps of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from camtool.boxes import BoxRule, PaperBoxes, Rule, SweptRule
from camtool.boxes.thresholds import Otsu, Percentile
from camtool.errors import SettingsError
from camtool.settings import members
from camtool.structures import ScoreMap

BOX_RULES = members(BoxRule, Rule)
RULES = [rule() for rule in BOX_RULES]
RULES += [r(scale="min-max") for r in BOX_RULES if "scale" in r.model_fields]
RULES += [r(scale="max") for r in BOX_RULES if "scale" in r.model_fields]
RULES += [r(interpolation="bicubic") for r in BOX_RULES if "interpolation" in r.model_fields]
RULES = list(dict.fromkeys(RULES))
every_rule = pytest.mark.parametrize("rule", RULES, ids=str)


def picture(rule, size):
    pixels = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 3), np.uint8)
    return rule.picture(Image.fromarray(pixels))


def boxes(rule, values, size, region=None):
    values = np.asarray(values, np.float32)
    score_map = ScoreMap(values, region or (0.0, 0.0, *map(float, size)), size)
    return rule.boxes(score_map, "n01440764", picture(rule, size))


@every_rule
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_no_number_gives_no_box(rule, value):
    values = np.arange(20.0).reshape(4, 5)
    values[2, 1] = value
    assert boxes(rule, values, (50, 40)) == ()


@every_rule
@pytest.mark.parametrize("value", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5)])
def test_flat_maps(rule, value, shape):
    """A point has every map; a box only a positive one, where the maximum is the scale."""
    found = boxes(rule, np.full(shape, value), (30, 20))
    if rule.name == "point":
        assert found[0].box.xyxy == (0, 0, 1, 1)
    elif value <= 0 or rule.scale == "min-max":
        assert found == ()
    elif rule.name in ("dt", "tight-loose"):
        assert found[0].box.xyxy == (0, 0, 25, 15)
    else:
        assert found[0].box.xyxy == (0, 0, 30, 20)


@every_rule
@pytest.mark.parametrize("shape", [(7, 7), (3, 8), (9, 2)])
@pytest.mark.parametrize("size", [(90, 60), (33, 120), (1, 70), (1, 1), (64, 2)])
@pytest.mark.parametrize("crop", [False, True])
def test_boxes_lie_where_the_map_lies_strongest_first(rule, shape, size, crop):
    values = np.random.default_rng(shape[0]).normal(size=shape)
    region = (0.0, 0.0, *map(float, size))
    if crop:
        region = (0.2 * size[0], 0.1 * size[1], 0.9 * size[0], 0.8 * size[1])
    found = boxes(rule, values, size, region)
    scores = [b.score for b in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < s <= 1 for s in scores)
    for scored in found:
        box = scored.box
        # By pixel centres: a box reaches over the region by less than half a pixel.
        assert region[0] - 0.5 <= box.x0 < box.x1 <= region[2] + 0.5
        assert region[1] - 0.5 <= box.y0 < box.y1 <= region[3] + 0.5
        assert box.x1 <= size[0]
        assert box.y1 <= size[1]
    # In a picture of noise GrabCut may leave no foreground.
    if min(size) > 30 and rule.name != "grabcut":
        assert found


@every_rule
def test_a_map_between_pixel_centres_gives_no_box(rule):
    assert boxes(rule, np.ones((2, 2)), (10, 10), (3.6, 0.0, 4.4, 10.0)) == ()


@pytest.mark.parametrize("rule", [r for r in RULES if r.name not in ("grabcut", "point")], ids=str)
def test_factors_of_the_map_do_not_count(rule):
    values = np.random.default_rng(5).normal(size=(6, 7)).astype(np.float32)
    assert boxes(rule, 4 * values, (90, 60)) == boxes(rule, values, (90, 60))


@every_rule
def test_it_reads_back_from_its_settings(rule):
    adapter = TypeAdapter(BoxRule)
    assert adapter.validate_python(rule.model_dump(mode="json")) == rule
    assert adapter.validate_python({"name": rule.name}) == type(rule)()


@pytest.mark.parametrize("rule", BOX_RULES)
def test_rules_are_final_frozen_and_described(rule):
    assert getattr(rule, "__final__", False)
    assert rule.summary
    assert rule.paper
    assert rule.__doc__
    with pytest.raises(SettingsError, match="never change"):
        rule().name = "other"
    with pytest.raises(SettingsError, match="treshold"):
        rule(treshold=1)


SWEPT = [rule for rule in RULES if isinstance(rule, SweptRule)]


def test_rules_with_a_threshold_on_the_map_can_be_swept():
    assert {rule.name for rule in SWEPT} == {"paper", "multi"}


@pytest.mark.parametrize("rule", SWEPT, ids=str)
def test_a_swept_rule_says_what_its_threshold_holds_for(rule):
    one = rule.at(0.37)
    assert one.own_threshold == 0.37
    assert one.at(0.5) == rule.at(0.5)
    assert one.conditions() == rule.conditions() == rule.at(0.5).conditions()
    assert rule.threshold_setting in type(rule).model_fields
    assert rule.threshold_setting not in rule.conditions()
    assert type(rule).model_validate(rule.conditions()) == type(rule)(
        **rule.model_dump(exclude={rule.threshold_setting})
    )
    assert rule.of_range == (rule.scale == "min-max")


@pytest.mark.parametrize("rule", SWEPT, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_swept_rule_finds_the_first_box_of_each_threshold(rule, seed):
    values = np.random.default_rng(seed).normal(size=(6, 7)).astype(np.float32)
    score_map = ScoreMap(values, (0.0, 0.0, 90.0, 60.0), (90, 60))
    thresholds = np.arange(20) / 20
    for threshold, found in zip(thresholds, rule.boxes_at(score_map, thresholds), strict=True):
        first = rule.at(float(threshold)).boxes(score_map)
        assert tuple(found) == (first[0].box.xyxy if first else (0, 0, 0, 0))


@pytest.mark.parametrize("rule", SWEPT, ids=str)
@pytest.mark.parametrize("finds", [Otsu(), Percentile(q=60)], ids=str)
def test_the_histogram_of_a_swept_rule_gives_the_thresholds_of_rules(rule, finds):
    values = np.random.default_rng(4).normal(size=(6, 7)).astype(np.float32)
    score_map = ScoreMap(values, (0.0, 0.0, 90.0, 60.0), (90, 60))
    share = finds.share_of(rule.histogram(score_map))
    how = {"scale": rule.scale, "interpolation": rule.interpolation}
    by_rule, by_number = (PaperBoxes(threshold=one, **how) for one in (finds, share))
    assert by_rule.boxes(score_map) == by_number.boxes(score_map)
    assert by_rule.own_threshold == finds.name
