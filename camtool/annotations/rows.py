"""Lines, rows, numbers and corners of annotation files, checked before they become boxes.

Text is UTF-8; lines are numbered and of bounded length.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from typing import IO, TYPE_CHECKING, Literal

from camtool.annotations.archives import os_reason
from camtool.annotations.reader import EntryError
from camtool.errors import AnnotationError, shorten
from camtool.geometry import clip
from camtool.structures import Box

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from camtool.annotations.reader import WarningLog

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


Corners = Literal["half-open", "inclusive", "one-based"]
"""How corners are meant: 0-based with the far corner outside, 0-based with both corners in the box,
or 1-based with both corners in the box."""

_FAR = 1e9  # larger than any image, and exact in every kind of arithmetic
# Not float(): that takes underscores, digits of other scripts, nan and inf.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_CONVERT = {"half-open": Box, "inclusive": Box.from_inclusive, "one-based": Box.from_one_based}
CLIPPED = "box clipped to the image"


def number(text: str, what: str) -> float:
    """Read one ASCII decimal number.

    Raises:
        EntryError: it is none, or beyond ±1e9.
    """
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    stripped = text.strip()
    if not _NUMBER.fullmatch(stripped):
        raise EntryError(f"{what} is not a number: {shorten(stripped, 40) or 'empty'}")
    value = float(stripped)
    if not -_FAR <= value <= _FAR:
        raise EntryError(f"{what} is out of range: {shorten(stripped, 40)}")
    return value


def numbers(texts: Sequence[str], names: Sequence[str]) -> list[float]:
    """Read several numbers, each with its name for the message."""
    return [number(text, name) for text, name in zip(texts, names, strict=True)]


def integer(text: str, what: str) -> int:
    """Read one ASCII whole number.

    Raises:
        EntryError: it is none, or beyond ±1e9.
    """
    value = number(text, what)
    if not value.is_integer():
        raise EntryError(f"{what} is not a whole number: {shorten(text.strip(), 40)}")
    return int(value)


def box_from_corners(xyxy: Sequence[float], corners: Corners) -> Box:
    """Make a box of (x0, y0, x1, y1); inclusive corners that are equal cover one pixel.

    Raises:
        EntryError: the far corner comes before the near one; the corners are never swapped.
    """
    x0, y0, x1, y1 = xyxy
    if x1 < x0:
        raise EntryError(f"xmax ({x1:g}) is less than xmin ({x0:g})")
    if y1 < y0:
        raise EntryError(f"ymax ({y1:g}) is less than ymin ({y0:g})")
    if corners == "half-open" and (x0 == x1 or y0 == y1):
        raise EntryError(f"the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) is empty")
    return _CONVERT[corners](x0, y0, x1, y1)


def fit(box: Box, size: tuple[int, int] | None, warnings: WarningLog, place: str) -> Box:
    """Clip `box` to an image of `size` (width, height), where that is known.

    A far side that is one pixel out is clipped without a word: files that mix the 0-based and the
    1-based convention are full of them.

    Raises:
        EntryError: the box lies wholly outside.
    """
    if size is None or (box.x0 >= 0 and box.y0 >= 0 and box.x1 <= size[0] and box.y1 <= size[1]):
        return box
    inside = clip(box, size)
    corners = ", ".join(f"{v:g}" for v in box.xyxy)
    if inside is None:
        raise EntryError(f"box [{corners}) lies wholly outside the {size[0]}×{size[1]} image")
    if min(box.x0, box.y0) < 0 or box.x1 > size[0] + 1 or box.y1 > size[1] + 1:
        warnings.add(CLIPPED, place, f"[{corners}) in {size[0]}×{size[1]}")
    return inside
