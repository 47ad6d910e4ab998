"""Every reader of annotations, and of predictions to score, with files to damage."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from camtool.annotations import (
    Coco,
    CsvBoxes,
    CsvLabels,
    Cub,
    Kaggle,
    TinyImageNet,
    WsolLists,
    read_annotations,
    read_guesses,
    read_labels,
)
from camtool.evaluation.masks import MaskFiles
from camtool.evaluation.matching import read_blacklist
from camtool.evaluation.score_maps import FileMaps
from camtool.metrics.protocol import MaskNames
from camtool.runs import read_manifest, read_predictions, read_threshold
from camtool.runs.maps import pack, unpack
from camtool.structures import ScoreMap
from tests.builders import WNID, voc_xml
from tests.fuzz.guard import fault_of
from tests.fuzz.mutations import of_bytes, of_json, of_tar, of_tokens, of_xml
from tests.fuzz.valid import Fuzzed, array, saved, tarred, text, zipped

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = ("a", "b", "ILSVRC2012_val_00000001", "ILSVRC2012_val_00000002")


def annotated(name: str) -> Callable[[Path], object]:
    return lambda folder: read_annotations(folder / name)


VOC = voc_xml((3, 4, 20, 30), (1, 1, 48, 36)).encode()
BUNDLE = f"<annotations>{VOC.decode()}{voc_xml((1, 2, 3, 4), filename='b')}</annotations>".encode()
CVAT = (
    b'<annotations><meta></meta><image id="0" name="a.jpg" width="90" height="60">'
    b'<box label="cat" xtl="10" ytl="20" xbr="40" ybr="25" rotation="0"/></image>'
    b'<image id="1" name="b.jpg" width="90" height="60"><box label="dog" xtl="1" ytl="2" xbr="4"'
    b' ybr="5"/><points label="x"/></image></annotations>'
)
COCO = json.dumps(
    {
        "images": [{"id": i, "file_name": f"{i}.jpg", "width": 90, "height": 60} for i in range(3)],
        "annotations": [
            {"image_id": i, "category_id": 7, "bbox": [10, 20, 30.5, 5], "iscrowd": 0}
            for i in range(3)
        ],
        "categories": [{"id": 7, "name": "cat"}],
    }
).encode()
CUB = {
    "images.txt": text("1 001.Albatross/a.jpg", "2 002.Wren/b.jpg", "3 001.Albatross/c.jpg"),
    "bounding_boxes.txt": text("1 60.0 27.0 325.0 304.0", "2 0 0 9 9", "3 1 2 3 4"),
    "image_class_labels.txt": text("1 1", "2 2", "3 1"),
    "train_test_split.txt": text("1 1", "2 1", "3 0"),
    "classes.txt": text("1 001.Albatross", "2 002.Wren"),
}
TINY_VAL = text(f"val_0.JPEG\t{WNID}\t0\t32\t44\t62", f"val_1.JPEG\t{WNID}\t1\t2\t3\t4")
TINY = {
    "train/n01440764/n01440764_boxes.txt": text("n01440764_0.JPEG\t0\t10\t63\t58"),
    "train/n01443537/n01443537_boxes.txt": text("n01443537_0.JPEG\t0\t10\t63\t58"),
    "train/n01440764/images/n01440764_0.JPEG": b"1",
    "train/n01443537/images/n01443537_0.JPEG": b"2",
    "val/val_annotations.txt": TINY_VAL,
    "val/images/val_0.JPEG": b"3",
}
WSOL = {
    "image_ids.txt": text("val/a.jpg", "val/b.jpg"),
    "class_labels.txt": text("val/a.jpg,7", "val/b.jpg,3"),
    "image_sizes.txt": text("val/a.jpg,90,60", "val/b.jpg,90,60"),
    "localization.txt": text("val/a.jpg,10,20,39,24", "val/b.jpg,1,2,3,4"),
}
WSOL_MASKS = {**WSOL, "localization.txt": text("val/a.jpg,a/1.png,a/2.png", "val/b.jpg,b.png,")}
BOXES_CSV = text("image,x0,y0,x1,y1,label,width,height", *(f"{i},1,2,30,40,cat,90,60" for i in IDS))
ROWS_CSV = text("a.jpg,10,20,39,24,cat", "b.jpg,1,2,3,4,7", "c.jpg,5,5,2,2,cat")
LABELS_CSV = text("file,class", "a.jpg,cat", "b.jpg,281", "c.jpg,n01440764")
KAGGLE = text("ImageId,PredictionString", f"a,{WNID} 1 2 3 4 {WNID} 5 6 7 8", f"b,{WNID} 1 2 3 4")

ANNOTATIONS = {
    "voc-file": Fuzzed({"a.xml": VOC}, (of_xml, of_bytes), annotated("a.xml")),
    "voc-bundle": Fuzzed({"a.xml": BUNDLE}, (of_xml, of_bytes), annotated("a.xml")),
    "voc-folder": Fuzzed({"x/a.xml": VOC, "x/b.xml": VOC}, (of_xml, of_bytes), annotated("x")),
    "voc-tar": Fuzzed(
        {"a.tar": tarred({"a.xml": VOC, "x/b.xml": VOC})}, (of_bytes, of_tar), annotated("a.tar")
    ),
    **{
        f"voc-tar-{mode}": Fuzzed(
            {"a.tar": tarred({"a.xml": VOC, "b.xml": VOC}, f"w:{mode}")},
            (of_bytes,),
            annotated("a.tar"),
        )
        for mode in ("gz", "bz2", "xz")
    },
    "voc-zip": Fuzzed(
        {"a.zip": zipped({"a.xml": VOC, "x/b.xml": VOC})}, (of_bytes,), annotated("a.zip")
    ),
    "cvat": Fuzzed({"a.xml": CVAT}, (of_xml, of_bytes, of_tokens), annotated("a.xml")),
    "coco": Fuzzed({"a.json": COCO}, (of_json, of_json, of_bytes), annotated("a.json")),
    "coco-said": Fuzzed(
        {"a.json": COCO},
        (of_json,),
        lambda folder: read_annotations(folder / "a.json", Coco(units="percent")),
    ),
    "csv": Fuzzed({"a.csv": BOXES_CSV}, (of_tokens, of_bytes), annotated("a.csv")),
    "csv-rows": Fuzzed({"a.csv": ROWS_CSV}, (of_tokens, of_bytes), annotated("a.csv")),
    "csv-said": Fuzzed(
        {"a.txt": BOXES_CSV},
        (of_tokens,),
        lambda folder: read_annotations(folder / "a.txt", CsvBoxes(units="fractions")),
    ),
    "csv-labels": Fuzzed(
        {"a.csv": LABELS_CSV}, (of_tokens, of_bytes), lambda folder: read_labels(folder / "a.csv")
    ),
    "image-set": Fuzzed(
        {"ImageSets/Main/dog_val.txt": text("2008_000001 1", "2008_000002 -1", "2008_000003  0")},
        (of_tokens, of_bytes),
        lambda folder: CsvLabels().read(folder / "ImageSets/Main/dog_val.txt"),
    ),
    "tiny-val": Fuzzed(
        {"val_annotations.txt": TINY_VAL},
        (of_tokens, of_bytes),
        lambda folder: TinyImageNet().read(folder / "val_annotations.txt"),
    ),
    "tiny-folder": Fuzzed(
        TINY,
        (of_tokens, of_bytes),
        lambda folder: read_annotations(folder, TinyImageNet(split="train")),
    ),
    "tiny-tar": Fuzzed({"a.tar": tarred(TINY)}, (of_bytes, of_tar), annotated("a.tar")),
    "cub": Fuzzed(
        CUB, (of_tokens, of_bytes), lambda folder: read_annotations(folder, Cub(split="all"))
    ),
    "cub-recognised": Fuzzed(CUB, (of_tokens,), read_annotations),
    "wsol": Fuzzed(WSOL, (of_tokens, of_bytes), WsolLists().read),
    "wsol-masks": Fuzzed(WSOL_MASKS, (of_tokens, of_bytes), WsolLists().read),
    "kaggle": Fuzzed(
        {"a.csv": KAGGLE}, (of_tokens, of_bytes), lambda folder: Kaggle().read(folder / "a.csv")
    ),
}

RECORDS = text(
    *(
        json.dumps(
            {
                "image_id": image,
                "path": f"{image}.jpg",
                "width": 90,
                "height": 60,
                "exif": {"orientation": 6, "upright": True},
                "classes": [
                    {
                        "index": 0, "name": WNID, "title": "tench", "score": 0.5, "rank": 1,
                        "boxes": [{"x0": 1, "y0": 2, "x1": 3, "y1": 4, "score": 1, "guess": 1}],
                        "map": 0,
                    }
                ],
                "maps": "00000.npz",
            }
        )
        for image in IDS
    )
)  # fmt: skip
THRESHOLD = json.dumps(
    {
        "schema_version": 1, "value": 0.25, "boxes": None, "classes": {"cat": 0.3},
        "min_images": 10, "at_iou": {"50": 0.2}, "version": "0.1.0",
        "chosen_on": {"annotations": "a.xml", "run": "r", "protocol": "ilsvrc", "iou": 0.5,
                      "metric": "gt_known", "accuracy": 61.5, "image_ids": ["a", "b"]},
    }
).encode()  # fmt: skip
MANIFEST = json.dumps(
    {
        "schema_version": 1,
        "program": "camtool",
        "counts": {"images": 2, "localized": 1, "skipped": 1},
        "classes": [{"index": 0, "name": "cat", "title": None}],
        "skipped": [{"path": "a", "error": "b"}],
        "model": {"backbone": "timm/x", "sha256": "0"},
        "experiment": {"localize": {"boxes": {"name": "paper"}}},
    }
).encode()
HEAT = ScoreMap(np.eye(3, dtype=np.float32), (0, 0, 48, 36), (48, 36))


def maps_of(path: Path) -> None:
    """Load every map of a file or folder."""
    maps = FileMaps(path)
    faults = []
    for prediction in maps.predictions():
        faults.append(fault_of(lambda p=prediction: maps.load(p, WNID)))
    assert not any(faults), faults


def zipped_maps(folder: Path) -> None:
    """The same of an `.npz` whose members are the files of a folder."""
    files = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    (folder / "a.npz").write_bytes(zipped(files))
    maps_of(folder / "a.npz")


def unpacked_maps(folder: Path) -> object:
    files = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    (folder / "a.npz").write_bytes(zipped(files))
    return unpack(folder / "a.npz")


def stored_arrays() -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pack([HEAT, HEAT]))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


NPY = {"a.npy": array(np.eye(5, dtype=np.float32)), "b.npy": array(np.full((224, 224), 1, "u1"))}
PREDICTIONS = {
    "guesses": Fuzzed(
        {"a.txt": text("449 10 20 39 24 1 0 0 9 9", "", "2 1 2 3 4")},
        (of_tokens, of_bytes),
        lambda folder: read_guesses(folder / "a.txt", IDS),
    ),
    "submission": Fuzzed(
        {"a.csv": KAGGLE},
        (of_tokens, of_bytes),
        lambda folder: read_guesses(folder / "a.csv", None),
    ),
    "blacklist": Fuzzed(
        {"a.txt": text("1", "2", "val_00000001", "b")},
        (of_tokens, of_bytes),
        lambda folder: read_blacklist(folder / "a.txt", IDS),
    ),
    "blacklist-places": Fuzzed(
        {"a.txt": text("1", "2", "a.jpg")},
        (of_tokens, of_bytes),
        lambda folder: read_blacklist(folder / "a.txt", ("a", "b", "x/a")),
    ),
    "predictions": Fuzzed(
        {"a.jsonl": RECORDS},
        (of_json, of_json, of_bytes),
        lambda folder: list(read_predictions(folder / "a.jsonl")),
    ),
    "threshold": Fuzzed({"threshold.json": THRESHOLD}, (of_json, of_bytes), read_threshold),
    "manifest": Fuzzed({"manifest.json": MANIFEST}, (of_json, of_bytes), read_manifest),
    "npy": Fuzzed(NPY, (of_bytes, of_tokens), maps_of),
    "npz": Fuzzed({"a.npz": zipped(NPY)}, (of_bytes,), lambda folder: maps_of(folder / "a.npz")),
    "npz-members": Fuzzed(NPY, (of_bytes, of_tokens), zipped_maps),
    "run-maps": Fuzzed(
        {"a.npz": pack([HEAT, HEAT])}, (of_bytes,), lambda folder: unpack(folder / "a.npz")
    ),
    "run-maps-members": Fuzzed(stored_arrays(), (of_bytes, of_tokens), unpacked_maps),
    "masks": Fuzzed(
        {"a.png": saved("PNG")},
        (of_bytes,),
        lambda folder: MaskFiles(folder).read(MaskNames(("a.png",), None), (48, 36)),
    ),
}
