"""Reads what a run has written: `predictions.jsonl` and `manifest.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from camtool.errors import DataError, RunError, shorten
from camtool.runs.records import from_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from camtool.structures import Prediction

__all__ = ["read_manifest", "read_predictions"]

_MAX_LINE: Final = 64 << 20


def read_predictions(path: Path) -> Iterator[Prediction]:
    """Read a `predictions.jsonl`, or that of a run folder, line by line.

    Raises:
        DataError: not there, or a line that is no record; names the line.
        RunError: the run folder holds an unfinished run.
    """
    if path.is_dir():
        path = path / "predictions.jsonl"
        if not path.exists() and (path.parent / "parts").is_dir():
            raise RunError(f"{path.parent}: an unfinished run; start it again to go on")
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                if line.strip():
                    yield _record(line, f"{shorten(str(path), 200)}:{number}")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _record(line: bytes, place: str) -> Prediction:
    try:
        return from_json(json.loads(line))
    except KeyError as error:
        raise DataError(f"{place}: the record has no {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = shorten(str(error), 200)
        raise DataError(f"{place}: not a prediction record ({reason})") from error


def read_manifest(run: Path) -> dict[str, Any]:
    """Read the manifest of a finished run.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    path = run / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        unfinished = (run / "parts").is_dir()
        state = "an unfinished run; start it again to go on" if unfinished else "not a run folder"
        raise RunError(f"{run}: {state}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error
    if not isinstance(manifest, dict):
        raise RunError(f"{path}: not a manifest")
    return manifest
