"""Every reader of images, of lists of them and of what is trained on, with files to damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from camtool.images import find_images
from camtool.images.decode import decode, quiet_pillow
from camtool.images.lists import read_list
from camtool.images.sources import FileSource
from camtool.models.classifier import Classifier
from camtool.models.heads import LinearHead
from camtool.models.weights import with_linear_weights
from camtool.pipelines.trained import read_classes
from camtool.runs.checkpoint_store import read_checkpoint
from camtool.structures import InputSpec
from camtool.training.data import (
    CsvData,
    CubData,
    FolderData,
    ImageNetData,
    ShardData,
    TinyImageNetData,
)
from tests.fuzz.annotation_readers import CUB, LABELS_CSV, TINY
from tests.fuzz.guard import fault_of
from tests.fuzz.mutations import of_bytes, of_json, of_tar, of_tokens
from tests.fuzz.valid import Fuzzed, array, saved, tarred, text, zipped

if TYPE_CHECKING:
    from collections.abc import Callable

ENCODED = {
    "png": saved("PNG"),
    "jpeg": saved("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\6\0\0\0"),
    "gif": saved("GIF"),
    "bmp": saved("BMP"),
    "tiff": saved("TIFF"),
    "tiff-lzw": saved("TIFF", compression="tiff_lzw"),
    "webp": saved("WEBP"),
    "ppm": saved("PPM"),
    "avif": saved("AVIF"),
}
PICTURES = {"a.png": ENCODED["png"], "x/b.png": ENCODED["png"] + b" "}


def decoded(folder: Path) -> object:
    with quiet_pillow():
        return decode(FileSource("a", str(folder / "a.png")), True, 10_000_000, (36, 48))


def found_and_opened(folder: Path, name: str) -> None:
    """Open whatever images are found, but for those of URLs."""
    for source in find_images([str(folder / name)]).sources:
        if "://" not in source.path:
            fault = fault_of(lambda s=source: s.open().close())
            assert fault is None, fault


def folders_of(folder: Path) -> object:
    """Make an image in a class folder for every name in a list, where the system lets one."""
    root = folder / "set"
    for number, name in enumerate((folder / "names.txt").read_text("utf-8", "replace").split("\n")):
        try:
            (root / "x" / name / "y").mkdir(parents=True, exist_ok=True)
            (root / "x" / name / f"{number}.png").write_bytes(b"%d" % number)
        except (OSError, ValueError):
            continue
    return FolderData(root=root / "x", val_fraction=0.5).load(seed=0)


def shard_data(classes_from: str) -> Callable[[Path], object]:
    def call(folder: Path) -> object:
        data = ShardData(train=(f"{folder}/*.tar",), classes_from=classes_from, val_fraction=0.5)
        return data.load(seed=0)

    return call


SHARD = tarred(
    {
        f"{label}/{number}.{ending}": content
        for number, label in enumerate(("cat", "dog", "cat", "dog"))
        for ending, content in (
            ("jpg", b"%d" % number),
            ("cls", label.encode()),
            ("json", json.dumps({"label": label}).encode()),
        )
    }
)
DESCRIPTION = json.dumps(
    {
        "files": {}, "experiment": {"model": {}}, "input": {"size": [64, 64]}, "epoch": 1,
        "step": 2, "metrics": {"top1": 0.5, "loss": None}, "is_best": True, "training_images": 7,
        "best": {"rule": "top1", "value": [0.5], "epoch": 1},
        "history": [{"epoch": 1, "train": {"loss": 1.0}, "val": {"top1": None}}],
    }
).encode()  # fmt: skip
CLASSES = json.dumps([{"index": i, "name": n, "title": None} for i, n in enumerate("ab")]).encode()


def linear_weights(folder: Path) -> object:
    """Put the classes of a file whose members are files of a folder in the place of a network's."""
    files = {path.name: path.read_bytes() for path in folder.glob("*.npy")}
    (folder / "a.npz").write_bytes(zipped(files))
    spec = InputSpec((8, 8), (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    head = LinearHead(torch.zeros(2, 4), None)
    network = Classifier("any", torch.nn.Conv2d(3, 4, 1), head, spec)
    return with_linear_weights(network, folder / "a.npz")


def class_map(folder: Path) -> object:
    return read_classes(folder).labels


TABLE = text("path,label,split", "a.jpg,cat,train", "b.jpg,dog,train", "c.jpg,cat;dog,val")
DATA = {
    **{name: Fuzzed({"a.png": data}, (of_bytes,), decoded) for name, data in ENCODED.items()},
    "list": Fuzzed(
        {"a.csv": LABELS_CSV}, (of_tokens, of_bytes), lambda folder: read_list(folder / "a.csv")
    ),
    "list-found": Fuzzed(
        {"a.txt": text("a.png", "x/b.png", "c d.jpg", "2008_000001"), **PICTURES},
        (of_tokens, of_bytes),
        lambda folder: found_and_opened(folder, "a.txt"),
    ),
    "list-of-classes": Fuzzed(
        {"a.csv": text("file;class", "a.png;cat", "x/b.png;dog", "a.png;dog")},
        (of_tokens, of_bytes),
        lambda folder: found_and_opened(folder, "a.csv"),
    ),
    "tar-of-images": Fuzzed(
        {"a.tar": tarred(PICTURES)},
        (of_bytes, of_tar),
        lambda folder: found_and_opened(folder, "a.tar"),
    ),
    "table": Fuzzed(
        {"a.csv": TABLE, "classes.txt": text("cat", "dog")},
        (of_tokens, of_bytes),
        lambda folder: CsvData(train=folder / "a.csv", classes=folder / "classes.txt").load(0),
    ),
    "table-rows": Fuzzed(
        {"a.csv": text("a.jpg,cat", "b.jpg,dog", "c.jpg,cat", "d.jpg,cat;dog")},
        (of_tokens, of_bytes),
        lambda folder: CsvData(train=folder / "a.csv").load(0),
    ),
    "folder": Fuzzed({"names.txt": text("cat", "dog", "cat/x", "dog/x")}, (of_tokens,), folders_of),
    "shards-cls": Fuzzed({"a.tar": SHARD}, (of_tar, of_bytes), shard_data("cls")),
    "shards-json": Fuzzed({"a.tar": SHARD}, (of_tar, of_bytes), shard_data("json")),
    "shards-folder": Fuzzed({"a.tar": SHARD}, (of_tar, of_bytes), shard_data("folder")),
    "shards-texts": Fuzzed(
        {"0.cls": b"cat", "0.jpg": b"0", "0.json": b'{"label": "cat"}',
         "1.cls": b"dog", "1.jpg": b"1", "1.json": b'{"label": 7}'},
        (of_tokens, of_bytes),
        lambda folder: [shards_of_files(folder, kind) for kind in ("cls", "json")],
    ),
    "imagenet": Fuzzed(
        {"train/n01440764/a.png": b"1", "train/n02119789/b.png": b"2", "val/c.png": b"3",
         "val/d.png": b"4", "truth.txt": text("449", "1")},
        (of_tokens, of_bytes),
        lambda folder: ImageNetData(
            train=folder / "train", val=folder / "val", val_labels=folder / "truth.txt"
        ).load(0),
    ),
    "checkpoint": Fuzzed({"checkpoint.json": DESCRIPTION}, (of_json, of_bytes), read_checkpoint),
    "classes": Fuzzed({"classes.json": CLASSES}, (of_json, of_bytes), class_map),
    "linear-weights": Fuzzed(
        {"cat.npy": array(np.zeros(4)), "dog.npy": array(np.zeros(5, np.float32))},
        (of_bytes, of_tokens),
        linear_weights,
    ),
    "cub-data": Fuzzed(CUB, (of_tokens, of_bytes), lambda folder: CubData(root=folder).load(0)),
    "tiny-data": Fuzzed(
        TINY, (of_tokens, of_bytes), lambda folder: TinyImageNetData(root=folder).load(0)
    ),
}  # fmt: skip


def shards_of_files(folder: Path, kind: str) -> object:
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("[01].*"))}
    (folder / "a.tar").write_bytes(tarred(files))
    return shard_data(kind)(folder)
