"""CSV with boxes: a row an object."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, final

from camtool.annotations.collection import (
    NO_CLASS,
    AnnotationSet,
    Collector,
    EntryError,
    ImageTable,
    image_stem,
)
from camtool.annotations.corners import box_from_corners, number, numbers
from camtool.annotations.csv_labels import CLASS_COLUMNS, FILE_COLUMNS, class_of
from camtool.annotations.reader import Reader, Sight
from camtool.annotations.tables import csv_rows
from camtool.errors import AnnotationError, shorten

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CsvBoxes"]

_BOX_COLUMNS = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
)


class _Columns(NamedTuple):
    image: int
    corners: tuple[int, ...]
    classes: tuple[int, ...]
    header: bool


@final
class CsvBoxes(Reader):
    """Boxes as rows `image,x0,y0,x1,y1[,label]`, with or without a header line.

    Image ids are the file names as written, without their image extension. A row that cannot
    be used leaves its image out.
    """

    summary: ClassVar[str] = "CSV of boxes, a row an object"
    layout: ClassVar[str] = "image,x0,y0,x1,y1,label"

    name: Literal["csv"] = "csv"
    corners: Literal["half-open", "inclusive", "one-based"] = "inclusive"
    """`inclusive`: 0-based, both corners belong to the box, as in ImageNet's files; `half-open`:
    the far corner is just outside; `one-based`: both belong to it and the first pixel is 1."""

    @classmethod
    def recognises(cls, sight: Sight) -> bool:
        """A header with box columns, or four numbers after a name."""
        line = sight.first_line
        cells = [c.strip().strip('"') for c in line.split(max(",;\t", key=line.count))]
        return _columns(cells) is not None

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        table = ImageTable(collector)
        columns: _Columns | None = None
        for line, cells in csv_rows(path):
            if columns is None:
                columns = _columns(cells)
                if columns is None:
                    raise AnnotationError(
                        f"{path}:{line}",
                        "no columns image,x0,y0,x1,y1 (found: "
                        f"{shorten(','.join(cells))}); a list of classes goes with --labels",
                    )
                if columns.header:
                    continue
            self._row(cells, columns, f"{path}:{line}", table, collector)
        return table.finish()

    def _row(
        self,
        cells: list[str],
        columns: _Columns,
        place: str,
        table: ImageTable,
        collector: Collector,
    ) -> None:
        image_id = image_stem(cells[columns.image]) if len(cells) > columns.image else ""
        if not image_id:
            collector.problem(place, "no image name in this row")
            return
        try:
            if len(cells) <= max(columns.corners):
                raise EntryError(f"{len(cells)} fields, at least {max(columns.corners) + 1} needed")
            texts = [cells[i] for i in columns.corners]
            box = box_from_corners(numbers(texts, ("x0", "y0", "x1", "y1")), self.corners)
        except EntryError as error:
            table.fail(image_id, place, str(error))
        else:
            label = class_of(cells, columns.classes)
            table.add(image_id, NO_CLASS if label is None else label, box, place)


def _columns(cells: list[str]) -> _Columns | None:
    """Find the columns in the first row: by name, or by place where it is a row of data."""
    names = {cell.lower(): i for i, cell in reversed(list(enumerate(cells)))}
    image = next((names[n] for n in FILE_COLUMNS if n in names), None)
    corners = next((c for c in _BOX_COLUMNS if all(n in names for n in c)), None)
    if image is not None and corners is not None:
        classes = tuple(names[n] for n in CLASS_COLUMNS if n in names)
        return _Columns(image, tuple(names[n] for n in corners), classes, True)
    if len(cells) in (5, 6) and cells[0]:
        try:
            for cell in cells[1:5]:
                number(cell, "corner")
        except EntryError:
            return None
        return _Columns(0, (1, 2, 3, 4), tuple(range(5, len(cells))), False)
    return None
