"""The boxes that a page finds in the browser are those of the box rules, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest

from camtool.boxes import MultiBoxes, PaperBoxes
from camtool.reports.page import report
from camtool.structures import ClassPrediction, Prediction
from tests.browser import complaints, opened, run_script
from tests.builders import random_map, score_map, write_run
from tests.reports.drawn_run import drawn_run, names
from tests.reports.in_browser import BOXES

RULES = {
    "largest": PaperBoxes(),
    "all": PaperBoxes(components="all", min_area=0.02, threshold=0.35),
    "min-max": PaperBoxes(scale="min-max", threshold=0.5),
    "bicubic": PaperBoxes(interpolation="bicubic"),
    "several": MultiBoxes(thresholds=(0.3,), nms=0.4, max_boxes=3),
}
THRESHOLDS = (0.0, 0.07, 0.2, 0.35, 0.5, 0.9)


@pytest.mark.parametrize("name", RULES)
def test_boxes_at_every_threshold_are_those_of_the_rule(name, browser, tmp_path):
    rule = RULES[name]
    made = drawn_run(tmp_path, names(16), rule)
    opened(browser, report(made.run, boxes=made.boxes, out=tmp_path / "page.html"))
    found = run_script(browser, BOXES, THRESHOLDS)
    number = 0
    for maps, of_image in zip(made.maps, found, strict=True):
        for one, of_class in zip(maps, of_image, strict=True):
            for threshold, boxes in zip(THRESHOLDS, of_class, strict=True):
                expected = [[*b.box.xyxy, b.score] for b in rule.at(threshold).boxes(one)]
                if name == "bicubic":  # made beforehand: the first box, without its score
                    boxes, expected = ([box[:4] for box in some[:1]] for some in (boxes, expected))
                assert boxes == expected
                number += len(boxes)
    assert number > 200
    assert complaints(browser) == []


@pytest.mark.parametrize("name", [name for name in RULES if name != "bicubic"])
def test_boxes_at_the_runs_own_threshold_are_those_of_the_run(name, browser, tmp_path):
    made = drawn_run(tmp_path, names(12), RULES[name])
    opened(browser, report(made.run, out=tmp_path / "page.html"))
    own = run_script(browser, "return camtoolReport.data.runs[0].own")
    assert own >= 0
    at = run_script(browser, "return camtoolReport.data.positions[given[0]]", own)
    for of_image in run_script(browser, BOXES, [None, at]):
        for stored, followed in of_image:
            assert [box[:4] for box in stored] == [box[:4] for box in followed]


def test_a_large_photo_and_a_map_with_no_positive_value(browser, tmp_path):
    maps = [
        random_map(1, (14, 14), (4000, 3000), mean=0.2),
        score_map(-np.ones((3, 3)), (4000, 3000)),
        score_map(np.full((3, 3), np.nan), (4000, 3000)),
        score_map(np.ones((1, 1)), (4000, 3000)),
    ]
    rule = PaperBoxes()
    classes = [ClassPrediction(f"c{k}", 0.1, rule.boxes(m), k + 1, k) for k, m in enumerate(maps)]
    one = Prediction("a", "absent.jpg", (4000, 3000), tuple(classes))
    experiment = {"localize": {"boxes": rule.model_dump(mode="json")}}
    run = write_run(
        tmp_path / "run", [(one, maps)], ["c0", "c1", "c2", "c3"], experiment=experiment
    )
    opened(browser, report(run, out=tmp_path / "page.html"))
    (found,) = run_script(browser, BOXES, [0.2, 0.5])
    for m, of_class in zip(maps, found, strict=True):
        for threshold, boxes in zip((0.2, 0.5), of_class, strict=True):
            expected = rule.at(threshold).boxes(m)
            assert [box[:4] for box in boxes] == [list(b.box.xyxy) for b in expected]
