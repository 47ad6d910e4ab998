"""Every box rule and every choice of views through the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from camtool.boxes import BoxRule, Rule, SweptRule
from camtool.images import BaseViews, Views
from camtool.runs import MapFiles, read_predictions
from camtool.settings import members
from tests.builders import draw_pictures
from tests.commands import TINY as WITH_SCALE
from tests.commands import run_here

FEW = 4

# Not every rule has a scale.
TINY = [
    each
    for key, value in zip(WITH_SCALE[::2], WITH_SCALE[1::2], strict=True)
    if "scale" not in value
    for each in (key, value)
]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("few") / "pictures", FEW)


def localize(few, out, *more):
    ran = run_here("localize", few, "-o", out, *TINY, *more)
    assert ran.code == 0, ran.err
    return list(read_predictions(out))


def true_boxes(path):
    """A true box in each picture, of a class of the network."""
    path.write_text("".join(f"{n:05d}.png,5,5,40,30,n01440764\n" for n in range(FEW)))
    return path


@pytest.mark.parametrize("rule", members(BoxRule, Rule))
def test_a_box_rule_from_pictures_to_scores(few, tmp_path, rule):
    name = rule.model_fields["name"].default
    more = ["--set", f"localize.boxes.name={name}"]
    if "scale" in rule.model_fields:
        more += ["--set", "localize.boxes.scale=min-max"]
    boxes = true_boxes(tmp_path / "boxes.csv")
    predictions = localize(few, tmp_path / "run", *more, "--labels", boxes)
    found = [b for p in predictions for c in p.classes for b in c.boxes]
    assert found
    assert all(0 <= b.box.x0 < b.box.x1 <= 48 and 0 <= b.box.y0 < b.box.y1 <= 36 for b in found)
    assert {b.guess for b in found} >= ({0, 1, 3, 5} if name == "tight-loose" else {None})
    ran = run_here("eval", tmp_path / "run", "--boxes", boxes, "--format", "json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["counts"]["scored"] == FEW
    assert {"top1_localization_error", "top5_localization_error", "gt_known_error"} <= set(
        report["metrics"]
    )
    assert report["convention"]["threshold"].startswith(f"{name}")
    if not issubclass(rule, SweptRule):
        assert "only `paper` and `multi` have one" in ran.out
        ran = run_here("eval", tmp_path / "run", "--boxes", boxes, "--calibrate-on", boxes)
        assert ran.code == 5


@pytest.mark.parametrize("part", members(Views, BaseViews))
def test_views_from_pictures_to_maps(few, tmp_path, part):
    name = part.model_fields["name"].default
    predictions = localize(few, tmp_path / "run", "--set", f"localize.views.name={name}")
    maps = MapFiles(tmp_path / "run")
    # Pictures of 48×36: four parts of 36×36 make the map of 2×2 finer along the longer side.
    shape = {"one": (2, 2), "multi-scale": (3, 3), "ten-crop": (2, 2), "tiles": (2, 3)}[name]
    for prediction in predictions:
        score_map = maps.load(prediction, 0)
        assert score_map.values.shape == shape
        assert score_map.region == (0, 0, 48, 36)
        assert np.isfinite(score_map.values).all()
        scores = [c.score for c in prediction.classes]
        assert scores == sorted(scores, reverse=True)
    text = (tmp_path / "run" / "experiment.yaml").read_text()
    assert f"name: {name}" in text


def test_one_view_is_the_default_to_the_byte(few, tmp_path):
    localize(few, tmp_path / "a")
    localize(few, tmp_path / "b", "--set", "localize.views.name=one")
    once = "localize.views={name: multi-scale, scales: [1], flip: false}"
    localize(few, tmp_path / "c", "--set", once)
    for name in ("predictions.jsonl", "maps/00000.npz"):
        first = (tmp_path / "a" / name).read_bytes()
        assert (tmp_path / "b" / name).read_bytes() == first
        assert (tmp_path / "c" / name).read_bytes() == first


def test_methods_lists_every_rule_and_every_choice_of_views():
    ran = run_here("methods")
    assert ran.code == 0
    for part in (*members(BoxRule, Rule), *members(Views, BaseViews)):
        assert f"\n{part.model_fields['name'].default} " in ran.out
        assert part.summary in ran.out
