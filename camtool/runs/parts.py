"""The finished pieces of an unfinished run: `START.jsonl`, and beside it `START.npz`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from camtool.errors import RunError
from camtool.runs.maps import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from camtool.structures import ScoreMap

__all__ = ["length_of", "read_parts"]


def _part_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.jsonl"))


def length_of(folder: Path) -> int:
    """Return the number of records in the parts of one shard."""
    files = _part_files(folder)
    if not files:
        return 0
    with files[-1].open("rb") as file:
        return int(files[-1].stem) + sum(1 for _ in file)


def read_parts(folder: Path) -> Iterator[tuple[dict[str, Any], list[ScoreMap]]]:
    """Yield the records of one shard in order, each with the maps of its classes.

    Raises:
        RunError: a part cannot be read.
    """
    for path in _part_files(folder):
        maps = iter(unpack(path.with_suffix(".npz")))
        try:
            with path.open("rb") as file:
                for line in file:
                    record = json.loads(line)
                    yield record, [next(maps) for _ in record.get("classes", ())]
        except (OSError, ValueError, AttributeError, StopIteration) as error:
            raise RunError(f"{path}: damaged ({error}): start again with --overwrite") from error
