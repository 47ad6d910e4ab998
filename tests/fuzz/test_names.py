"""Names of 5,000 characters, and names with control characters, have one answer in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camtool.annotations import read_annotations
from camtool.errors import AnnotationError, ImageReadError
from camtool.images import find_images
from camtool.paths import is_file, is_folder, is_there
from tests.builders import voc_xml
from tests.fuzz.guard import fault_of
from tests.fuzz.mutations import LONG_NAME

CONTROLS = "a\x7f\x9bb"  # those that XML can hold, too


def coco(*rows: tuple[str, str]) -> str:
    document = {
        "images": [{"id": i, "file_name": image} for i, (image, _) in enumerate(rows)],
        "annotations": [
            {"image_id": i, "category_id": i, "bbox": [1, 2, 3, 4]} for i in range(len(rows))
        ],
        "categories": [{"id": i, "name": label} for i, (_, label) in enumerate(rows)],
    }
    return json.dumps(document)


def cvat(*rows: tuple[str, str]) -> str:
    images = (
        f'<image id="0" name="{image}" width="90" height="60"><box label="{label}" xtl="1" ytl="2"'
        ' xbr="3" ybr="4"/></image>'
        for image, label in rows
    )
    return f"<annotations>{''.join(images)}</annotations>"


def voc(*rows: tuple[str, str]) -> str:
    every = (voc_xml((1, 2, 3, 4), name=label, filename=image) for image, label in rows)
    return f"<annotations>{''.join(every)}</annotations>"


FORMATS = {
    "a.json": coco,
    "cvat.xml": cvat,
    "voc.xml": voc,
    "a.csv": lambda *rows: "image,x0,y0,x1,y1,label\n"
    + "".join(f"{image},1,2,3,4,{label}\n" for image, label in rows),
    "kaggle.csv": lambda *rows: "ImageId,PredictionString\n"
    + "".join(f"{image},{label} 1 2 3 4\n" for image, label in rows),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_of_5000_characters_leaves_its_image_out(name, tmp_path):
    path = tmp_path / name
    path.write_text(FORMATS[name]((LONG_NAME, "cat"), ("b", LONG_NAME), ("c", "cat")), "utf-8")
    found = read_annotations(path)
    assert list(found.annotations) == ["c"]
    assert [problem.reason for problem in found.problems] == [
        "an image name of 5,000 characters",
        "the name of a class of 5,000 characters",
    ]


@pytest.mark.parametrize("name", FORMATS)
def test_control_characters_are_kept_in_names_and_written_out_in_messages(name, tmp_path):
    path = tmp_path / name
    path.write_text(FORMATS[name]((CONTROLS, CONTROLS), (CONTROLS, "cat")), "utf-8")
    assert fault_of(lambda: read_annotations(path)) is None
    found = read_annotations(path)
    assert list(found.annotations) == [CONTROLS]
    assert found.annotations[CONTROLS].objects[0].label == CONTROLS


def test_images_of_such_names_are_refused_one_by_one(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(f"{LONG_NAME}.jpg\na\x1bb.jpg\na\0b.jpg\n{LONG_NAME}\n{LONG_NAME}\\a.jpg\n")
    reasons = []
    for source in find_images([str(path)]).sources:
        with pytest.raises(ImageReadError) as caught:
            source.open()
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()
        reasons.append(caught.value.reason)
    long = "cannot be opened (File name too long)"
    assert reasons == [long, "no such file", "cannot be opened (embedded null byte)", long, long]


def test_a_message_of_a_file_is_of_bounded_length_and_moves_no_cursor():
    error = AnnotationError("\x1b[2J" * 1000, "\a\n" + LONG_NAME)
    assert len(str(error)) < 1000
    assert str(error).isprintable()
    assert error.reason.startswith("\\x07\\nnnn")


@pytest.mark.parametrize("path", [LONG_NAME, "a\0b", "\udcff"])
def test_nothing_is_at_a_path_that_the_system_refuses(path):
    assert not (is_there(path) or is_file(path) or is_folder(Path(path)))
