"""A run over drawn pictures, with maps of many shapes and true boxes: what a page shows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.boxes import PaperBoxes
from camtool.structures import Box, ClassPrediction, Prediction
from tests.builders import annotation, noise_picture, random_map, write_boxes_csv, write_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from camtool.boxes.rule import Rule
    from camtool.structures import ScoreMap

CLASSES = ("cat", "dog", "owl")
SIZES = ((90, 60), (61, 97), (48, 48), (200, 31))
SHAPES = ((7, 9), (1, 5), (12, 4), (2, 2))


@dataclass(frozen=True)
class DrawnRun:
    """A run, its true boxes, its pictures, and the maps of each image, class by class."""

    run: Path
    boxes: Path
    pictures: Path
    maps: list[list[ScoreMap]]


def names(count: int) -> list[str]:
    return [f"val/i{number:03d}" for number in range(count)]


def drawn_maps(number: int) -> list[ScoreMap]:
    """Three maps: of a whole image, or every fourth of a crop of it."""
    size, shape = SIZES[number % 4], SHAPES[number // 4 % 4]
    cropped = (size[0] * 0.1, 0.3, size[0] * 0.93, float(size[1]))
    region = cropped if number % 4 == 3 else (0.0, 0.0, float(size[0]), float(size[1]))
    return [random_map(3 * number + k, shape, size, region, mean=0.4) for k in range(3)]


def drawn_run(
    folder: Path,
    ids: Sequence[str],
    rule: Rule | None = None,
    *,
    seed: int = 0,
    maps: bool = True,
) -> DrawnRun:
    """Write pictures, a run of them, and their true boxes.

    Image k is of class k mod 3; every fourth is taken for another one. Its true box is the box of
    its map at 0.3, moved for every third.
    """
    rule = rule or PaperBoxes()
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    found, truths = [], []
    for number, image_id in enumerate(ids):
        every = drawn_maps(number + seed)
        size = every[0].size
        path = pictures / f"{number:05d}.png"
        noise_picture(size, number).save(path)
        order = [CLASSES[(number + k + (number % 4 == 1)) % 3] for k in range(3)]
        classes = tuple(
            ClassPrediction(
                name, 0.9 - 0.3 * rank, rule.boxes(every[rank], name), rank + 1, CLASSES.index(name)
            )
            for rank, name in enumerate(order)
        )
        found.append((Prediction(image_id, str(path), size, classes), every))
        true = CLASSES[number % 3]
        near = PaperBoxes(threshold=0.3).boxes(every[order.index(true)])
        box = near[0].box if near and number % 3 else Box(0, 0, size[0] // 2, size[1] // 2)
        truths.append(annotation(image_id, (true, box), size=size))
    experiment = {"localize": {"boxes": rule.model_dump(mode="json")}}
    run = write_run(folder / "run", found, CLASSES, experiment=experiment)
    (run / "experiment.yaml").write_text("run: {seed: 0}\n")
    if not maps:
        shutil.rmtree(run / "maps")
    boxes = write_boxes_csv(folder / "boxes.csv", truths)
    return DrawnRun(run, boxes, pictures, [every for _, every in found])
