"""The finished parts of one shard of an unfinished run.

A part is `START-RUN.jsonl`, the records from START on, and the `.npz` of the same name, their maps.
RUN says of which run it is. A part exists once its `.jsonl` does, which is renamed into place last;
what a kill leaves behind without one is written again.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, final

from camtool.errors import RunError
from camtool.runs.maps import pack, unpack
from camtool.runs.predictions import to_json, to_line
from camtool.runs.writing import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from camtool.structures import Prediction, ScoreMap


def run_mark(identity: Mapping[str, Any]) -> str:
    """Return what the parts of a run carry: eight hexadecimal digits of its identity's hash."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]


@final
class Parts:
    """The folder of a shard's parts."""

    def __init__(self, folder: Path, mark: str) -> None:
        """Describe it; nothing is touched.

        Args:
            folder: of this shard.
            mark: of the run, from `run_mark`.
        """
        self.folder = folder
        self.mark = mark

    def length(self) -> int:
        """Return the number of records in all parts.

        Raises:
            RunError: a part is of another run.
        """
        files = self._files()
        if not files:
            return 0
        with files[-1].open("rb") as file:
            return _start(files[-1]) + sum(1 for _ in file)

    def append(self, predictions: Sequence[Prediction], maps: Sequence[Sequence[ScoreMap]]) -> None:
        """Add a part: predictions in order, and for each the maps of its classes.

        Raises:
            RunError: it cannot be written, or another process writes the same shard.
        """
        start = self.folder / f"{self.length():08d}-{self.mark}"
        write_atomically(start.with_suffix(".npz"), pack([m for each in maps for m in each]))
        records = b"".join(to_line(to_json(p)) for p in predictions)
        write_atomically(start.with_suffix(".jsonl"), records)

    def read(self) -> Iterator[tuple[dict[str, Any], list[ScoreMap]]]:
        """Yield the records in order, each with the maps of its classes.

        Raises:
            RunError: a part cannot be read, is of another run, or does not begin where the one
                before it ends.
        """
        number = 0
        for path in self._files():
            if _start(path) != number:
                raise damaged(path, f"it does not go on from record {number:,}")
            maps = iter(unpack(path.with_suffix(".npz")))
            try:
                with path.open("rb") as file:
                    for line in file:
                        record = json.loads(line)
                        yield record, [next(maps) for _ in record.get("classes", ())]
                        number += 1
            except (OSError, ValueError, AttributeError, StopIteration) as error:
                raise damaged(path, str(error)) from error

    def _files(self) -> list[Path]:
        files = sorted(self.folder.glob("[0-9]*.jsonl"))
        for path in files:
            if not path.stem.endswith(f"-{self.mark}"):
                raise damaged(path, "of a run with other settings or inputs")
        return files


def damaged(path: Path, reason: str) -> RunError:
    """Return the error of a part that cannot be joined with the others."""
    return RunError(f"{path}: damaged ({reason}): start again with --overwrite")


def _start(path: Path) -> int:
    return int(path.stem.partition("-")[0])
