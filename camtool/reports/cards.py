"""What a page holds of each image: classes with boxes and maps, true boxes, the small picture."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, final

import cv2
import numpy as np

from camtool.boxes import MultiBoxes, PaperBoxes
from camtool.errors import RunError
from camtool.metrics.protocol import matches
from camtool.paths import is_folder
from camtool.reports.markup import shown
from camtool.runs import MapFiles, read_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.boxes import SweptRule
    from camtool.reports.marks import Mark
    from camtool.structures import Box, ClassPrediction, Prediction, ScoreMap

_CLASSES: Final = 5
_FIRST: Final = 1000
_NO_MAPS: Final = (
    "its maps are not stored; `camtool localize` writes them into the folder maps/ of the run,"
    " which must lie beside its predictions.jsonl"
)
_MOST_CELLS: Final = 64 * 64
"""Larger maps would make a page of hundreds of megabytes."""
_SMALL_SIDE: Final = 48
_LARGEST_SIDE: Final = 0xFFFF
"""Of an image whose boxes follow the slider, in pixels."""


@dataclass(frozen=True, slots=True)
class Slider:
    """How the boxes of a run follow a threshold in the browser.

    Attributes:
        rule: settings of the box rule for the scripts; None where they cannot follow one.
        own: the rule's own threshold, where it is one number.
        text: what the reader is told of the own threshold.
        why: why the boxes do not follow; empty where they do.
        exact: the scripts find the boxes from the maps; otherwise they are made here, at each
            position of the slider.
    """

    rule: dict[str, Any] | None
    own: float | None = None
    text: str = "boxes as stored"
    why: str = ""
    exact: bool = True

    @classmethod
    def of(cls, rule: SweptRule | None, *, mapped: bool) -> Slider:
        """Describe a box rule, None being one without a threshold; `mapped`: maps are stored."""
        if rule is None:
            return cls(None, why="its box rule has no threshold to change, or is unknown")
        if not mapped:
            return cls(None, why=_NO_MAPS)
        own = rule.own_threshold
        number = own if isinstance(own, float) else None
        text = f"threshold {own:g}" if isinstance(own, float) else f"threshold: {own}"
        settings = rule.model_dump(mode="json")
        kept = ("name", "components", "min_area", "nms", "max_boxes")
        told = {k: settings[k] for k in kept if k in settings} | {"of_range": rule.of_range}
        exact = isinstance(rule, PaperBoxes | MultiBoxes) and rule.interpolation == "bilinear"
        return cls(told, number, text, exact=exact)


def has_maps(run: Path) -> bool:
    """Tell whether a run has its maps, by its first records."""
    if not is_folder(run / "maps"):
        return False
    first = islice(read_predictions(run), _FIRST)
    return any(p.maps and any(c.map is not None for c in p.classes) for p in first)


@final
class Cards:
    """Makes the records of one run's images.

    Attributes:
        slider: how boxes follow the threshold.
        lacking: how many maps are not stored, or cannot be used.
    """

    def __init__(self, run: Path, rule: SweptRule | None, thresholds: Sequence[float]) -> None:
        """Read the maps of `run`; boxes that the scripts cannot find are made at `thresholds`."""
        self.slider = Slider.of(rule, mapped=has_maps(run))
        self._rule = rule
        self._thresholds = np.array(thresholds, np.float64)
        self._maps = MapFiles(run)
        self.lacking = 0

    def record(self, prediction: Prediction, mark: Mark | None) -> list[list[Any]]:
        """Return the classes of an image, the best ones and those that are true.

        Returns:
            A list for each class: name, score, rank, whether it is a true class, its stored boxes
            (x0, y0, x1, y1, score), and its map, see `_map`, or None.
        """
        labels = mark.truth.labels if mark else ()
        return [
            [
                shown(found.title or found.name),
                None if found.score is None else round(found.score, 4),
                found.rank,
                int(found.target or any(matches(label, found) for label in labels)),
                [[*corners(b.box), round(b.score, 3)] for b in found.boxes],
                self._map(prediction, found),
            ]
            for number, found in enumerate(prediction.classes)
            if number < _CLASSES or found.target or any(matches(label, found) for label in labels)
        ]

    def _map(self, prediction: Prediction, found: ClassPrediction) -> dict[str, Any] | None:
        """Return a map: its cells as float32 in base64, their shape, and where they lie.

        A map that the scripts cannot follow has the boxes at all positions beside it.
        """
        if found.map is None or prediction.maps is None:
            self.lacking += 1
            return None
        try:
            score_map = self._maps.load(prediction, found.map)
        except RunError:
            self.lacking += 1
            return None
        if max(score_map.size) > _LARGEST_SIDE or not np.isfinite(score_map.region).all():
            self.lacking += 1
            return None
        small = score_map.values.size <= _MOST_CELLS
        record = {"region": score_map.region} | _cells(score_map.values)
        if self._rule is not None and not (small and self.slider.exact):
            record["at"] = self._boxes_at(score_map)
        return record

    def _boxes_at(self, score_map: ScoreMap) -> str:
        """Return the first box at each threshold, as uint16 in base64."""
        boxes = np.zeros((len(self._thresholds), 4), np.int64)
        if self._rule is not None and np.isfinite(score_map.values).all():
            boxes = self._rule.boxes_at(score_map, self._thresholds)
        return _packed(boxes.astype("<u2"))


def _cells(values: NDArray[np.float32]) -> dict[str, Any]:
    """Return the cells of a map; of one that is too large those of a smaller one, to look at."""
    if values.size > _MOST_CELLS:
        size = (min(values.shape[1], _SMALL_SIDE), min(values.shape[0], _SMALL_SIDE))
        values = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    height, width = values.shape
    return {"h": height, "w": width, "cells": _packed(values.astype("<f4"))}


def _packed(array: NDArray[Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()


def corners(box: Box) -> list[float]:
    """Return x0, y0, x1, y1, whole numbers without a fraction."""
    return [int(v) if float(v).is_integer() else v for v in box.xyxy]


def true_boxes(mark: Mark | None, prediction: Prediction) -> list[list[Any]]:
    """Return the true classes of an image, each with its name and boxes."""
    if mark is None:
        return []
    titles = {
        label: found.title or found.name
        for label in mark.truth.labels
        for found in prediction.classes
        if matches(label, found)
    }
    return [
        [shown(str(titles.get(label, label))), [corners(box) for box in boxes]]
        for label, boxes in mark.boxes_in(prediction)
    ]
