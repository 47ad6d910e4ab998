"""Every awkward annotation through `camtool eval`, alone and in a folder, ends as its index says.

What the readers make of each is tested with them; here counts what a user sees. The tables say
what each ends as; `docs/inputs.md` tells users the same.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from camtool.structures import Box, Prediction
from tests.annotations.test_bad_annotations import REASONS, WARNINGS
from tests.builders import awkward_files, awkward_index, guess, prediction, write_predictions
from tests.commands import run_here

# The predicted box is that of the reference; where another one is true, it misses.
MISSED = {
    "zero_width", "point", "whole_image", "whole_image_1based", "partly_outside", "negative",
    "many_1000", "many_50000", "size_other", "size_swapped", "unknown_wnid",
}  # fmt: skip

# Usable, but something is said of it.
WARNED = WARNINGS | {
    "size_other": "another size in the predictions than in the annotations",
    "size_swapped": "width and height are swapped",
    "filename_other": "which counts: ILSVRC2012_val_00000001",
}

# Neither limit has to do with a machine's speed: what it guards against takes minutes.
SECONDS = {"many_50000": 20.0}


def image_of(stem: str) -> str:
    """Below another root the annotation is one of a bundle, where <filename> names the image."""
    return "ok_rgb" if stem == "wrapped" else stem


def predicted(image_id: str) -> Prediction:
    """The box of the reference, whatever the annotation."""
    right = guess("n07747607", Box(90, 60, 220, 180), score=0.9, index=950)
    return prediction(image_id, right, size=(320, 240))


@pytest.mark.parametrize("name", awkward_files("annotations"))
def test_annotation_alone(name, bad_inputs, tmp_path):
    xml = bad_inputs / "annotations" / name
    stem = xml.stem
    predictions = write_predictions(tmp_path / "p.jsonl", [predicted(image_of(stem))])
    start = time.monotonic()
    ran = run_here("eval", "--predictions", predictions, "--boxes", xml, "--format", "json")
    assert time.monotonic() - start < SECONDS.get(stem, 5.0)
    assert len(ran.err) < 1000
    if stem in REASONS:
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith(f"camtool: {xml}: ")
        assert REASONS[stem] in ran.err
        assert ran.err.count("\n") == 1
        return
    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["counts"] == {"annotated": 1, "predicted": 1, "scored": 1, "left_out": {}}
    error = 100.0 if stem in MISSED else 0.0
    assert report["metrics"]["top1_localization_error"]["value"] == error
    wrong_class = 100.0 if stem == "unknown_wnid" else 0.0
    assert report["metrics"]["top1_classification_error"]["value"] == wrong_class
    said = [w for w in report["warnings"] if "<filename> differs" not in w or stem in WARNED]
    if stem in WARNED:
        assert [w for w in said if WARNED[stem] in w]
    else:
        assert said == []


@pytest.fixture
def all_predicted(bad_inputs, tmp_path) -> Path:
    """One prediction for every annotation of the folder."""
    files = sorted((bad_inputs / "annotations").glob("*.xml"))
    found = [predicted(image_of(file.stem)) for file in files]
    return write_predictions(tmp_path / "predictions.jsonl", found)


def test_folder_of_all(bad_inputs, all_predicted):
    """What cannot be used is counted and named, and costs nothing else."""
    folder = bad_inputs / "annotations"
    files = sorted(file.stem for file in folder.glob("*.xml"))
    arguments = ("eval", "--predictions", all_predicted, "--boxes", folder, "--format", "json")
    ran = run_here(*arguments)
    assert ran.code == 0
    report = json.loads(ran.out)
    usable = len(files) - len(REASONS)
    assert report["counts"] == {
        "annotated": usable,
        "predicted": len(files),
        "scored": usable,
        "left_out": {
            "annotation could not be used": len(REASONS),
            "prediction without annotation": len(REASONS),
        },
    }
    errors = report["metrics"]["top1_localization_error"]
    assert errors["n"] == usable
    assert errors["value"] == pytest.approx(100 * len(MISSED) / usable, abs=1e-9)
    (said,) = [w for w in report["warnings"] if "annotations could not be used" in w]
    first = sorted(REASONS)[0]
    assert said.startswith(f"{len(REASONS)} annotations could not be used (first: {folder}/")
    assert f"{first}.xml: {REASONS[first]}" in said


def test_folder_of_all_strict(bad_inputs, all_predicted):
    folder = bad_inputs / "annotations"
    ran = run_here("eval", "--predictions", all_predicted, "--boxes", folder, "--strict")
    assert ran.code == 3
    assert "top-1 localization" in ran.out
    last = ran.err.splitlines()[-1]
    assert last == f"camtool: {len(REASONS)} annotations could not be used (--strict)"


def test_the_tables_agree_with_the_index():
    """`ok` is usable, `warn` is said, `skip` is unusable unless its text leaves another way."""
    rows = awkward_index("annotations")
    if not rows:
        pytest.skip("../shared with the bad inputs is absent")
    for row in rows:
        stem, word = Path(row["file"]).stem, row["expected"].split(":")[0]
        if word == "ok":
            assert stem not in REASONS or " or skip" in row["expected"], stem
        if word == "warn":
            assert stem in WARNED, stem
        if word == "skip":
            usable = (" or " in row["expected"]) and stem in WARNED
            assert stem in REASONS or usable, stem
