"""Inputs that people brought, rebuilt in `../shared/cases`: what is true of their images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import run_alone, run_here


@pytest.fixture(scope="module")
def cases() -> Path:
    found = Path(__file__).resolve().parents[3] / "shared" / "cases"
    if not found.is_dir():
        pytest.skip("../shared with the cases is absent")
    return found


@pytest.fixture(scope="module")
def native(cases, tmp_path_factory) -> Path:
    """A run of the bundled network on 19 native images of ILSVRC."""
    run = tmp_path_factory.mktemp("native") / "run"
    images = cases.parent / "data" / "ilsvrc-val-native"
    given = ("--labels", images / "labels.csv", "--set", "localize.overlays.enabled=false",
             "--method", "cam")  # fmt: skip
    ran = run_alone("localize", images / "Data", *given, "-o", run)
    assert ran.code == 0, ran.err
    return run


def scores(run: Path, boxes: Path, *more: str) -> tuple[dict, str]:
    ran = run_here("eval", run, "--boxes", boxes, "--format", "json", *more)
    assert ran.code == 0, ran.err
    return json.loads(ran.out), ran.err


def percent(report: dict, name: str) -> float:
    return round(report["metrics"][name]["value"], 2)


FLAVOURS = [
    "coco_label_studio.json", "coco_plain.json", "coco_prefix.json",
    "coco_str_ids.json", "coco_with_empty_images.json", "cvat_attributes", "image_jpeg_xml",
    "make_sense.csv", "polygon_and_box", "retinanet.csv", "spaces_in_class", "tf_roboflow.csv",
    "xywh.csv", "xywh_no_header.csv",
]  # fmt: skip


def test_the_same_boxes_in_many_forms(cases, native):
    """Case 12: each form gives the same figures."""
    folder = cases / "12-annotation-flavours"
    expected, _ = scores(native, folder / "coco_plain.json")
    assert percent(expected, "gt_known_error") == 42.11
    for name in FLAVOURS:
        found, _ = scores(native, folder / name)
        assert found["metrics"] == expected["metrics"], name


@pytest.mark.parametrize(
    "name", ["difficult_1", "difficult_True", "difficult_true", "difficult_yes"]
)
def test_difficult_in_any_spelling(name, cases, native):
    found, _ = scores(
        native, cases / "12-annotation-flavours" / name, "--set", "eval.difficult=leave-out"
    )
    assert found["counts"]["scored"] == 4


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("coco_normalised.json", "a bbox within 0 to 1 (0.111, 0.108, …), where COCO has pixels"),
        ("coco_polygons_only.json", "no bbox of four numbers"),
        ("extra_object_without_name", "object 2: empty <name>"),
        ("label_studio_prefix", "no prediction belongs to an annotated image"),
        ("lower_case_names", "no prediction belongs to an annotated image"),
        ("rotated_boxes", "no <bndbox>"),
    ],
)
def test_forms_that_are_refused(name, reason, cases, native):
    ran = run_here("eval", native, "--boxes", cases / "12-annotation-flavours" / name)
    assert ran.code in (3, 5)
    assert reason in ran.err


def test_fractions_of_the_image(cases, native):
    """Case 06: scaled where the file gives sizes, refused where not."""
    case = cases / "06-normalised-coordinates"
    found, _ = scores(native, case / "xml")
    assert percent(found, "gt_known_error") == 42.11
    ran = run_here("eval", native, "--boxes", case / "normalised.csv")
    assert ran.code == 3
    assert "fractions of the image, whose size the file does not give" in ran.err


@pytest.mark.parametrize("boxes", ["xml_upright", "boxes_upright.csv", "coco_upright.json"])
def test_boxes_of_upright_pictures(boxes, cases, tmp_path):
    """Case 01: the sizes say that the boxes are of the upright picture."""
    case = cases / "01-exif-upright-annotations"
    ran = run_alone(
        "localize", case / "photos", "--labels", case / boxes, "-o", tmp_path / "run",
        "--set", "localize.overlays.enabled=false", "--method", "cam",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "images are seen upright and 0 as stored" in ran.err
    found, _ = scores(tmp_path / "run", case / boxes)
    assert percent(found, "top1_classification_error") == 42.11
    assert 40 < percent(found, "gt_known_error") < 55


def test_names_that_folders_tell_apart(cases, tmp_path):
    """Case 04: train/0001 and val/0001 are two images."""
    case = cases / "04-same-name-in-folders"
    tiny = ("--set", "model.backbone=timm/test_resnet", "--set", "model.weights=none")
    ran = run_here("localize", case / "images", "--labels", case / "Annotations", *tiny,
                   "-o", tmp_path / "all")  # fmt: skip
    assert ran.code == 0, ran.err
    ran = run_here("eval", tmp_path / "all", "--boxes", case / "Annotations", "--format", "json")
    assert json.loads(ran.out)["counts"]["scored"] > 0
    ran = run_here("localize", case / "images" / "val", "--labels", case / "Annotations", *tiny,
                   "-o", tmp_path / "val")  # fmt: skip
    assert ran.code == 3
    assert "fits several" in ran.err
