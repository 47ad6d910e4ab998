"""A run with planted maps, whose best thresholds are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from camtool.annotations import AnnotationSet
from camtool.boxes import PaperBoxes
from camtool.runs import RunFolder, Shard
from camtool.structures import AnnotatedObject, Annotation, ClassPrediction, Prediction, ScoreMap

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (80, 60)
CLASSES = ("cat", "dog")


def hill(number: int) -> ScoreMap:
    """A round hill; each threshold has another box."""
    y, x = np.mgrid[:9, :9]
    cx, cy = 3 + number % 3, 3 + number // 3 % 3
    values = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 8).astype(np.float32)
    return ScoreMap(values, (0, 0, *map(float, SIZE)), SIZE)


def write_run(path: Path, images: int, *, maps: bool = True, boxes=None, wrong=()) -> Path:
    """Write a finished run; image k is a cat or a dog, and known to be but for `wrong` ones."""
    boxes = boxes or PaperBoxes()
    folder = RunFolder(path, Shard(0, 1), images, {})
    predictions, stored = [], []
    for number in range(images):
        order = CLASSES[:: 1 if (number % 2 == 0) != (number in wrong) else -1]
        found = hill(number)
        classes = tuple(
            ClassPrediction(name, 0.5, boxes.boxes(found), rank, CLASSES.index(name))
            for rank, name in enumerate(order, 1)
        )
        predictions.append(Prediction(f"i{number:03d}", f"i{number:03d}.png", SIZE, classes))
        stored.append([found] * 2)
    experiment = {"localize": {"boxes": boxes.model_dump(mode="json")}}
    rows = [{"index": i, "name": name, "title": name} for i, name in enumerate(CLASSES)]
    with folder.open("a: 1\n", lambda *_: []):
        folder.append(predictions, stored)
        folder.assemble({"schema_version": 1, "experiment": experiment, "classes": rows})
    if not maps:
        text = (path / "predictions.jsonl").read_text()
        (path / "predictions.jsonl").write_text(text.replace('"map": ', '"no_map": '))
    return path


def truths(numbers, best) -> AnnotationSet:
    """Annotations whose boxes are those of the map at the threshold `best(class)`."""
    found = {}
    for number in numbers:
        name = CLASSES[number % 2]
        (box,) = PaperBoxes(threshold=best(name)).boxes(hill(number))
        image_id = f"i{number:03d}"
        found[image_id] = Annotation(image_id, SIZE, (AnnotatedObject(name, box.box),))
    return AnnotationSet("boxes", "csv", found, [], [])


def write_csv(path: Path, annotations: AnnotationSet) -> Path:
    """Write annotations as a csv file."""
    lines = ["image,x0,y0,x1,y1,label"]
    for a in annotations.annotations.values():
        corners = ",".join(f"{c:g}" for c in a.objects[0].box.to_inclusive())
        lines.append(f"{a.image_id},{corners},{a.objects[0].label}")
    path.write_text("\n".join(lines) + "\n")
    return path
