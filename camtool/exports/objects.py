"""Boxes as objects of other packages: records, a table of pandas, detections of supervision.

One box is one row, in whatever form. Corners mean the same in all of them: half-open, in pixels, so
`x1 - x0` is the width, which is supervision's convention too.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.errors import SettingsError
from camtool.exports.selection import RunBoxes, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pandas
    import supervision

    from camtool.structures import ClassPrediction, Prediction

    Label = Callable[[ClassPrediction], str]
    Place = Callable[[ClassPrediction], int | None]


@dataclass(frozen=True)
class Run:
    """A finished run of `camtool localize`, whose boxes become records, a table or detections.

    Example:
        >>> from camtool import localize
        >>> run = Run(localize("examples/images/cat.jpg").folder, Selection(classes="top-1"))
        >>> [(r["image"], r["label"], r["x0"], r["x1"]) for r in run.records()]
        [('cat', 'Egyptian cat', 0.0, 380.0)]

    Boxes are in the picture's upright frame, turned as its EXIF block says, as OpenCV and browsers
    show it.

    Attributes:
        folder: the run.
        selection: which boxes; by default all that are stored.
    """

    folder: str | Path
    selection: Selection = field(default_factory=lambda: Selection(classes="all"))

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield a record a box, image after image; see `Localization.records` for its fields.

        Raises:
            RunError: no finished run, or one whose records or maps cannot be read.
            SettingsError: the selection has a threshold, and the run's box rule none.
            DataError: a class that is not among the network's.
        """
        boxes = self._boxes()
        for prediction in boxes.predictions("upright"):
            yield from box_records(prediction, _naming(boxes, prediction)[0])

    def to_pandas(self) -> pandas.DataFrame:
        """Return the records as a table, a row a box.

        Raises:
            SettingsError: pandas is missing; or as for `records`.
            RunError, DataError: as for `records`.
        """
        return to_pandas(self.records())

    def to_supervision(self) -> supervision.DetectionDataset:
        """Return the run as a data set of supervision, which opens the pictures when asked for one.

        All images that could be read are in it, those without a box too; `class_id` counts the
        network's classes. Pictures that are in archives or behind URLs have their detections, but
        cannot be opened by supervision.

        Raises:
            SettingsError: supervision is missing; or as for `records`.
            RunError, DataError: as for `records`.
        """
        package, boxes = _package("supervision"), self._boxes()
        images = {
            prediction.path: to_supervision(prediction, *_naming(boxes, prediction))
            for prediction in boxes.predictions("upright")
        }
        result: supervision.DetectionDataset = package.DetectionDataset(
            list(boxes.names), list(images), images
        )
        return result

    def _boxes(self) -> RunBoxes:
        return RunBoxes(Path(self.folder), self.selection)


def _naming(boxes: RunBoxes, prediction: Prediction) -> tuple[Label, Place]:
    """Return what calls the classes of an image in a run, and what numbers them."""

    def place(found: ClassPrediction) -> int:
        return boxes.label(prediction, found)

    return lambda found: boxes.names[place(found)], place


def box_records(prediction: Prediction, label: Label) -> list[dict[str, Any]]:
    """Return a record for each box of an image, class after class, the strongest first."""
    width, height = prediction.size or (None, None)
    return [
        {
            "image": prediction.image_id, "path": prediction.path, "width": width,
            "height": height, "label": label(found), "name": found.name, "index": found.index,
            "rank": found.rank, "score": found.score, "target": found.target,
            **dict(zip(("x0", "y0", "x1", "y1"), map(float, scored.box.xyxy), strict=True)),
            "box_score": scored.score,
        }
        for found in prediction.classes
        for scored in found.boxes
    ]  # fmt: skip


_COLUMNS = (
    "image", "path", "width", "height", "label", "name", "index", "rank", "score", "target",
    "x0", "y0", "x1", "y1", "box_score",
)  # fmt: skip


def to_pandas(records: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    """Return records as a table, with its columns also where there is no record.

    Raises:
        SettingsError: pandas is missing.
    """
    return _package("pandas").DataFrame(list(records), columns=list(_COLUMNS))


def to_supervision(prediction: Prediction, label: Label, place: Place) -> supervision.Detections:
    """Return the boxes of an image as detections of supervision.

    Args:
        prediction: the image.
        label: what a class is called.
        place: its index, which becomes `class_id`.

    Raises:
        SettingsError: supervision is missing.
    """
    package = _package("supervision")
    rows = [(found, scored) for found in prediction.classes for scored in found.boxes]
    scores = [found.score for found, _ in rows]
    indices = [place(found) for found, _ in rows]
    result: supervision.Detections = package.Detections(
        xyxy=np.array([b.box.xyxy for _, b in rows], np.float32).reshape(-1, 4),
        # Sources other than camtool's networks may lack either.
        confidence=None if None in scores else np.array(scores, np.float32),
        class_id=None if None in indices else np.array(indices, int),
        data={"class_name": np.array([label(found) for found, _ in rows], str)},
    )
    return result


def _package(name: str) -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"to_{name}: the package is missing: pip install 'camtool[{name}]'"
        ) from error
