"""COCO: a data set (`images`, `annotations`, `categories`), and a list of results beside it.

Boxes are `[x, y, width, height]` in pixels of the image as it is stored: readers of COCO do not
look at EXIF. Lin et al., "Microsoft COCO", ECCV 2014, https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from camtool.exports.target import JsonArray, new_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from camtool.exports.selection import Exported, ExportedImage, RunBoxes


def coco_files(out: Path, *, split: bool) -> list[Path]:
    """Return a data set and its results; with a split a pair for each part, `out` being a stem."""
    named = [out]
    if split:
        named = [out.with_name(f"{out.stem}.{part}{out.suffix}") for part in ("train", "val")]
    return [
        f for path in named for f in (path, path.with_name(f"{path.stem}.results{path.suffix}"))
    ]


def write_coco(boxes: RunBoxes, out: Path) -> None:
    """Write the files of `coco_files`."""
    split = boxes.selection.val_fraction > 0
    files, is_val = coco_files(out, split=split), boxes.selection.is_val
    if not split:
        _pair(boxes, files[:2], lambda _: True)
        return
    _pair(boxes, files[:2], lambda image_id: not is_val(image_id))
    _pair(boxes, files[2:], is_val)


def _pair(boxes: RunBoxes, files: Sequence[Path], kept: Callable[[str], bool]) -> None:
    out, results = files
    with new_file(out) as file, new_file(results) as listed:
        file.write(b'{"info": {"description": "boxes made by camtool"},\n"categories": ')
        categories = [{"id": i, "name": name} for i, name in enumerate(boxes.names, 1)]
        file.write(json.dumps(categories, ensure_ascii=False).encode(errors="surrogatepass"))
        # The run is read twice: neither list is ever held.
        file.write(b',\n"images": ')
        images = JsonArray(file)
        for number, image in _numbered(boxes, kept):
            images.add(json.dumps(_image(number, image)))
        images.end()
        file.write(b',\n"annotations": ')
        annotations, found = JsonArray(file), JsonArray(listed)
        every = ((n, one) for n, image in _numbered(boxes, kept) for one in image.boxes)
        for total, (number, one) in enumerate(every, 1):
            annotations.add(json.dumps(_annotation(total, number, one)))
            found.add(json.dumps(_result(number, one)))
        annotations.end()
        found.end()
        file.write(b"}\n")
        listed.write(b"\n")


def _numbered(boxes: RunBoxes, kept: Callable[[str], bool]) -> Iterator[tuple[int, ExportedImage]]:
    images = (image for image in boxes.images("stored") if kept(image.image_id))
    return enumerate(images, 1)


def _image(number: int, image: ExportedImage) -> dict[str, object]:
    width, height = image.size
    return {"id": number, "file_name": str(image.file), "width": width, "height": height}


def _annotation(total: int, number: int, one: Exported) -> dict[str, object]:
    return {
        "id": total, "image_id": number, "category_id": one.label + 1,
        "bbox": xywh(one), "area": one.box.area, "iscrowd": 0,
    }  # fmt: skip


def _result(number: int, one: Exported) -> dict[str, object]:
    score = 1.0 if one.score is None else one.score
    return {"image_id": number, "category_id": one.label + 1, "bbox": xywh(one), "score": score}


def xywh(one: Exported) -> list[float]:
    """Return a box as COCO has it: left, top, width, height."""
    box = one.box
    return [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0]
