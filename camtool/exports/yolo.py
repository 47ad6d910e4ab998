"""YOLO: a text an image with normalised centres, and the `data.yaml` that trainers read.

A line is `class cx cy width height`, shares of the image's sides; an image without a box has an
empty file, which trainers take for background. The frame is upright: readers of YOLO decode
pictures with OpenCV, which turns them as EXIF says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from camtool.paths import is_file
from camtool.runs.writing import run_errors

if TYPE_CHECKING:
    from camtool.exports.selection import ExportedImage, RunBoxes
    from camtool.exports.target import Folder


def write_yolo(boxes: RunBoxes, folder: Folder) -> None:
    """Write `labels/PART/ID.txt`, links to the pictures in `images`, and `data.yaml`.

    Pictures in archives and of URLs have no link: bring them to `images` under the same names.
    """
    for image in boxes.images("upright"):
        part = "val" if boxes.selection.is_val(image.image_id) else "train"
        folder.write(f"labels/{part}/{image.image_id}.txt", _lines(image))
        _link(folder, part, image)
    val = "images/val" if boxes.selection.val_fraction else "images/train"
    data = {
        "path": str(folder.final.resolve()), "train": "images/train", "val": val,
        "names": dict(enumerate(boxes.names)),
    }  # fmt: skip
    folder.write("data.yaml", yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _lines(image: ExportedImage) -> str:
    width, height = image.size
    lines = []
    for one in image.boxes:
        box = one.box
        shares = (
            (box.x0 + box.x1) / 2 / width, (box.y0 + box.y1) / 2 / height,
            (box.x1 - box.x0) / width, (box.y1 - box.y0) / height,
        )  # fmt: skip
        lines.append(f"{one.label} {' '.join(f'{share:.9f}' for share in shares)}\n")
    return "".join(lines)


def _link(folder: Folder, part: str, image: ExportedImage) -> None:
    if not is_file(image.path):
        return
    place = folder.path / "images" / part / image.file
    with run_errors(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(Path(image.path).resolve())
