"""The official program's figures, and the counted baselines of the whole validation set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camtool.evaluation.evaluate import evaluate_files
from camtool.evaluation.settings import EvalSettings

SHARED = Path(__file__).parents[2].parent / "shared"
GOLDEN = SHARED / "golden" / "ilsvrc-devkit"
BOXES = SHARED / "data" / "ILSVRC2012_bbox_val.tgz"

pytestmark = pytest.mark.skipif(
    not (GOLDEN.is_dir() and BOXES.is_file()),
    reason="the folder ../shared with the annotations of ILSVRC is absent",
)


@pytest.mark.parametrize("variant", ["no_blacklist", "blacklist"])
def test_figures_of_the_official_program(variant):
    blacklist = GOLDEN / "blacklist.txt" if variant == "blacklist" else None
    found = evaluate_files(
        EvalSettings(
            annotations=BOXES,
            predictions=GOLDEN / "guesses.txt",
            images="1-10000",
            blacklist=blacklist,
        )
    )
    expected = json.loads((GOLDEN / "expected.json").read_text())[variant]
    for kind in ("classification_error", "localization_error"):
        for top, value in expected[kind].items():
            assert found.metrics[f"{top}_{kind}"].value / 100 == pytest.approx(value, abs=1e-9)
    assert found.metrics["top5_classification_error"].n == 10_000
    assert found.metrics["top5_localization_error"].n == (10_000 if blacklist is None else 9_824)
    assert list(found.absent) == ["gt_known_error", "other_thresholds"]


@pytest.mark.parametrize(
    ("blacklist", "n", "right"),
    [
        (None, 50_000, [20_351, 23_718, 26_035, 24_762, 15_857]),
        (
            "ILSVRC2014_clsloc_validation_blacklist.txt",
            48_238,
            [20_005, 23_321, 25_599, 24_397, 15_604],
        ),
    ],
)
def test_baselines_of_all_validation_images(blacklist, n, right):
    path = None if blacklist is None else SHARED / "data" / blacklist
    found = evaluate_files(EvalSettings(annotations=BOXES, blacklist=path, baselines_only=True))
    assert [b.right for b in found.baselines.values()] == right
    assert {b.n for b in found.baselines.values()} == {n}
