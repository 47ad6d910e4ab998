"""CSV files: boxes, a row an object, and classes without boxes, a row an image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, final

from camtool.annotations.reader import (
    NO_CLASS,
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
    image_stem,
)
from camtool.annotations.rows import box_from_corners, csv_rows, number, numbers
from camtool.errors import AnnotationError, shorten
from camtool.structures import AnnotatedObject, Annotation

if TYPE_CHECKING:
    from pathlib import Path

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


def _named(cells: list[str]) -> tuple[dict[str, int], int | None, tuple[int, ...]]:
    """Return the places of a header's cells by name, of the image's file and of classes."""
    names = {cell.lower(): i for i, cell in reversed(list(enumerate(cells)))}
    image = next((names[n] for n in FILE_COLUMNS if n in names), None)
    return names, image, tuple(names[n] for n in CLASS_COLUMNS if n in names)


@final
class CsvLabels(Reader):
    """Rows `file,class`: for `camtool localize --labels`, never taken for annotations with boxes.

    Of several class columns `wnid` counts first. Whole numbers are 0-based class indices. Without a
    header line the columns are file and class.

    Example:
        >>> from pathlib import Path
        >>> CsvLabels().read(Path("examples/labels.csv")).annotations["cat"].labels
        ('n02123045',)
    """

    summary: ClassVar[str] = "CSV of classes without boxes, a row an image"
    layout: ClassVar[str] = "file,class"
    direction: ClassVar[str] = "reads labels"

    name: Literal["csv-labels"] = "csv-labels"

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """A header with a file column, or a row of a file name and a class."""
        return probe.path.suffix.lower() == ".csv" or _header(probe.first_cells) is not None

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
    _, image, classes = _named(cells)
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
    r"""Boxes as rows `image,x0,y0,x1,y1[,label]`, with or without a header line.

    Image ids are the file names as written, without their image extension. A row that cannot
    be used leaves its image out.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("boxes.csv").write_text("image,x0,y0,x1,y1,label\na.jpg,10,20,39,24,cat\n")
        >>> CsvBoxes().read(Path("boxes.csv")).annotations["a"].boxes("cat")
        (Box(x0=10.0, y0=20.0, x1=40.0, y1=25.0),)
    """

    summary: ClassVar[str] = "CSV of boxes, a row an object"
    layout: ClassVar[str] = "image,x0,y0,x1,y1,label"

    name: Literal["csv"] = "csv"
    corners: Literal["half-open", "inclusive", "one-based"] = "inclusive"
    """`inclusive`: 0-based, both corners belong to the box, as in ImageNet's files; `half-open`:
    the far corner is just outside; `one-based`: both belong to it and the first pixel is 1."""

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """A header with box columns, or four numbers after a name."""
        return _columns(probe.first_cells) is not None

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
    names, image, classes = _named(cells)
    corners = next((c for c in _BOX_COLUMNS if all(n in names for n in c)), None)
    if image is not None and corners is not None:
        return _Columns(image, tuple(names[n] for n in corners), classes, True)
    if len(cells) in (5, 6) and cells[0]:
        try:
            for cell in cells[1:5]:
                number(cell, "corner")
        except EntryError:
            return None
        return _Columns(0, (1, 2, 3, 4), tuple(range(5, len(cells))), False)
    return None
