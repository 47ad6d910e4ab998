"""Text tables that people keep images in: how cells are divided, and which column is what.

All readers of lists share this: images to localize, `--labels`, boxes, and what is trained on. What
a table means is decided by what its first line says; where that leaves two ways to read it, the
table is refused with the columns that were found.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from camtool.errors import AnnotationError, os_reason, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

IMAGE_ENDINGS: Final = frozenset(
    ".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .ppm .pgm .pbm .pnm .avif".split()
)
"""Endings by which a name is that of an image; what a file holds is seen when it is read."""

FILE_COLUMNS: Final = (
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_path",
    "image_file", "image_name", "img", "img_path", "img_name", "image_id", "imageid", "id",
)  # fmt: skip
"""What the column of the image is called, the surest first."""
CLASS_COLUMNS: Final = (
    "wnid", "synset", "class", "classes", "label", "labels", "class_name", "classname",
    "label_name", "labelname", "category", "category_name", "name", "target", "class_index",
    "class_id", "class_idx", "label_id", "label_index", "category_id", "class_index_cub",
)  # fmt: skip
"""What the column of the class is called; a wnid is the surest, and a row without one may still
have a name."""
SPLIT_COLUMNS: Final = ("split", "set", "subset", "partition", "phase", "fold", "data_set", "usage")
"""What the column is called that says what an image is for."""

SPLITS: Final = {
    **dict.fromkeys(("train", "training", "tr"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation", "holdout"), "test"),
}
"""Names of a data set's parts, in lower case, and which part each is."""

_LONGEST_LINE = 4 << 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CLASS = re.compile(r"n[0-9]{8}|-?[0-9]{1,6}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_DELIMITERS = ",;\t"


def image_stem(name: str) -> str:
    """Return `name` without the ending of an image format; other dots belong to the name.

    Example:
        >>> image_stem("001.Albatross/a.JPEG"), image_stem("001.Albatross")
        ('001.Albatross/a', '001.Albatross')
    """
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending.lower()}" in IMAGE_ENDINGS and stem else name


def is_image_name(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return image_stem(name) != name


def file_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line with its end) of a text file.

    Raises:
        AnnotationError: it cannot be opened, is not UTF-8 (a BOM is fine), or a line is over 4 MB.
    """
    try:
        with path.open("rb") as file:
            yield from decoded_lines(file, str(path))
    except (OSError, ValueError) as error:
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


def table_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells without outer blanks) of the rows of a table that are not blank.

    What divides the cells is seen in the first line; see `delimiter_of`. Lines of a `.txt` that
    begin with `#` and name no image are comments.

    Raises:
        AnnotationError: as `file_lines`, or the quoting is broken.
    """
    plain = path.suffix.lower() == ".txt"
    lines = (
        (number, line)
        for number, line in file_lines(path)
        if not (plain and line.lstrip().startswith("#") and not is_image_name(line.strip()))
    )
    before, first = next(((i - 1, line) for i, line in lines if line.strip()), (0, ""))
    delimiter = delimiter_of(first, whole=plain)
    rest = itertools.chain([(before + 1, first)], lines)
    if delimiter in ("", " "):
        for number, line in rest:
            if text := line.strip():
                yield number, _by_blank(text) if delimiter else [text]
        return
    reader = csv.reader((line for _, line in rest), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                yield before + reader.line_num, cells
    except csv.Error as error:
        place = f"{path}:{before + reader.line_num}"
        raise AnnotationError(place, f"not a CSV row: {shorten(str(error))}") from error


def delimiter_of(line: str, *, whole: bool = False) -> str:
    """Return what divides the cells of a table whose first line this is.

    Of comma, semicolon and tab it is the one that makes most cells that are known: names of
    columns, names of images, classes; among equals the one that is there most often. Blanks
    divide where none of these does, an image's name stands first and a class behind it.

    Example:
        >>> delimiter_of("a.jpg,cat;dog"), delimiter_of("a.jpg 281"), delimiter_of("my cat.jpg")
        (',', ' ', '')

    Args:
        line: the first line.
        whole: it may also be one name with commas in it.
    """
    text = line.strip()
    found = [d for d in _DELIMITERS if d in text]
    if whole and is_image_name(text) and not any(is_image_name(text.split(d)[0]) for d in found):
        return ""
    if not found:
        return " " if len(_by_blank(text)) > 1 else ""
    return max(found, key=lambda d: (_known(text.split(d)), text.count(d)))


def cells_of(line: str, *, whole: bool = False) -> list[str]:
    """Return the cells of a table's first line, without outer blanks and quotes.

    Args:
        line: the line.
        whole: it may also be one name with commas in it.
    """
    text = line.strip().removeprefix("\ufeff")
    delimiter = delimiter_of(text, whole=whole)
    if delimiter in ("", " "):
        return _by_blank(text) if delimiter else [text]
    return [cell.strip().strip('"') for cell in text.split(delimiter)]


def _known(cells: Sequence[str]) -> int:
    """How many cells say what they are."""
    plain = [cell.strip().strip('"') for cell in cells]
    names = {*FILE_COLUMNS, *CLASS_COLUMNS, *SPLIT_COLUMNS}
    return sum(
        column_name(c) in names or is_image_name(c) or bool(_CLASS.fullmatch(c)) for c in plain
    )


def _by_blank(text: str) -> list[str]:
    """Divide `NAME CLASS` or `NAME x0 y0 x1 y1`; a name may hold blanks, where its ending shows."""
    parts = text.split()
    for stop in range(len(parts) - 1, 0, -1):
        if is_image_name(parts[stop - 1]) and not is_image_name(parts[-1]):
            return [" ".join(parts[:stop]), *parts[stop:]]
    if len(parts) == 2 and _CLASS.fullmatch(parts[1]):
        return parts
    return [text]


def column_name(cell: str) -> str:
    """Return the name of a column as the lists of names here have it."""
    return re.sub(r"[\s\-.]+", "_", cell.strip().strip('"').lower())


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a table are what, counted from 0.

    Attributes:
        image: the image's file.
        classes: its class, in the order in which they are looked at; empty for none.
        split: what it is for, as in `SPLITS`; None for none.
        header: the first row says so, and is no row of data.
    """

    image: int
    classes: tuple[int, ...] = ()
    split: int | None = None
    header: bool = False


def columns_of(cells: Sequence[str], place: str, remedy: str = "") -> Columns:
    """Return which columns are what, by the first row of a table.

    A header says it by the names of its columns, in any order. Without one, the image is the only
    cell that is a name of an image, and the class the only other one.

    Example:
        >>> columns_of(["path", "split", "label"], "t.csv:1")
        Columns(image=0, classes=(2,), split=1, header=True)
        >>> columns_of(["a.jpg", "dog"], "t.csv:1")
        Columns(image=0, classes=(1,), split=None, header=False)

    Args:
        cells: the first row.
        place: of it, for errors.
        remedy: what else than another header would help.

    Raises:
        AnnotationError: the columns could be anything.
    """
    names = {column_name(cell): i for i, cell in reversed(list(enumerate(cells)))}
    image = next((names[n] for n in FILE_COLUMNS if n in names), None)
    if image is not None:
        classes = tuple(names[n] for n in CLASS_COLUMNS if n in names and names[n] != image)
        split = next((names[n] for n in SPLIT_COLUMNS if n in names), None)
        return Columns(image, classes, split, header=True)
    found = _without_header(cells)
    if found is not None:
        return found
    raise AnnotationError(
        place,
        f"no header that is understood: {shorten(', '.join(cells), 200)}; call the column of the"
        f" images {FILE_COLUMNS[0]} and that of the classes class{remedy}",
    )


def _without_header(cells: Sequence[str]) -> Columns | None:
    images = [i for i, cell in enumerate(cells) if is_image_name(cell)]
    if len(cells) == 1:
        return Columns(0)
    if len(cells) in (5, 6) and all(_NUMBER.fullmatch(cell) for cell in cells[1:5]):
        return Columns(0, tuple(range(5, len(cells))))  # a list of boxes
    if len(cells) != 2:
        return None
    if len(images) == 1:
        return Columns(images[0], (1 - images[0],))
    known = any(column_name(cell) in CLASS_COLUMNS for cell in cells)
    if not images and not known and _CLASS.fullmatch(cells[1]):
        return Columns(0, (1,))
    return None


def image_set_class(path: Path) -> str | None:
    """Return the class of an image set of PASCAL VOC, whose rows say -1, 0 or 1 of it.

    Example:
        >>> from pathlib import Path
        >>> image_set_class(Path("VOC2012/ImageSets/Main/dog_train.txt"))
        'dog'
    """
    name, _, part = path.stem.rpartition("_")
    named = path.parent.parent.name == "ImageSets" and part in ("train", "val", "trainval", "test")
    return name if named and name else None


def class_of(
    cells: Sequence[str], columns: Sequence[int], image_set: str | None = None
) -> str | int | None:
    """Return the class in the first of `columns` that is filled; whole numbers are indices.

    Args:
        cells: of one row.
        columns: those that may hold a class.
        image_set: the class that an image set of PASCAL VOC is about: of it 1 (and 0, for the
            difficult) says that the image shows it, -1 that it does not.
    """
    text = next((cells[i] for i in columns if i < len(cells) and cells[i]), None)
    if image_set is not None and text in ("-1", "0", "1"):
        return None if text == "-1" else image_set
    # Python refuses to read numbers of thousands of digits; so long a one is no index anyway.
    if text is not None and text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    return text
