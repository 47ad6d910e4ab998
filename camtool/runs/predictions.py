"""Predictions as lines of `predictions.jsonl`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from camtool.errors import DataError, RunError, os_reason, shorten
from camtool.paths import is_folder, is_there
from camtool.structures import UNSURE, Box, ClassPrediction, Prediction, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_MAX_LINE: Final = 64 << 20
_MOST: Final = (1 << 31) - 2
"""Of ranks, places and sides: tables of trials hold 32 bits."""


def read_predictions(path: str | Path) -> Iterator[Prediction]:
    """Read a `predictions.jsonl`, or that of a run folder, line by line.

    Example:
        >>> line = '{"image_id": "cat", "classes": [{"name": "tabby", "score": 0.8, "boxes": []}]}'
        >>> _ = Path("predictions.jsonl").write_text(line)
        >>> [prediction.classes[0].name for prediction in read_predictions(".")]
        ['tabby']

    Raises:
        DataError: not there, or a line that is no record; names the line.
        RunError: the run folder holds an unfinished run.
    """
    path = Path(path)
    if is_folder(path):
        path = path / "predictions.jsonl"
        if not is_there(path) and is_folder(path.parent / "parts"):
            raise RunError(f"{path.parent}: an unfinished run; start it again to go on")
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if line.strip():
                    yield _record(line, f"{shorten(str(path), 200)}:{number}")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({os_reason(error)})") from error


def _record(line: bytes, place: str) -> Prediction:
    try:
        return from_json(json.loads(line))
    except KeyError as error:
        raise DataError(f"{place}: the record has no {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = shorten(str(error), 200)
        raise DataError(f"{place}: not a prediction record ({reason})") from error


def _number(value: float) -> float:
    """Six significant digits, and whole numbers without a fraction."""
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _coordinate(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _box(scored: ScoredBox) -> dict[str, float]:
    corners = dict(zip(("x0", "y0", "x1", "y1"), map(_coordinate, scored.box.xyxy), strict=True))
    record = {**corners, "score": _number(scored.score)}
    return record if scored.guess is None else {**record, "guess": scored.guess}


def _class(found: ClassPrediction) -> dict[str, Any]:
    record: dict[str, Any] = {"index": found.index, "name": found.name}
    if found.title is not None:
        record["title"] = found.title
    record["score"] = None if found.score is None else _number(found.score)
    record["rank"] = found.rank
    if found.target:
        record["target"] = True
    record["boxes"] = [_box(b) for b in found.boxes]
    if found.map is not None:
        record["map"] = found.map
    return record


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Return the record of a prediction, in the field order of the file format."""
    record: dict[str, Any] = {"image_id": prediction.image_id, "path": prediction.path}
    if prediction.size is not None:
        record["width"], record["height"] = prediction.size
    if prediction.error is not None:
        record["error"] = prediction.error
        return record
    if prediction.exif != 1:
        record["exif"] = {"orientation": prediction.exif, "upright": prediction.upright}
    record["classes"] = [_class(c) for c in prediction.classes]
    if prediction.maps is not None:
        record["maps"] = prediction.maps
    return record


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return the record as one line of UTF-8 JSON; never more than one, whatever the names hold."""
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        # A file name that is not UTF-8, which Python holds as lone surrogates.
        return json.dumps(record, allow_nan=False).encode() + b"\n"


def from_json(record: Mapping[str, Any]) -> Prediction:
    """Return the prediction of a record.

    Raises:
        KeyError, TypeError, ValueError: the record is not of this form.
    """
    size = (int(record["width"]), int(record["height"])) if "width" in record else None
    if size is not None and not 1 <= min(size) <= max(size) <= _MOST:
        raise ValueError(f"width and height are {size[0]} and {size[1]}")
    image_id, error = record["image_id"], record.get("error")
    maps = record.get("maps")
    if not isinstance(image_id, str) or not isinstance(error, str | None):
        raise TypeError("image_id and error must be texts")
    if not image_id or not isinstance(maps, str | None):
        raise ValueError("image_id must not be empty, and maps must be a text")
    classes = (
        ()
        if error is not None
        else tuple(_class_from(c, place) for place, c in enumerate(record["classes"], 1))
    )
    path, exif = str(record.get("path", image_id)), record.get("exif", {})
    orientation, upright = exif.get("orientation", 1), exif.get("upright", True)
    if type(orientation) is not int or not 1 <= orientation <= 8 or type(upright) is not bool:
        raise ValueError("exif must be {orientation: 1 to 8, upright: true or false}")
    return Prediction(image_id, path, size, classes, error, maps, orientation, upright)


def is_unsure(record: Mapping[str, Any]) -> bool:
    """Return whether a class, as a record has it, is `ClassPrediction.unsure`."""
    best = record.get("rank") == 1 and not record.get("target")
    score = record.get("score")
    return best and score is not None and score < UNSURE


def _class_from(record: Mapping[str, Any], place: int) -> ClassPrediction:
    boxes = tuple(
        ScoredBox(
            Box(*(float(b[k]) for k in ("x0", "y0", "x1", "y1"))),
            _score(b.get("score", 1)),
            _guess(b),
        )
        for b in record["boxes"]
    )
    score, title = record.get("score"), record.get("title")
    return ClassPrediction(
        name=str(record["name"]),
        score=None if score is None else _score(score),
        boxes=boxes,
        rank=_rank(record, place),
        index=_whole(record, "index"),
        title=None if title is None else str(title),
        target=bool(record.get("target", False)),
        map=_whole(record, "map"),
    )


def _score(value: object) -> float:
    """A finite number: ranks and curves have no place for NaN."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a score is {value!r}")
    return float(value)


def _rank(record: Mapping[str, Any], place: int) -> int:
    rank = _whole(record, "rank")
    if rank is not None and rank < 1:
        raise ValueError(f"a class has rank {rank}; the most probable has 1")
    return place if rank is None else rank


def _guess(record: Mapping[str, Any]) -> int | None:
    guess = _whole(record, "guess")
    if guess is not None and guess < 0:
        raise ValueError(f"a box is guess {guess}; the first is 1, and 0 is none")
    return guess


def _whole(record: Mapping[str, Any], key: str) -> int | None:
    value = record.get(key)
    if value is not None and type(value) is not int:
        raise TypeError(f"{key} must be a whole number, it is {value!r}")
    if value is not None and abs(value) > _MOST:
        raise ValueError(f"{key} is {value:.3g}, more than there can be")
    return value
