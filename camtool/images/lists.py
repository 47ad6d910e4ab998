"""List files: one image a line (`.txt`), or a table of images and classes (`.csv`)."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from camtool.errors import DataError, shorten

__all__ = ["ImageList", "read_list"]

_FILE_COLUMNS: Final = ("file", "filename", "image", "image_id", "path", "imageid")
_CLASS_COLUMNS: Final = ("wnid", "class", "label", "class_name", "name", "class_index")
_MAX_BYTES: Final = 1 << 30


@dataclass(slots=True)
class ImageList:
    """Entries by name, in file order, with the classes that the list gives; and warnings."""

    entries: dict[str, tuple[str | int, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_list(path: Path) -> ImageList:
    """Read a list of images; names are relative to the list's folder.

    A `.csv` may have a header (`file,class`, in any of the usual names); without one, every line
    is an entry. The same image twice is used once, with a warning; with another class it keeps
    none of them.

    Raises:
        DataError: not readable, not UTF-8, empty, or a line lacks its class.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{shorten(str(path))}: too large for a list of images")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise DataError(
            f"{shorten(str(path))}:{line}: not UTF-8; save the list as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{shorten(str(path))}: cannot be read ({error.strerror})") from error
    result = ImageList()
    if path.suffix.lower() == ".csv":
        _read_csv(path, text, result)
    else:
        for entry in filter(None, map(str.strip, text.split("\n"))):
            _add(result, path, entry, ())
    if not result.entries:
        why = f" ({result.warnings[0]})" if result.warnings else ""
        raise DataError(f"{shorten(str(path))}: no image in this list{why}")
    return result


def _read_csv(path: Path, text: str, result: ImageList) -> None:
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: tuple[int, int | None] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns, is_header = _columns(row)
                if is_header:
                    continue
            _add_row(result, path, reader.line_num, row, columns)
    except csv.Error as error:
        raise DataError(f"{shorten(str(path))}:{reader.line_num}: {error}") from error


def _columns(row: list[str]) -> tuple[tuple[int, int | None], bool]:
    """Which columns hold file and class, and whether `row` is a header that says so."""
    names = [cell.strip().lower() for cell in row]
    files = [names.index(n) for n in _FILE_COLUMNS if n in names]
    if not files:
        return (0, 1 if len(row) > 1 else None), False
    classes = [names.index(n) for n in _CLASS_COLUMNS if n in names]
    return (files[0], classes[0] if classes else None), True


def _add_row(
    result: ImageList, path: Path, line: int, row: list[str], columns: tuple[int, int | None]
) -> None:
    name, label = columns
    if len(row) <= max(name, label or 0):
        result.warnings.append(f"{shorten(str(path))}:{line}: too few fields; the line is left out")
        return
    text = row[label].strip() if label is not None else ""
    # Python refuses to read numbers of thousands of digits; so long a one is no index anyway.
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    _add(result, path, row[name].strip(), (value,) if text else ())


def _add(result: ImageList, path: Path, name: str, labels: tuple[str | int, ...]) -> None:
    known = result.entries.get(name)
    if known is None:
        result.entries[name] = labels
    elif known == labels:
        result.warnings.append(f"{shorten(str(path))}: '{shorten(name)}' is listed twice")
    else:
        result.warnings.append(
            f"{shorten(str(path))}: conflict: '{shorten(name)}' has the classes {known} and"
            f" {labels}; neither is used as its true class"
        )
        result.entries[name] = ()
