"""The example photos, their boxes and their classes belong together."""

from __future__ import annotations

import csv
from pathlib import Path
from xml.etree.ElementTree import Element

import cv2
import pytest
from defusedxml import ElementTree

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["bucket", "cat", "coffee", "jaguars", "macaw", "photographer", "red_panda"]


@pytest.fixture(scope="module")
def annotations() -> dict[str, Element]:
    root = ElementTree.parse(EXAMPLES / "val.xml").getroot()
    assert root.tag == "annotations"
    assert [a.findtext("filename") for a in root] == NAMES
    return dict(zip(NAMES, root, strict=True))


def test_every_photo_is_annotated_and_nothing_else():
    assert sorted(p.name for p in (EXAMPLES / "images").iterdir()) == [f"{n}.jpg" for n in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_size_is_that_of_the_photo_and_boxes_lie_inside(annotations, name):
    image = cv2.imread(str(EXAMPLES / "images" / f"{name}.jpg"))
    height, width = image.shape[:2]
    annotation = annotations[name]
    assert (annotation.findtext("size/width"), annotation.findtext("size/height")) == (
        str(width),
        str(height),
    )
    boxes = [{c.tag: int(c.text) for c in b} for b in annotation.iterfind("object/bndbox")]
    assert len(boxes) == (2 if name == "jaguars" else 1)
    for box in boxes:
        assert 0 <= box["xmin"] < box["xmax"] <= width - 1
        assert 0 <= box["ymin"] < box["ymax"] <= height - 1


def test_labels_are_the_classes_of_the_boxes(annotations):
    with (EXAMPLES / "labels.csv").open(encoding="utf-8", newline="") as file:
        labels = {row["file"]: row["class"] for row in csv.DictReader(file)}
    classes = {
        f"{n}.jpg": {o.findtext("name") for o in a.iterfind("object")}
        for n, a in annotations.items()
    }
    assert {file: {label} for file, label in labels.items()} == classes


@pytest.mark.parametrize("name", NAMES)
def test_photo_is_small_and_its_source_is_named(annotations, name):
    assert (EXAMPLES / "images" / f"{name}.jpg").stat().st_size < 150_000
    rows = (EXAMPLES / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [r for r in rows if r.startswith(f"| `{name}.jpg` |")]
    assert annotations[name].findtext("object/name") in row
    assert row.rstrip(" |").endswith(("CC0", "CC0 1.0"))
