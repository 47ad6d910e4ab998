"""Boxes as records, pandas' table and supervision's detections; its readers find exports again."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from camtool import Localization, Prediction, Run, Selection, export
from camtool.errors import DataError, RunError, SettingsError
from tests.builders import noise_picture
from tests.exports.test_exports import CLASSES, found, write_run

SIZE = (97, 61)
BOXES = ((3, 5, 40, 60), (0, 0, 97, 61), (10, 0, 11, 1), (96, 60, 97, 61), (7, 13, 64, 29))


@pytest.fixture
def run(tmp_path):
    """Pictures with boxes at every edge, one of two classes, one without a box, one unreadable."""
    (tmp_path / "photos").mkdir()
    predictions = []
    for number, box in enumerate(BOXES):
        path = tmp_path / "photos" / f"i{number}.png"
        noise_picture(SIZE, number).save(path)
        classes = [found(number % 3, 0.9, box)]
        if number == 1:
            classes.append(found(0, 0.05, (1, 2, 30, 40), rank=2, target=True))
        predictions.append(Prediction(f"i{number}", str(path), SIZE, tuple(classes)))
    empty = tmp_path / "photos" / "none.png"
    noise_picture(SIZE, 9).save(empty)
    predictions += [
        Prediction("none", str(empty), SIZE, (found(1, 0.4),)),
        Prediction("broken", "broken.jpg", None, error="empty file (0 bytes)"),
    ]
    return write_run(tmp_path / "run", predictions)


def boxes_by_name(dataset):
    return {
        path.rpartition("/")[2]: sorted(map(tuple, detections.xyxy.tolist()))
        for path, _, detections in dataset
    }


EXPECTED = {f"i{number}.png": [tuple(map(float, box))] for number, box in enumerate(BOXES)}


def test_records_have_a_row_a_box(run):
    rows = list(Run(run).records())
    assert [row["image"] for row in rows] == ["i0", "i1", "i1", "i2", "i3", "i4"]
    assert {k: v for k, v in rows[2].items() if k not in ("path", "width", "height")} == {
        "image": "i1", "label": "tench", "name": "n01440764", "index": 0, "rank": 2, "score": 0.05,
        "target": True, "x0": 1.0, "y0": 2.0, "x1": 30.0, "y1": 40.0, "box_score": 1.0,
    }  # fmt: skip
    assert (rows[0]["width"], rows[0]["height"]) == SIZE
    # Two classes have one title: what tells them apart is in the label.
    assert [row["label"] for row in rows][1] == "crane (n02012849)"
    assert len(list(Run(run, Selection()).records())) == 5
    assert next(Run(run, Selection(names="name")).records())["label"] == "n01440764"


def test_records_are_upright(tmp_path):
    turned = Prediction(
        "t", "t.jpg", (40, 30), (found(0, 0.9, (0, 0, 10, 5)),), exif=6, upright=False
    )
    (row,) = Run(write_run(tmp_path / "run", [turned])).records()
    assert (row["width"], row["height"]) == (30, 40)
    assert [row[k] for k in ("x0", "y0", "x1", "y1")] == [25, 0, 30, 10]


def test_a_table_of_pandas(run, tmp_path):
    pytest.importorskip("pandas", reason="pandas is not installed")
    table = Run(run).to_pandas()
    assert table.groupby("image").size().to_dict()["i1"] == 2
    assert (table["x1"] - table["x0"]).tolist() == [37, 97, 29, 1, 1, 57]
    assert table["target"].dtype == bool
    nothing = Run(write_run(tmp_path / "empty", [Prediction("a", "a.png", SIZE)])).to_pandas()
    assert list(nothing.columns) == list(table.columns)
    assert nothing.empty


def test_detections_of_one_picture():
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    classes = (found(0, 0.8, (10, 20, 60, 70), (0, 0, 5, 5)), found(2, 0.1, rank=2))
    one = Localization(Prediction("a", "a.png", (100, 80), classes)).to_supervision()
    assert isinstance(one, sv.Detections)
    assert one.xyxy.tolist() == [[10, 20, 60, 70], [0, 0, 5, 5]]
    assert one.confidence.tolist() == pytest.approx([0.8, 0.8])
    assert one.class_id.tolist() == [0, 0]
    assert one["class_name"].tolist() == ["tench, Tinca tinca"] * 2
    # Width and area are ours: neither side counts a pixel more.
    assert one.box_area.tolist() == [2500, 25]
    none = Localization(Prediction("a", "a.png", None, error="empty file (0 bytes)"))
    assert len(none.to_supervision()) == 0
    assert none.records() == []


def test_a_run_is_a_data_set(run):
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    dataset = Run(run, Selection()).to_supervision()
    assert isinstance(dataset, sv.DetectionDataset)
    assert dataset.classes == ["tench", "crane (n02012849)", "crane (n03126707)"]
    assert boxes_by_name(dataset) == {**EXPECTED, "none.png": []}
    _, image, detections = dataset[1]
    assert image.shape == (61, 97, 3)
    assert detections["class_name"].tolist() == ["crane (n02012849)"]


@pytest.mark.parametrize("form", ["yolo", "voc", "coco"])
def test_its_readers_find_the_exported_boxes_to_the_pixel(run, tmp_path, form):
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    out, photos = tmp_path / "out", str(tmp_path / "photos")
    if form == "coco":
        export(run, out.with_suffix(".json"), form)
        dataset = sv.DetectionDataset.from_coco(photos, str(out.with_suffix(".json")))
    elif form == "voc":
        export(run, out, form)
        dataset = sv.DetectionDataset.from_pascal_voc(photos, str(out / "Annotations"))
    else:
        export(run, out, form)
        dataset = sv.DetectionDataset.from_yolo(
            str(out / "images" / "train"), str(out / "labels" / "train"), str(out / "data.yaml")
        )
    read = boxes_by_name(dataset)
    assert read.pop("none.png", []) == []
    assert set(read) == set(EXPECTED)
    for name, boxes in EXPECTED.items():
        # YOLO's shares have nine digits, and supervision reads them in single precision.
        np.testing.assert_allclose(read[name], boxes, atol=1e-4 if form == "yolo" else 0)
    by_name = {path.rpartition("/")[2]: found for path, _, found in dataset}
    for number in range(len(BOXES)):
        (label,) = by_name[f"i{number}.png"].class_id
        assert dataset.classes[label] == Run(run, Selection()).to_supervision().classes[number % 3]


def test_pycocotools_and_torchvision_find_them_too(run, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    voc = pytest.importorskip("torchvision.datasets.voc").VOCDetection
    export(run, tmp_path / "c.json", "coco")
    export(run, tmp_path / "voc", "voc")
    data = coco.COCO(str(tmp_path / "c.json"))
    for image in data.loadImgs(data.getImgIds()):
        wanted = EXPECTED.get(image["file_name"], [])
        rows = [a["bbox"] for a in data.loadAnns(data.getAnnIds(imgIds=image["id"]))]
        assert [(x, y, x + w, y + h) for x, y, w, h in rows] == wanted
        place = tmp_path / "voc" / "Annotations" / image["file_name"].replace(".png", ".xml")
        objects = voc.parse_voc_xml(ElementTree.parse(place).getroot())["annotation"].get("object")
        corners = [{k: int(v) for k, v in o["bndbox"].items()} for o in objects or []]
        # The first pixel is 1, and the last belongs to the box.
        assert [(c["xmin"] - 1, c["ymin"] - 1, c["xmax"], c["ymax"]) for c in corners] == wanted


def test_a_turned_picture_has_its_boxes_where_supervision_sees_it(tmp_path):
    """Read by OpenCV, as supervision does, a bright patch lies in its box."""
    pytest.importorskip("supervision", reason="supervision is not installed")
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[0:20, 60:90] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    stored = Prediction(
        "t", str(path), (90, 60), (found(0, 0.9, (60, 0, 90, 20)),), exif=6, upright=False
    )
    (one,) = Run(write_run(tmp_path / "run", [stored])).to_supervision()
    _, image, detections = one
    x0, y0, x1, y1 = detections.xyxy[0].astype(int)
    assert image.shape[:2] == (90, 60)
    assert image[y0:y1, x0:x1].min() == 255
    assert image.sum() == 255 * 3 * (x1 - x0) * (y1 - y0)


@pytest.mark.parametrize("name", ["pandas", "supervision"])
def test_a_package_that_is_missing_is_named(run, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    one = Localization(Prediction("a", "a.png", SIZE, (found(0, 0.8, (1, 2, 3, 4)),)))
    for object_ in (one, Run(run)):
        with pytest.raises(SettingsError, match=rf"to_{name}: .*pip install 'camtool\[{name}\]'"):
            getattr(object_, f"to_{name}")()


def test_runs_that_are_none(tmp_path, run):
    with pytest.raises(RunError):
        list(Run(tmp_path / "nowhere").records())
    with pytest.raises(SettingsError, match="threshold"):
        list(Run(run, Selection(threshold=2)).records())


def test_a_class_of_another_network_is_refused(run):
    lines = (run / "predictions.jsonl").read_text()
    (run / "predictions.jsonl").write_text(lines.replace(CLASSES[0]["name"], "n99999999"))
    with pytest.raises(DataError, match="n99999999"):
        list(Run(run).records())
