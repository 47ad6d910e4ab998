"""Label Studio: tasks with predictions in percent, and the labelling configuration.

The frame is upright, as browsers show pictures. https://labelstud.io/guide/predictions.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from camtool.exports.target import JsonArray, new_file

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.exports.selection import Exported, ExportedImage, RunBoxes


def label_studio_files(out: Path, *, split: bool) -> list[Path]:
    """Return the files of the tasks and of the configuration; there are no parts."""
    del split
    return [out, out.with_name(f"{out.stem}.config.xml")]


def write_label_studio(boxes: RunBoxes, out: Path) -> None:
    """Write the tasks, and beside them the configuration with the classes that occur."""
    _, config = label_studio_files(out, split=False)
    used: set[int] = set()
    with new_file(out) as file:
        tasks = JsonArray(file)
        for image in boxes.images("upright"):
            used.update(one.label for one in image.boxes)
            tasks.add(json.dumps(_task(image, boxes.names)))
        tasks.end()
        file.write(b"\n")
    labels = "".join(
        f"    <Label value={quoteattr(boxes.names[label])}/>\n" for label in sorted(used)
    )
    with new_file(config) as file:
        text = (
            '<View>\n  <Image name="image" value="$image"/>\n'
            f'  <RectangleLabels name="label" toName="image">\n{labels}  </RectangleLabels>\n'
            "</View>\n"
        )
        file.write(text.encode(errors="surrogateescape"))


def _task(image: ExportedImage, names: list[str]) -> dict[str, object]:
    scores = [one.score for one in image.boxes if one.score is not None]
    prediction: dict[str, object] = {
        "model_version": "camtool", "result": [_region(image, one, names) for one in image.boxes],
    }  # fmt: skip
    if scores:
        prediction["score"] = max(scores)
    return {"data": {"image": image.path}, "predictions": [prediction]}


def _region(image: ExportedImage, one: Exported, names: list[str]) -> dict[str, object]:
    (width, height), box = image.size, one.box
    region: dict[str, object] = {
        "from_name": "label", "to_name": "image", "type": "rectanglelabels",
        "original_width": width, "original_height": height, "image_rotation": 0,
        "value": {
            "x": 100 * box.x0 / width, "y": 100 * box.y0 / height,
            "width": 100 * (box.x1 - box.x0) / width, "height": 100 * (box.y1 - box.y0) / height,
            "rotation": 0, "rectanglelabels": [names[one.label]],
        },
    }  # fmt: skip
    return region if one.score is None else {**region, "score": one.score}
