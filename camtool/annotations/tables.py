"""Lines and rows of text files: UTF-8, numbered, of bounded length."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from typing import IO, TYPE_CHECKING

from camtool.annotations.xml_files import os_reason
from camtool.errors import AnnotationError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["csv_rows", "data_lines", "decoded_lines", "file_lines"]

_LONGEST_LINE = 4 << 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def file_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of a text file.

    Raises:
        AnnotationError: it cannot be opened, is not UTF-8 (a BOM is fine), or a line is over 4 MB.
    """
    try:
        with path.open("rb") as file:
            yield from decoded_lines(file, str(path))
    except OSError as error:
        raise AnnotationError(str(path), os_reason(error)) from error


def decoded_lines(file: IO[bytes], source: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of an open file; see `file_lines`."""
    line_number = 0
    while line := file.readline(_LONGEST_LINE):
        line_number += 1
        place = f"{source}:{line_number}"
        if len(line) == _LONGEST_LINE:
            raise AnnotationError(place, f"a line of over {_LONGEST_LINE >> 20} MB")
        if line_number == 1:
            if line.startswith(_UTF16):
                raise AnnotationError(place, "wrong encoding: UTF-16; save it as UTF-8")
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            yield line_number, line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise AnnotationError(
                place, f"wrong encoding: byte 0x{byte:02x} is not UTF-8; save it as UTF-8"
            ) from error


def data_lines(path: Path, data: bytes | None = None) -> Iterator[tuple[str, str]]:
    """Yield (place, line without its end) of the lines that are not blank.

    `data` is the content where it does not come from the file itself (an archive's member).
    """
    source = str(path)
    lines = file_lines(path) if data is None else decoded_lines(io.BytesIO(data), source)
    for line_number, line in lines:
        text = line.strip("\r\n")
        if text.strip():
            yield f"{source}:{line_number}", text


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells without outer blanks) of the rows that are not blank.

    Cells are divided by commas, semicolons or tabs, whichever the first line has most of.

    Raises:
        AnnotationError: as `file_lines`, or the quoting is broken.
    """
    lines = file_lines(path)
    before, first = next(((i - 1, line) for i, line in lines if line.strip()), (0, ""))
    texts = itertools.chain([first], (line for _, line in lines))
    reader = csv.reader(texts, delimiter=max(",;\t", key=first.count), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield before + reader.line_num, cells
    except csv.Error as error:
        place = f"{path}:{before + reader.line_num}"
        raise AnnotationError(place, f"not a CSV row: {shorten(str(error))}") from error
