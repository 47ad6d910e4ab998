"""COCO: a data set (`images`, `annotations`, `categories`), and a list of results beside it.

Boxes are `[x, y, width, height]` in pixels of the image as it is stored: readers of COCO do not
look at EXIF. Lin et al., "Microsoft COCO", ECCV 2014, https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from camtool.exports.target import JsonArray, new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from camtool.exports.selection import Exported, ExportedImage, RunBoxes


def write_coco(boxes: RunBoxes, out: Path) -> list[Path]:
    """Write `out`, and its results; with a split one pair for each part, `out` being a stem.

    Returns:
        The files.
    """
    if not boxes.selection.val_fraction:
        return _pair(boxes, out, lambda _: True)
    train, val = (out.with_name(f"{out.stem}.{part}{out.suffix}") for part in ("train", "val"))
    is_val = boxes.selection.is_val
    return [*_pair(boxes, train, lambda i: not is_val(i)), *_pair(boxes, val, is_val)]


def _pair(boxes: RunBoxes, out: Path, kept: Callable[[str], bool]) -> list[Path]:
    results = out.with_name(f"{out.stem}.results{out.suffix}")
    with new_file(out) as file:
        file.write(b'{"info": {"description": "boxes made by camtool"},\n"categories": ')
        categories = [{"id": i, "name": name} for i, name in enumerate(boxes.names, 1)]
        file.write(json.dumps(categories, ensure_ascii=False).encode(errors="surrogatepass"))
        # Read twice: neither list is ever held.
        file.write(b',\n"images": ')
        _write(file, _images(boxes, kept))
        file.write(b',\n"annotations": ')
        _write(file, _annotations(boxes, kept))
        file.write(b"}\n")
    with new_file(results) as file:
        _write(file, _results(boxes, kept))
        file.write(b"\n")
    return [out, results]


def _write(file: IO[bytes], rows: Iterator[dict[str, object]]) -> None:
    array = JsonArray(file)
    for row in rows:
        array.add(json.dumps(row, ensure_ascii=True))
    array.end()


def _numbered(boxes: RunBoxes, kept: Callable[[str], bool]) -> Iterator[tuple[int, ExportedImage]]:
    images = (image for image in boxes.images("stored") if kept(image.image_id))
    return enumerate(images, 1)


def _images(boxes: RunBoxes, kept: Callable[[str], bool]) -> Iterator[dict[str, object]]:
    for number, image in _numbered(boxes, kept):
        width, height = image.size
        yield {"id": number, "file_name": str(image.file), "width": width, "height": height}


def _annotations(boxes: RunBoxes, kept: Callable[[str], bool]) -> Iterator[dict[str, object]]:
    total = 0
    for number, image in _numbered(boxes, kept):
        for one in image.boxes:
            total += 1
            yield {
                "id": total, "image_id": number, "category_id": one.label + 1,
                "bbox": xywh(one), "area": one.box.area, "iscrowd": 0,
            }  # fmt: skip


def _results(boxes: RunBoxes, kept: Callable[[str], bool]) -> Iterator[dict[str, object]]:
    for number, image in _numbered(boxes, kept):
        for one in image.boxes:
            score = 1.0 if one.score is None else one.score
            yield {
                "image_id": number, "category_id": one.label + 1, "bbox": xywh(one), "score": score,
            }  # fmt: skip


def xywh(one: Exported) -> list[float]:
    """Return a box as COCO has it: left, top, width, height."""
    box = one.box
    return [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
