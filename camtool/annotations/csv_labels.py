"""CSV with a class for each image and no boxes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.collection import AnnotationSet, Collector, image_stem
from camtool.annotations.reader import Reader, Sight
from camtool.annotations.tables import csv_rows
from camtool.errors import AnnotationError, shorten
from camtool.structures import AnnotatedObject, Annotation

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CLASS_COLUMNS", "FILE_COLUMNS", "CsvLabels", "class_of"]

FILE_COLUMNS = ("file", "filename", "file_name", "image", "image_id", "imageid", "path")
# In this order, cell by cell: a wnid is the surest, and a row without one may still have a name.
CLASS_COLUMNS = (
    "wnid",
    "class",
    "label",
    "class_name",
    "name",
    "class_index",
    "class_id",
    "class_index_cub",
)
_IMAGE_NAME = re.compile(r".+\.[A-Za-z]{3,4}")
_CLASS = re.compile(r"n[0-9]{8}|[0-9]{1,6}")


def class_of(cells: list[str], columns: tuple[int, ...]) -> str | int | None:
    """Return the class in the first of `columns` that is filled; whole numbers are indices."""
    text = next((cells[i] for i in columns if i < len(cells) and cells[i]), None)
    if text is not None and text.isascii() and text.isdigit() and len(text) < 7:
        return int(text)
    return text


@final
class CsvLabels(Reader):
    """Rows `file,class`: for `camtool localize --labels`, never taken for annotations with boxes.

    Of several class columns `wnid` counts first. Whole numbers are 0-based class indices. Without a
    header line the columns are file and class.
    """

    summary: ClassVar[str] = "CSV of classes without boxes, a row an image"
    layout: ClassVar[str] = "file,class"
    direction: ClassVar[str] = "reads labels"

    name: Literal["csv-labels"] = "csv-labels"

    @classmethod
    def recognises(cls, sight: Sight) -> bool:
        """A header with a file column, or a row of a file name and a class."""
        line = sight.first_line
        cells = [c.strip().strip('"') for c in line.split(max(",;\t", key=line.count))]
        return sight.path.suffix.lower() == ".csv" or _header(cells) is not None

    def read(self, path: Path) -> AnnotationSet:
        """Read all classes; see `Reader.read`."""
        rows = _Rows(Collector(str(path), self.name))
        columns: tuple[int, tuple[int, ...]] | None = None
        for line, cells in csv_rows(path):
            place = f"{path}:{line}"
            if columns is None:
                columns = _header(cells)
                if columns is not None:
                    continue
                columns = _data_columns(cells, place)
            image, classes = columns
            name = cells[image] if len(cells) > image else ""
            rows.add(image_stem(name), class_of(cells, classes), place)
        return rows.finish()


def _header(cells: list[str]) -> tuple[int, tuple[int, ...]] | None:
    names = {cell.lower(): i for i, cell in reversed(list(enumerate(cells)))}
    image = next((names[n] for n in FILE_COLUMNS if n in names), None)
    classes = tuple(names[n] for n in CLASS_COLUMNS if n in names)
    return None if image is None or not classes else (image, classes)


def _data_columns(cells: list[str], place: str) -> tuple[int, tuple[int, ...]]:
    """Read the first row as data, so that its image is not lost; refuse where that is doubtful."""
    if len(cells) == 2 and (_IMAGE_NAME.fullmatch(cells[0]) or _CLASS.fullmatch(cells[1])):
        return 0, (1,)
    raise AnnotationError(
        place,
        f"no header `file,class`: found {shorten(','.join(cells))}; the class may be in a column "
        f"named {', '.join(CLASS_COLUMNS[:5])} or class_index",
    )


class _Rows:
    """One class an image: repeated rows are counted once, contradictions left out."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._rows: dict[str, tuple[str | int, str]] = {}
        self._conflicts: dict[str, str] = {}

    def add(self, image_id: str, label: str | int | None, place: str) -> None:
        if not image_id or label is None:
            self._collector.problem(place, "no class in this row" if image_id else "no file name")
            return
        first, seen = self._rows.setdefault(image_id, (label, place))
        if seen is place:
            return
        name = shorten(image_id)
        if first == label:
            self._collector.warnings.add("listed twice, counted once", place, f"{name}, as {seen}")
        elif image_id not in self._conflicts:
            self._conflicts[image_id] = place
            self._collector.problem(
                place, f"{name} has class {label} here and {first} at {seen}: left out"
            )

    def finish(self) -> AnnotationSet:
        for image_id, (label, place) in self._rows.items():
            if image_id not in self._conflicts:
                found = Annotation(image_id, None, (AnnotatedObject(label, None),))
                self._collector.add(found, place)
        return self._collector.finish()
