"""Where an export goes: a file, or a folder of files, which is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Final

from camtool.errors import RunError
from camtool.paths import is_file, is_there
from camtool.runs.writing import (
    atomic_file,
    check_writable,
    make_folder,
    put_folder,
    run_errors,
    working_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path, PurePosixPath


NOTE: Final = "camtool-export.json"
"""The note in an exported folder, by which it is known as one."""


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse to write files over what is there.

    Raises:
        RunError: a file is there and nobody allowed to replace it; a folder or device is there.
    """
    for path in paths:
        if is_there(path.parent):
            check_writable(path)
        if is_there(path) and not overwrite:
            raise RunError(f"{path}: already there; --overwrite replaces it, or choose another -o")


def check_folder(path: Path, *, overwrite: bool) -> None:
    """Refuse to put a folder in place of another one; of what no export made, in any case.

    Raises:
        RunError: it is there.
    """
    if is_there(path) and not overwrite:
        raise RunError(f"{path}: already there; --overwrite replaces it, or choose another -o")
    if is_there(path) and not is_file(path / NOTE):
        raise RunError(f"{path}: there, and no export made it; move it away, or choose another -o")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Folder]:
    """Fill a folder beside `path`, which takes its place when the block ends without an error.

    Raises:
        RunError: it cannot be written.
    """
    make_folder(path.parent)
    work = working_folder(path)
    try:
        yield Folder(work, path)
        put_folder(work, path)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


@dataclass(slots=True)
class Folder:
    """A folder that is being filled; every path in it is relative and below it.

    Attributes:
        path: where it is filled.
        final: the name that it takes.
    """

    path: Path
    final: Path
    _made: set[str] = field(default_factory=set)

    def write(self, name: PurePosixPath | str, content: str) -> None:
        """Write a small file, and the folders that it lies in."""
        place = self.path / name
        with run_errors(place):
            if str(place.parent) not in self._made:
                place.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(str(place.parent))
            # An image `a.txt` and an image `a` of another ending would share a file: refused.
            try:
                handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError as error:
                raise RunError(
                    f"{name}: two images would have this file, since only the endings of their"
                    " names differ: rename one, or choose a format of one file (coco, csv)"
                ) from error
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode(errors="surrogateescape"))


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its name when the block ends without an error.

    Raises:
        RunError: it cannot be written.
    """
    make_folder(path.parent)
    with atomic_file(path) as file:
        yield file


class JsonArray:
    """A JSON array that is written element by element into an open file."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin it."""
        self._file, self._first = file, True
        file.write(b"[")

    def add(self, text: str) -> None:
        """Add an element, which is JSON already."""
        self._file.write(b"\n" if self._first else b",\n")
        self._file.write(text.encode(errors="surrogatepass"))
        self._first = False

    def end(self) -> None:
        """End it."""
        self._file.write(b"\n]")
