"""Every awkward annotation through `camtool eval`, alone and in a folder, ends as its index says.

What the readers make of each is tested with them; here counts what a user sees. The tables say
what each ends as; `docs/inputs.md` tells users the same.
"""

from __future__ import annotations

import csv
import json
import time
from pathlib import Path

import pytest

from tests.cli.running import run_here

INDEX = Path(__file__).parents[2].parent / "shared" / "data" / "bad-inputs" / "index.csv"


def cases() -> list[object]:
    if not INDEX.is_file():
        return [pytest.param("", marks=pytest.mark.skip("../shared with the bad inputs is absent"))]
    with INDEX.open(newline="", encoding="utf-8") as file:
        rows = [row["file"] for row in csv.DictReader(file) if row["kind"] == "annotations"]
    return [Path(row).stem for row in rows]


# Annotation → why it cannot be used. All others can.
UNUSABLE = {
    "no_object": "no <object> in it",
    "missing_bndbox": "object 1: no <bndbox>",
    "missing_ymax": "object 1: no <ymax> in <bndbox>",
    "missing_name": "object 1: no <name>",
    "empty_name": "object 1: empty <name>",
    "xmin_gt_xmax": "object 1: xmax (90) is less than xmin (219)",
    "ymin_gt_ymax": "object 1: ymax (60) is less than ymin (179)",
    "far_outside": "lies wholly outside the 320×240 image",
    "nan_inf": "object 1: xmin is not a number: nan",
    "words": "object 1: xmin is not a number: left",
    "empty_coordinate": "object 1: xmin is not a number: empty",
    "decimal_comma": "object 1: xmin is not a number: 90,5",
    "underscore": "object 1: xmin is not a number: 9_0",
    "fullwidth_digits": "object 1: xmin is not a number: ９０",
    "huge_int": "object 1: xmax is out of range",
    "huge_int_5000_digits": "object 1: xmax is out of range",
    "two_bndbox": "object 1: two <bndbox>",
    "polygon_only": "object 1: no <bndbox>",
    "doctype_entity": "entities are not allowed",
    "billion_laughs": "entities are not allowed",
    "quadratic_blowup": "entities are not allowed",
    "external_entity": "entities are not allowed",
    "undefined_entity": "not well formed, line 1: undefined entity",
    "latin1_as_utf8": "wrong encoding (byte 0xe0 is not UTF-8)",
    "gbk_undeclared": "wrong encoding (byte 0xca is not UTF-8)",
    "utf8_as_utf16": "wrong encoding",
    "unknown_encoding": "wrong encoding: unknown encoding: foo-8",
    "control_char": "not well formed, line 1",
    "nul_bytes": "not well formed, line 2",
    "namespace_prefix": "no <annotation> in it, its root is <v:annotation>",
    "upper_tags": "no <annotation> in it, its root is <Annotation>",
    "root_other": "no <annotation> in it, its root is <annotations>",
    "two_roots": "not well formed, line 2",
    "attr_coordinates": "object 1: no <xmin> in <bndbox>",
    "truncated": "not well formed, line 1",
    "empty": "empty",
    "blank": "empty",
    "html": "not well formed, line 1",
    "json": "not well formed, line 1",
    "binary_jpeg": "not well formed, line 1",
    "unescaped_amp": "not well formed, line 1",
}

# The predicted box is that of the reference; where another one is true, it misses.
MISSED = {
    "zero_width", "point", "whole_image", "whole_image_1based", "partly_outside", "negative",
    "many_1000", "many_50000", "size_other", "size_swapped", "unknown_wnid",
}  # fmt: skip

# Usable, but something is said of it.
WARNED = {
    "missing_bndbox_one_of_two": "object without <bndbox> left out",
    "unknown_wnid": "not one of the 1,000 ImageNet classes: n99999999",
    "partly_outside": "box clipped to the image: [250, 200, 401, 301) in 320×240",
    "negative": "box clipped to the image: [-10, -5, 51, 61) in 320×240",
    "size_negative": "<size> ignored: -320×240",
    "size_words": "<size> ignored: width is not a number: wide",
    "size_other": "another size in the predictions than in the annotations",
    "size_swapped": "width and height are swapped",
    "filename_other": "which counts: ILSVRC2012_val_00000001",
    "filename_traversal": "which counts: ../../../../etc/passwd",
    "filename_absolute": "which counts: /etc/passwd",
    "filename_percent_s": "which counts: %s",
}

# Neither limit has to do with a machine's speed: what it guards against takes minutes.
SECONDS = {"many_50000": 20.0}


def image_of(stem: str) -> str:
    """Below another root the annotation is one of a bundle, where <filename> names the image."""
    return "ok_rgb" if stem == "wrapped" else stem


def record(image_id: str) -> str:
    box = {"x0": 90, "y0": 60, "x1": 220, "y1": 180, "score": 1}
    found = {"index": 950, "name": "n07747607", "score": 0.9, "boxes": [box]}
    whole = {"image_id": image_id, "path": f"{image_id}.JPEG", "width": 320, "height": 240}
    return json.dumps({**whole, "classes": [found]}) + "\n"


@pytest.mark.parametrize("stem", cases())
def test_annotation_alone(stem, bad_inputs, tmp_path):
    xml = bad_inputs / "annotations" / f"{stem}.xml"
    predictions = tmp_path / "predictions.jsonl"
    predictions.write_text(record(image_of(stem)))
    start = time.monotonic()
    ran = run_here("eval", "--predictions", predictions, "--boxes", xml, "--format", "json")
    assert time.monotonic() - start < SECONDS.get(stem, 5.0)
    assert len(ran.err) < 1000
    if stem in UNUSABLE:
        assert (ran.code, ran.out) == (3, "")
        assert ran.err.startswith(f"camtool: {xml}: ")
        assert UNUSABLE[stem] in ran.err
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
    path = tmp_path / "predictions.jsonl"
    files = sorted((bad_inputs / "annotations").glob("*.xml"))
    path.write_text("".join(record(image_of(file.stem)) for file in files))
    return path


def test_folder_of_all(bad_inputs, all_predicted):
    """What cannot be used is counted and named, and costs nothing else."""
    folder = bad_inputs / "annotations"
    files = sorted(file.stem for file in folder.glob("*.xml"))
    arguments = ("eval", "--predictions", all_predicted, "--boxes", folder, "--format", "json")
    ran = run_here(*arguments)
    assert ran.code == 0
    report = json.loads(ran.out)
    usable = len(files) - len(UNUSABLE)
    assert report["counts"] == {
        "annotated": usable,
        "predicted": len(files),
        "scored": usable,
        "left_out": {
            "annotation could not be used": len(UNUSABLE),
            "prediction without annotation": len(UNUSABLE),
        },
    }
    errors = report["metrics"]["top1_localization_error"]
    assert errors["n"] == usable
    assert errors["value"] == pytest.approx(100 * len(MISSED) / usable, abs=1e-9)
    (said,) = [w for w in report["warnings"] if "annotations could not be used" in w]
    first = sorted(UNUSABLE)[0]
    assert said.startswith(f"{len(UNUSABLE)} annotations could not be used (first: {folder}/")
    assert f"{first}.xml: {UNUSABLE[first]}" in said


def test_folder_of_all_strict(bad_inputs, all_predicted):
    folder = bad_inputs / "annotations"
    ran = run_here("eval", "--predictions", all_predicted, "--boxes", folder, "--strict")
    assert ran.code == 3
    assert "top-1 localization" in ran.out
    last = ran.err.splitlines()[-1]
    assert last == f"camtool: {len(UNUSABLE)} annotations could not be used (--strict)"


def test_the_tables_agree_with_the_index():
    """`ok` is usable, `warn` is said, `skip` is unusable unless its text leaves another way."""
    if not INDEX.is_file():
        pytest.skip("../shared with the bad inputs is absent")
    with INDEX.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "annotations"]
    for row in rows:
        stem, word = Path(row["file"]).stem, row["expected"].split(":")[0]
        if word == "ok":
            assert stem not in UNUSABLE or " or skip" in row["expected"], stem
        if word == "warn":
            assert stem in WARNED, stem
        if word == "skip":
            usable = (" or " in row["expected"]) and stem in WARNED
            assert stem in UNUSABLE or usable, stem
