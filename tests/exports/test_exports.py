"""Boxes that leave a run: other programs, and camtool's own readers, find them to the pixel."""

from __future__ import annotations

import csv
import json
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml

from camtool import (
    Box,
    ClassPrediction,
    EvalSettings,
    Prediction,
    ScoredBox,
    ScoreMap,
    evaluate_files,
    export,
    read_annotations,
)
from camtool.errors import DataError, RunError, SettingsError
from camtool.exports import FORMATS, Selection
from camtool.exports.selection import in_frame
from camtool.runs import RunFolder, Shard, read_predictions
from tests.builders import draw_pictures, write_voc
from tests.commands import TINY, run_here

# A network of three classes; two have one title.
CLASSES = [
    {"index": 0, "name": "n01440764", "title": "tench, Tinca tinca"},
    {"index": 1, "name": "n02012849", "title": "crane"},
    {"index": 2, "name": "n03126707", "title": "crane"},
]
EXPERIMENT = {"localize": {"boxes": {"name": "paper", "threshold": 0.2}}}


def found(index, score, *boxes, rank=1, target=False):
    row = CLASSES[index]
    scored = tuple(ScoredBox(Box(*b), 1.0) for b in boxes)
    return ClassPrediction(row["name"], score, scored, rank, index, row["title"], target)


def write_run(folder, predictions):
    run = RunFolder(folder, Shard(), len(predictions), {"experiment": {}})
    with run.open("a: 1\n", lambda *_: []):
        maps = [
            [ScoreMap(np.float32([[0, 1], [0, 0]]), (0, 0, *p.size), p.size)] * len(p.classes)
            if p.size else []
            for p in predictions
        ]  # fmt: skip
        run.append(predictions, maps)
        run.assemble({"schema_version": 1, "experiment": EXPERIMENT, "classes": CLASSES})
    return folder


@pytest.fixture
def run(tmp_path):
    """Two classes and a true one; no box; EXIF turned and mirrored; an unreadable file."""
    return write_run(tmp_path / "run", [
        Prediction("a/one", "photos/a/one.jpg", (100, 80), (
            found(0, 0.8, (10, 20, 60, 70), (0, 0, 5, 5)),
            found(1, 0.15, (1, 2, 30, 40), rank=2),
            found(2, 0.01, (0, 0, 100, 80), rank=9, target=True),
        )),
        Prediction("two", "two.png", (50, 40), (found(1, 0.3),)),
        Prediction("turned", "turned.jpg", (60, 90), (found(0, 0.9, (10, 20, 30, 50)),), exif=6),
        Prediction("mirrored", "m.jpg", (40, 30), (found(0, 0.9, (0, 0, 10, 5)),), exif=3),
        Prediction("broken", "broken.jpg", None, error="empty file (0 bytes)"),
    ])  # fmt: skip


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_csv_has_a_row_a_box_upright(run, tmp_path):
    result = export(run, tmp_path / "b.csv", "csv")
    assert (result.images, result.boxes, result.unreadable, result.turned) == (4, 4, 1, 0)
    table = rows(tmp_path / "b.csv")
    assert [r["image"] for r in table] == ["a/one.jpg", "a/one.jpg", "turned.jpg", "mirrored.jpg"]
    first = table[0]
    assert list(first.values()) == [
        "a/one.jpg", "tench", "0.8", "10", "20", "50", "50", "100", "80",
    ]  # fmt: skip
    read = read_annotations(tmp_path / "b.csv").annotations
    assert read["a/one"].objects[0].box == Box(10, 20, 60, 70)


def test_which_classes(run, tmp_path):
    def labels(**chosen):
        export(run, tmp_path / "b.csv", "csv", Selection(**chosen), overwrite=True)
        return [r["label"] for r in rows(tmp_path / "b.csv") if r["image"] == "a/one.jpg"]

    assert labels() == ["tench", "tench"]
    assert labels(classes="true") == ["crane (n03126707)"]
    every = ["tench", "tench", "crane (n02012849)", "crane (n03126707)"]
    assert labels(classes="all") == every
    assert labels(classes="all", top_k=2) == every[:3]
    assert labels(classes="all", min_score=0.1) == every[:3]
    assert labels(min_score=0.85) == []
    assert labels(names="name") == ["n01440764", "n01440764"]


def test_a_threshold_makes_the_boxes_anew(run, tmp_path):
    """Of a map whose upper right cell is hot; at 100×80 pixels, worked out by the box rule."""
    from camtool import PaperBoxes

    score_map = ScoreMap(np.float32([[0, 1], [0, 0]]), (0, 0, 100, 80), (100, 80))
    for threshold in (0.3, 0.7):
        chosen = Selection(threshold=threshold)
        export(run, tmp_path / "b.csv", "csv", chosen, overwrite=True)
        (row,) = (r for r in rows(tmp_path / "b.csv") if r["image"] == "a/one.jpg")
        (box,) = PaperBoxes(threshold=threshold).boxes(score_map)
        corner = box.box.x0, box.box.y0
        sides = box.box.x1 - box.box.x0, box.box.y1 - box.box.y0
        assert [float(row[k]) for k in ("x", "y", "w", "h")] == [*corner, *sides]


def test_coco_for_its_own_reader(run, tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    export(run, tmp_path / "c.json", "coco", Selection(classes="all"))
    data = coco.COCO(str(tmp_path / "c.json"))
    by_file = {i["file_name"]: i for i in data.loadImgs(data.getImgIds())}
    assert set(by_file) == {"a/one.jpg", "two.png", "turned.jpg", "mirrored.jpg"}
    one = data.loadAnns(data.getAnnIds(imgIds=by_file["a/one.jpg"]["id"]))
    names = {c["id"]: c["name"] for c in data.loadCats(data.getCatIds())}
    assert [(names[a["category_id"]], a["bbox"]) for a in one] == [
        ("tench", [10, 20, 50, 50]), ("tench", [0, 0, 5, 5]),
        ("crane (n02012849)", [1, 2, 29, 38]), ("crane (n03126707)", [0, 0, 100, 80]),
    ]  # fmt: skip
    # As stored, which COCO's readers see: EXIF 6 lies on its side, 3 is upside down.
    turned, mirrored = by_file["turned.jpg"], by_file["mirrored.jpg"]
    assert (turned["width"], turned["height"]) == (90, 60)
    assert data.loadAnns(data.getAnnIds(imgIds=turned["id"]))[0]["bbox"] == [20, 30, 30, 20]
    assert data.loadAnns(data.getAnnIds(imgIds=mirrored["id"]))[0]["bbox"] == [30, 25, 10, 5]
    results = data.loadRes(str(tmp_path / "c.results.json"))
    assert [a["score"] for a in results.loadAnns(results.getAnnIds())][:2] == [0.8, 0.8]


def test_voc_for_torchvision_and_for_camtool(run, tmp_path):
    detection = pytest.importorskip("torchvision.datasets.voc").VOCDetection
    export(run, tmp_path / "voc", "voc")
    place = tmp_path / "voc" / "Annotations" / "a" / "one.xml"
    tree = detection.parse_voc_xml(ET.parse(place).getroot())["annotation"]
    assert tree["filename"] == "one.jpg"
    assert tree["size"]["width"] == "100"
    assert tree["object"][0]["bndbox"] == {"xmin": "11", "ymin": "21", "xmax": "60", "ymax": "70"}
    read = read_annotations(tmp_path / "voc" / "Annotations").annotations
    assert {o.box for o in read["a/one"].objects} == {Box(10, 20, 60, 70), Box(0, 0, 5, 5)}
    assert "two" not in read
    assert "<object>" not in (tmp_path / "voc" / "Annotations" / "two.xml").read_text()
    export(run, tmp_path / "wnids", "voc", Selection(names="name"))
    read = read_annotations(tmp_path / "wnids" / "Annotations").annotations
    assert {o.box for o in read["a/one"].objects} == {Box(10, 20, 60, 70), Box(0, 0, 5, 5)}


def test_yolo(tmp_path):
    pictures = draw_pictures(tmp_path / "pictures", 30)
    predictions = [
        Prediction(p.stem, str(p), (48, 36), (found(2, 0.9, (12, 9, 36, 27)),) if n else ())
        for n, p in enumerate(sorted(pictures.iterdir()))
    ]
    run = write_run(tmp_path / "run", predictions)
    export(run, tmp_path / "yolo", "yolo", Selection(val_fraction=0.3, seed=1))
    data = yaml.safe_load((tmp_path / "yolo" / "data.yaml").read_text())
    assert data["names"] == {0: "tench", 1: "crane (n02012849)", 2: "crane (n03126707)"}
    parts = {
        part: sorted(p.stem for p in (tmp_path / "yolo" / "labels" / part).iterdir())
        for part in ("train", "val")
    }
    assert sorted(parts["train"] + parts["val"]) == [p.image_id for p in predictions]
    assert 3 <= len(parts["val"]) <= 15
    for part, ids in parts.items():
        images = Path(data["path"]) / data[part]
        assert sorted(p.stem for p in images.iterdir()) == ids
        assert all(p.resolve().is_file() for p in images.iterdir())
        for image_id in ids:
            text = (tmp_path / "yolo" / "labels" / part / f"{image_id}.txt").read_text()
            assert text == ("" if image_id == "00000" else f"2{' 0.500000000' * 4}\n")
    again = Selection(val_fraction=0.3, seed=2)
    assert [p.image_id for p in predictions if again.is_val(p.image_id)] != parts["val"]


def test_label_studio_in_percent_of_the_upright_picture(run, tmp_path):
    export(run, tmp_path / "ls.json", "labelstudio")
    tasks = json.loads((tmp_path / "ls.json").read_text())
    assert [t["data"]["image"] for t in tasks][:2] == ["photos/a/one.jpg", "two.png"]
    region = tasks[0]["predictions"][0]["result"][0]
    assert region["value"] == {
        "x": 10, "y": 25, "width": 50, "height": 62.5, "rotation": 0, "rectanglelabels": ["tench"],
    }  # fmt: skip
    assert tasks[1]["predictions"][0]["result"] == []
    turned = tasks[2]["predictions"][0]["result"][0]
    assert (turned["original_width"], turned["original_height"]) == (60, 90)
    config = ET.parse(tmp_path / "ls.config.xml").getroot()
    assert [label.get("value") for label in config.iter("Label")] == ["tench"]


def test_guesses_score_as_the_run_does(tmp_path):
    """ILSVRC's file and Kaggle's form carry five classes, so top-5 is that of the run."""
    pictures = draw_pictures(tmp_path / "pictures", 6)
    write_voc(tmp_path / "boxes", {f"{n:05d}": [(2 * n, 0, 40, 35)] for n in range(6)})
    assert run_here("localize", pictures, "-o", tmp_path / "run", *TINY).code == 0
    settings = EvalSettings(annotations=tmp_path / "boxes")
    wanted = evaluate_files(settings, tmp_path / "run").metrics
    for form, name in (("ilsvrc", "g.txt"), ("kaggle", "k.csv")):
        chosen = Selection(classes="all", names="name")
        export(tmp_path / "run", tmp_path / name, form, chosen)
        given = settings.model_copy(update={"predictions": tmp_path / name})
        got = evaluate_files(given).metrics
        for metric in ("top1_classification_error", "top1_localization_error",
                       "top5_localization_error"):  # fmt: skip
            assert got[metric] == wanted[metric], (form, metric)


@pytest.mark.parametrize("exif", range(1, 9))
@pytest.mark.parametrize("upright", [True, False])
def test_frames_there_and_back(exif, upright):
    box = (3, 4, 20, 25)
    whole = Prediction("a", "a", (40, 30), (found(0, 0.5, box),), exif=exif, upright=upright)
    other = in_frame(whole, "stored" if upright else "upright")
    back = in_frame(other, "upright" if upright else "stored")
    assert back.classes[0].boxes[0].box == Box(*box)
    assert back.size == (40, 30)
    assert (other.size == (30, 40)) == (exif > 4)


AWKWARD = ["a\nb", "..", "a/../b", "x" * 300, "a\\b", "a\0b"]


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("form", FORMATS)
def test_names_that_lead_elsewhere_are_refused_and_nothing_is_left(tmp_path, name, form):
    run = write_run(tmp_path / "run", [Prediction(name, "p.jpg", (9, 9), (found(0, 0.9),))])
    with pytest.raises(DataError, match=r"not a name that|longer than a file's name"):
        export(run, tmp_path / "out" / "x", form)
    assert not list((tmp_path / "out").rglob("*")) or not (tmp_path / "out" / "x").exists()
    assert not [p for p in tmp_path.rglob("*.tmp")]


SURVIVES = ['"quoted" <b>&', "-dash", "日本", "\x1b[31mred", "x" * 185, "a b;c,d", "%2e"]


@pytest.mark.parametrize("form", ["coco", "yolo", "csv", "kaggle", "labelstudio"])
def test_awkward_names_survive(tmp_path, form):
    predictions = [
        Prediction(name, f"{name}.jpg", (9, 9), (found(0, 0.9, (1, 2, 3, 4)),)) for name in SURVIVES
    ]
    run = write_run(tmp_path / "run", predictions)
    out = tmp_path / "out"
    export(run, out, form)
    if form == "yolo":
        assert {p.stem for p in (out / "labels" / "train").iterdir()} == set(SURVIVES)
    elif form in ("coco", "labelstudio"):
        data = json.loads(out.read_text())
        names = (
            [i["file_name"] for i in data["images"]] if form == "coco"
            else [t["data"]["image"] for t in data]
        )  # fmt: skip
        assert names == [f"{name}.jpg" for name in SURVIVES]
    else:
        with out.open(newline="") as file:
            table = list(csv.reader(file))[1:]
        ending = ".jpg" if form == "csv" else ""
        assert [row[0] for row in table] == [f"{name}{ending}" for name in SURVIVES]


def test_xml_cannot_hold_every_character(tmp_path):
    run = write_run(tmp_path / "run", [Prediction("a\x1bb", "a.jpg", (9, 9), (found(0, 0.9),))])
    with pytest.raises(DataError, match="XML cannot hold this name"):
        export(run, tmp_path / "voc", "voc")
    assert not (tmp_path / "voc").exists()
    quoted = 'a"<&>b'
    run = write_run(
        tmp_path / "other",
        [
            Prediction(quoted, "p.jpg", (9, 9), (found(0, 0.9, (1, 2, 3, 4)),)),
        ],
    )
    export(run, tmp_path / "voc", "voc")
    assert list(read_annotations(tmp_path / "voc" / "Annotations").annotations) == [quoted]


def test_what_is_there_is_replaced_only_on_request(run, tmp_path):
    for form, name in (("csv", "b.csv"), ("voc", "voc")):
        out = tmp_path / name
        export(run, out, form)
        with pytest.raises(RunError, match="already there; --overwrite replaces it"):
            export(run, out, form)
        export(run, out, form, overwrite=True)
    note = json.loads((tmp_path / "b.csv.export.json").read_text())
    assert note["selection"]["classes"] == "top-1"
    assert note["experiment"] == EXPERIMENT
    assert (tmp_path / "voc" / "camtool-export.json").is_file()


def test_only_what_an_export_made_is_replaced(run, tmp_path):
    """A folder of photos under the name of the output stays, whatever is asked for."""
    photos = draw_pictures(tmp_path / "photos", 2)
    with pytest.raises(RunError, match="there, and no export made it; move it away"):
        export(run, photos, "yolo", overwrite=True)
    assert len(list(photos.iterdir())) == 2
    with pytest.raises(RunError, match="it is a folder"):
        export(run, photos, "csv", overwrite=True)
    with pytest.raises(RunError, match="not a regular file"):
        export(run, Path(os.devnull), "csv", overwrite=True)
    (tmp_path / "c.val.results.json").write_text("mine")
    with pytest.raises(RunError, match=r"c\.val\.results\.json: already there"):
        export(run, tmp_path / "c.json", "coco", Selection(val_fraction=0.5))


def test_the_command_knows_every_format():
    from camtool.cli.export_command import _FORMATS

    assert tuple(FORMATS) == _FORMATS


def test_the_note_counts_what_was_read(run, tmp_path):
    export(run, tmp_path / "b.csv", "csv")
    note = json.loads((tmp_path / "b.csv.export.json").read_text())
    assert note["counts"] == {"images": 4, "boxes": 4, "unreadable": 1, "turned": 0}


def test_two_images_that_would_share_a_file(tmp_path):
    run = write_run(tmp_path / "run", [
        Prediction("a", "a.jpg", (9, 9)), Prediction("a.xml/b", "b.jpg", (9, 9)),
    ])  # fmt: skip
    with pytest.raises(RunError):
        export(run, tmp_path / "voc", "voc")
    assert not (tmp_path / "voc").exists()


def test_wrong_requests(run, tmp_path):
    with pytest.raises(SettingsError, match="no format 'pascal'; there are: coco, voc"):
        export(run, tmp_path / "x", "pascal")
    with pytest.raises(SettingsError, match="the format kaggle has no parts"):
        export(run, tmp_path / "x", "kaggle", Selection(val_fraction=0.1))
    with pytest.raises(RunError, match="not a run folder"):
        export(tmp_path / "none", tmp_path / "x", "csv")
    with pytest.raises(RunError, match="cannot be written"):
        export(run, Path(os.devnull) / "x.csv", "csv")


def test_memory_does_not_grow_with_the_run(run, tmp_path, monkeypatch):
    """No format but ILSVRC's holds more than one record at a time."""
    import gc

    records = list(read_predictions(run))
    alive = []

    def many(_):
        for _ in range(200):
            for record in records[:1]:
                copy = Prediction(record.image_id + str(len(alive)), record.path, record.size,
                                  record.classes)  # fmt: skip
                alive.append(id(copy))
                yield copy
                gc.collect(0)

    monkeypatch.setattr("camtool.exports.selection.read_predictions", many)
    for form in ("csv", "coco", "labelstudio"):
        alive.clear()
        export(run, tmp_path / form, form)
        # Addresses are used again as soon as records are dropped.
        assert len(set(alive)) < 20


def test_the_command(run, tmp_path):
    ran = run_here("export", run, "-o", tmp_path / "b.csv")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        f"4 boxes of the most probable class in 4 images of {run}; 1 images that could not be read:"
        f" {tmp_path}/b.csv\n"
    )
    ran = run_here("export", run, "--format", "coco", "--which", "all", "-o", tmp_path / "c.json")
    assert "2 images that EXIF turns: their boxes are in the frame as stored" in ran.out
    ran = run_here("export", run, "-o", tmp_path / "somewhere")
    assert ran.code == 2
    assert "its ending does not say the format: --format NAME" in ran.err
    ran = run_here("export", run, "-o", tmp_path / "b.csv")
    assert ran.code == 6
    assert "already there" in ran.err
