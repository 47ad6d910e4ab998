"""Names of 5,000 characters, and names with control characters, have one answer in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camtool.annotations import read_annotations, read_guesses, read_labels
from camtool.errors import AnnotationError, ImageReadError
from camtool.evaluation.masks import MaskFiles
from camtool.evaluation.matching import read_blacklist
from camtool.evaluation.score_maps import FileMaps, holds_maps
from camtool.images import find_images
from camtool.images.lists import read_list
from camtool.metrics.protocol import MaskNames
from camtool.models import ModelSettings
from camtool.paths import is_file, is_folder, is_there
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.trained import read_classes, with_model
from camtool.runs import read_manifest, read_predictions, read_threshold
from camtool.runs.checkpoint_store import checkpoint_folder, read_checkpoint
from camtool.settings import load_settings
from camtool.training.data import (
    CsvData,
    CubData,
    FolderData,
    ImageNetData,
    ShardData,
    TinyImageNetData,
)
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


ODD_PATHS = (LONG_NAME, "a\0b", "\udcff", "\x1b[31m", f"a/{LONG_NAME}/b", f"{LONG_NAME}.npz", "")


@pytest.mark.parametrize("path", ODD_PATHS[:-1])
def test_nothing_is_at_a_path_that_the_system_refuses(path):
    assert not (is_there(path) or is_file(path) or is_folder(Path(path)))


OPENED = {
    "annotations": read_annotations,
    "labels": read_labels,
    "guesses": lambda path: read_guesses(path, None),
    "black-list": lambda path: read_blacklist(path, ["a"]),
    "predictions": lambda path: list(read_predictions(path)),
    "manifest": read_manifest,
    "threshold": read_threshold,
    "maps": lambda path: FileMaps(path) if holds_maps(path) else FileMaps(path / "a.npz"),
    "masks": MaskFiles,
    "mask": lambda path: MaskFiles(Path()).read(MaskNames((str(path),), None), None),
    "images": lambda path: find_images([str(path)]),
    "list": read_list,
    "table": lambda path: CsvData(train=path).load(0),
    "class-map": lambda path: CsvData(train=Path(LABELS), classes=path).load(0),
    "class-folders": lambda path: FolderData(root=path).load(0),
    "tiny": lambda path: TinyImageNetData(root=path).load(0),
    "cub": lambda path: CubData(root=path).load(0),
    "imagenet": lambda path: ImageNetData(train=path).load(0),
    "shards": lambda path: ShardData(train=(str(path),)).load(0),
    "settings": lambda path: load_settings(Experiment, path),
    "checkpoint": checkpoint_folder,
    "description": read_checkpoint,
    "classes": read_classes,
    "weights": lambda path: ModelSettings(
        backbone="timm/test_resnet", weights=str(path) or "x"
    ).build(),
    "linear-weights": lambda path: ModelSettings(
        backbone="timm/test_resnet", weights="none", linear_weights=path
    ).build(),
    "model": lambda path: with_model(path, None, ()),
}
LABELS = "examples/labels.csv"


@pytest.mark.parametrize("name", OPENED)
def test_an_odd_path_has_its_reason(name):
    faults = {path[:20]: fault_of(lambda at=path: OPENED[name](Path(at))) for path in ODD_PATHS}
    assert not any(faults.values()), faults
