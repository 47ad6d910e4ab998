"""Tables: CSV, the guess file of the ILSVRC development kit, and Kaggle's submission.

CSV has left, top, width and height in pixels of the upright image: widths leave no doubt about the
last pixel, of which readers of corners think differently. The other two have corners that both
belong to the box, counted from 0, in the frame of the stored image, and at most five guesses an
image.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from camtool.annotations.classes import IMAGENET
from camtool.errors import DataError, shorten
from camtool.exports.coco import xywh
from camtool.exports.target import new_file

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.exports.selection import Exported, ExportedImage, RunBoxes

_GUESSES: Final = 5
_HEAD: Final = ("image", "label", "score", "x", "y", "w", "h", "image_width", "image_height")


def write_csv(boxes: RunBoxes, out: Path) -> None:
    """Write a row for each box, with a column `split` where there is one."""
    split = boxes.selection.val_fraction > 0
    with new_file(out) as file:
        file.write(_row([*_HEAD, *(("split",) if split else ())]))
        for image in boxes.images("upright"):
            part = "val" if boxes.selection.is_val(image.image_id) else "train"
            for one in image.boxes:
                score = "" if one.score is None else repr(one.score)
                sides = (f"{value:.10g}" for value in xywh(one))
                row = [str(image.file), boxes.names[one.label], score, *sides, *image.size]
                file.write(_row([*row, part] if split else row))


def _row(cells: list[object] | list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue().encode(errors="surrogateescape")


def write_ilsvrc(boxes: RunBoxes, out: Path) -> None:
    """Write a line an image in the order of their names: `id xmin ymin xmax ymax` up to five times.

    Raises:
        DataError: a class that is none of ILSVRC's.
    """
    ids = [_ilsvrc_id(name) for name in boxes.classes.names]
    # The order of the lines is all that names the images: they are held until all are read.
    lines = sorted(
        (image.image_id, " ".join(_guess(str(ids[one.label]), one) for one in _first(image)))
        for image in boxes.images("stored")
    )
    with new_file(out) as file:
        file.writelines(f"{line}\n".encode() for _, line in lines)


def write_kaggle(boxes: RunBoxes, out: Path) -> None:
    """Write `ImageId,PredictionString` with `wnid xmin ymin xmax ymax` up to five times an image.

    Raises:
        DataError: a class whose name has blanks, which the form cannot hold.
    """
    for name in boxes.classes.names:
        if len(name.split()) != 1:
            raise DataError(f"{shorten(name)}: Kaggle's form takes no class with blanks: use csv")
    with new_file(out) as file:
        file.write(b"ImageId,PredictionString\n")
        for image in boxes.images("stored"):
            names = boxes.classes.names
            guesses = " ".join(_guess(names[one.label], one) for one in _first(image))
            file.write(_row([image.image_id.rpartition("/")[2], guesses]))


def _first(image: ExportedImage) -> list[Exported]:
    """Return the strongest box of each of the first five classes."""
    by_class: dict[int, Exported] = {}
    for one in image.boxes:
        by_class.setdefault(one.label, one)
    return list(by_class.values())[:_GUESSES]


def _guess(name: str, one: Exported) -> str:
    return " ".join([name, *(f"{value:.10g}" for value in one.box.to_inclusive())])


def _ilsvrc_id(name: str) -> int:
    known = IMAGENET.by_wnid(name)
    if known is None:
        raise DataError(
            f"{shorten(name)}: no class of ILSVRC 2012, whose guess file has numbers for these"
            " only: export csv or kaggle"
        )
    return known.ilsvrc_id
