"""A threshold that was chosen on annotated images, kept in the run: `threshold.json`."""

from __future__ import annotations

import importlib.metadata
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from camtool.errors import RunError, shorten
from camtool.paths import is_folder
from camtool.runs.writing import write_atomically

_NAME: Final = "threshold.json"
_SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ChosenOn:
    """What a threshold was chosen on.

    Attributes:
        annotations: path of the true boxes.
        run: the run whose maps were used.
        protocol: by which protocol boxes were judged.
        metric: the figure that is best at the threshold, on these images.
        accuracy: this figure there, as an accuracy in percent.
        iou: intersection over union from which on a box was right.
        image_ids: the images, in order; a figure on any of them is no honest one.
    """

    annotations: str
    run: str
    protocol: str
    metric: str
    accuracy: float
    iou: float
    image_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredThreshold:
    """A threshold and where it comes from.

    Example:
        >>> chosen_on = ChosenOn("val.xml", "run", "ilsvrc", "gt_known", 61.5, 0.5, ("a", "b"))
        >>> StoredThreshold(0.25, chosen_on, classes={"cat": 0.3}).classes["cat"]
        0.3

    Attributes:
        value: the threshold, in [0, 1).
        chosen_on: see there.
        boxes: settings of the box rule that it is for, as JSON data; None for the contours of the
            map protocols.
        classes: thresholds of single classes, by name; all others have `value`.
        min_images: with thresholds of classes, how many images a class needed for its own.
        at_iou: for the map protocols, the threshold by intersection over union in percent.
        version: the version of camtool that chose it.
    """

    value: float
    chosen_on: ChosenOn
    boxes: dict[str, Any] | None = None
    classes: dict[str, float] = field(default_factory=dict)
    min_images: int | None = None
    at_iou: dict[int, float] = field(default_factory=dict)
    version: str = field(default_factory=lambda: importlib.metadata.version("camtool"))

    def __post_init__(self) -> None:
        """Check the thresholds."""
        every = [self.value, *self.classes.values(), *self.at_iou.values()]
        if not all(0 <= v < 1 for v in every):
            raise ValueError("a threshold is not in [0, 1)")
        if not math.isfinite(self.chosen_on.accuracy):
            raise ValueError("chosen_on.accuracy is no number")


def write_threshold(run: Path, threshold: StoredThreshold) -> Path:
    """Write `threshold.json` into a run folder, whole or not at all; returns its path.

    Example:
        >>> from pathlib import Path
        >>> chosen_on = ChosenOn("val.xml", "run", "ilsvrc", "gt_known", 61.5, 0.5, ("a", "b"))
        >>> path = write_threshold(Path.cwd(), StoredThreshold(0.25, chosen_on))
        >>> read_threshold(path).value
        0.25

    Raises:
        RunError: it cannot be written.
    """
    record = {"schema_version": _SCHEMA_VERSION, **asdict(threshold)}
    record["chosen_on"]["images"] = len(threshold.chosen_on.image_ids)
    # Long; so it comes last.
    record["chosen_on"]["image_ids"] = record["chosen_on"].pop("image_ids")
    path = run / _NAME
    write_atomically(path, json.dumps(record, indent=2, ensure_ascii=True) + "\n")
    return path


def read_threshold(path: str | Path) -> StoredThreshold | None:
    """Read the threshold that is stored in a run folder, or in a file; None where there is none.

    Example:
        >>> from pathlib import Path
        >>> chosen_on = ChosenOn("val.xml", "run", "ilsvrc", "gt_known", 61.5, 0.5, ("a", "b"))
        >>> path = write_threshold(Path.cwd(), StoredThreshold(0.25, chosen_on))
        >>> read_threshold(path).value
        0.25

    Raises:
        RunError: it cannot be read.
    """
    path = Path(path)
    if is_folder(path):
        path = path / _NAME
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = shorten(".".join(str(part) for part in first["loc"]))
        why = f"{place}: {first['msg']}" if place else first["msg"]
    except (OSError, ValueError, RecursionError) as error:
        why = shorten(str(error), 200)
    raise RunError(
        f"{shorten(str(path), 200)}: not a readable threshold ({why}); choose it again with"
        " `camtool eval RUN --calibrate-on PATH`"
    )


def _parsed(text: bytes) -> StoredThreshold:
    record = json.loads(text)
    version = record.get("schema_version") if isinstance(record, dict) else None
    if version != _SCHEMA_VERSION:
        raise ValueError(f"schema version {shorten(str(version))}, not {_SCHEMA_VERSION}")
    return TypeAdapter(StoredThreshold).validate_json(text, strict=True)
