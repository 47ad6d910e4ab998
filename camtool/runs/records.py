"""`Prediction` as a line of `predictions.jsonl`, and back."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["from_json", "to_json", "to_line"]


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
    if size is not None and min(size) < 1:
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
    return Prediction(image_id, str(record.get("path", image_id)), size, classes, error, maps)


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
        rank=int(record.get("rank", place)),
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


def _guess(record: Mapping[str, Any]) -> int | None:
    guess = _whole(record, "guess")
    if guess is not None and guess < 0:
        raise ValueError(f"a box is guess {guess}; the first is 1, and 0 is none")
    return guess


def _whole(record: Mapping[str, Any], key: str) -> int | None:
    value = record.get(key)
    if value is not None and type(value) is not int:
        raise TypeError(f"{key} must be a whole number, it is {value!r}")
    return value
