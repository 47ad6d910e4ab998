"""VOC: an XML an image, mirrored folders, and lists of the parts.

Corners are pixels that belong to the box: the first is 1 where classes have names of their own, as
in PASCAL VOC, and 0 where they are wnids, as in ImageNet's files. The frame is that of the stored
image, since readers of VOC do not look at EXIF. Everingham et al., IJCV 2010.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from camtool.errors import DataError, shorten

if TYPE_CHECKING:
    from camtool.exports.selection import ExportedImage, RunBoxes
    from camtool.exports.target import Folder

_WNID: Final = re.compile(r"n\d{8}")
_NO_XML: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def write_voc(boxes: RunBoxes, folder: Folder) -> None:
    """Write `Annotations/ID.xml`; with a split `train.txt` and `val.txt` in `ImageSets/Main`.

    Raises:
        DataError: a name that XML cannot hold.
    """
    # As the readers of both forms tell them apart.
    first = 0 if all(_WNID.fullmatch(name) for name in boxes.names) else 1
    parts: dict[str, list[str]] = {"train": [], "val": []}
    for image in boxes.images("stored"):
        text = _annotation(image, boxes.names, first)
        folder.write(f"Annotations/{image.image_id}.xml", text)
        parts["val" if boxes.selection.is_val(image.image_id) else "train"].append(image.image_id)
    if boxes.selection.val_fraction:
        for part, ids in parts.items():
            folder.write(f"ImageSets/Main/{part}.txt", "".join(f"{i}\n" for i in ids))


def _annotation(image: ExportedImage, names: list[str], first: int) -> str:
    width, height = image.size
    folder, _, file = str(image.file).rpartition("/")
    objects = "".join(
        f"  <object>\n    <name>{_text(names[one.label])}</name>\n    <pose>Unspecified</pose>\n"
        "    <truncated>0</truncated>\n    <difficult>0</difficult>\n    <bndbox>\n"
        f"      <xmin>{one.box.x0 + first:.10g}</xmin>\n"
        f"      <ymin>{one.box.y0 + first:.10g}</ymin>\n"
        f"      <xmax>{one.box.x1 - 1 + first:.10g}</xmax>\n"
        f"      <ymax>{one.box.y1 - 1 + first:.10g}</ymax>\n    </bndbox>\n  </object>\n"
        for one in image.boxes
    )
    return (
        f"<annotation>\n  <folder>{_text(folder)}</folder>\n  <filename>{_text(file)}</filename>\n"
        f"  <size>\n    <width>{width}</width>\n    <height>{height}</height>\n"
        f"    <depth>3</depth>\n  </size>\n  <segmented>0</segmented>\n{objects}</annotation>\n"
    )


def _text(text: str) -> str:
    if _NO_XML.search(text):
        raise DataError(f"{shorten(repr(text))}: XML cannot hold this name; rename, or export coco")
    return escape(text)
