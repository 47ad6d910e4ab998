"""CSV files: boxes, a row an object, and classes without boxes, a row an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, final

from camtool.annotations.reader import (
    NO_CLASS,
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
)
from camtool.annotations.rows import (
    Units,
    box_from_corners,
    integer,
    number,
    numbers,
    scaled_shares,
)
from camtool.errors import AnnotationError, shorten
from camtool.structures import AnnotatedObject, Annotation, Box
from camtool.tables import (
    CLASS_COLUMNS,
    FILE_COLUMNS,
    Columns,
    class_of,
    column_name,
    columns_of,
    image_set_class,
    image_stem,
    is_image_name,
    table_rows,
)

if TYPE_CHECKING:
    from pathlib import Path


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
        """A header with columns of image and class, or a row of a file name and a class."""
        if probe.folder or probe.archive:
            return False
        if probe.path.suffix.lower() == ".csv":
            return True
        try:
            return bool(columns_of(probe.first_cells, "").classes)
        except AnnotationError:
            return False

    def read(self, path: Path) -> AnnotationSet:
        """Read all classes; see `Reader.read`."""
        rows = _Rows(Collector(str(path), self.name))
        columns: Columns | None = None
        shown = image_set_class(path)
        for line, cells in table_rows(path):
            place = f"{path}:{line}"
            if columns is None:
                columns = columns_of(cells, place)
                if not columns.classes:
                    raise AnnotationError(
                        place, f"no column of classes: found {shorten(', '.join(cells))}"
                    )
                if columns.header:
                    continue
            name = cells[columns.image] if len(cells) > columns.image else ""
            label = class_of(cells, columns.classes, shown)
            if label is not None or shown is None:
                rows.add(image_stem(name), label, place)
        return rows.finish()


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


_CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("x1", "y1", "x2", "y2"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    ("left", "top", "right", "bottom"),
)
_SIDES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
    ("left", "top", "width", "height"),
)
_SIZES = (
    ("image_width", "image_height"),
    ("img_width", "img_height"),
    ("width", "height"),
)


class _Columns(NamedTuple):
    """Which columns are what: corners, or where `sides` is true left, top, width and height."""

    image: int
    box: tuple[int, ...]
    classes: tuple[int, ...]
    size: tuple[int, ...] = ()
    sides: bool = False
    header: bool = False


@final
class CsvBoxes(Reader):
    r"""Boxes as rows of a table, with or without a header line.

    A header says by name which columns are the image, the box (corners, or left, top, width and
    height), the class and the image's size. Without one, rows are `image,x0,y0,x1,y1[,label]`;
    where not all of them can be corners, the last two numbers are width and height.

    Image ids are the file names as written, without their image ending. A row that cannot be used
    leaves its image out.

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
    units: Units = "auto"
    """`pixels`, `fractions` or `percent` of the image's size, which columns of that name tell;
    `auto` sees fractions by the box."""

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """A header with box columns, or four numbers after a name."""
        return _columns(probe.first_cells) is not None

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        table = ImageTable(collector)
        sizes: dict[str, tuple[int, int]] = {}
        columns: _Columns | None = None
        for line, cells in table_rows(path):
            if columns is None:
                columns = self._first(cells, path, line, collector)
                if columns.header:
                    continue
            self._row(cells, columns, f"{path}:{line}", table, collector, sizes)
        return table.finish(sizes)

    @staticmethod
    def _first(cells: list[str], path: Path, line: int, collector: Collector) -> _Columns:
        """Return which columns are what, by the first row and, without a header, by all."""
        columns = _columns(cells)
        if columns is None:
            raise AnnotationError(
                f"{path}:{line}",
                f"no columns image,x0,y0,x1,y1 (found: {shorten(','.join(cells))}); a list of"
                " classes goes with --labels",
            )
        if columns.header or columns.sides or not _has_sides(path, columns.box):
            return columns
        collector.warnings.add(
            "no header, and some rows hold no corners: read as image,x,y,width,height", str(path)
        )
        return columns._replace(sides=True)

    def _row(
        self,
        cells: list[str],
        columns: _Columns,
        place: str,
        table: ImageTable,
        collector: Collector,
        sizes: dict[str, tuple[int, int]],
    ) -> None:
        image_id = image_stem(cells[columns.image]) if len(cells) > columns.image else ""
        if not image_id:
            collector.problem(place, "no image name in this row")
            return
        try:
            if len(cells) <= (last := max(columns.box)):
                raise EntryError(f"{len(cells)} fields, at least {last + 1} needed")
            size = _size(cells, columns.size)
            if size is not None:
                sizes[image_id] = size
            box = self._box(
                numbers([cells[i] for i in columns.box], _NAMES), columns, size, collector
            )
        except EntryError as error:
            table.fail(image_id, place, str(error))
        else:
            label = class_of(cells, columns.classes)
            table.add(image_id, NO_CLASS if label is None else label, box, place)

    def _box(
        self,
        values: list[float],
        columns: _Columns,
        size: tuple[int, int] | None,
        collector: Collector,
    ) -> Box:
        if columns.sides:
            x, y, width, height = values
            values = [x, y, x + width, y + height]
        shares = scaled_shares(values, size, self.units, collector)
        if shares is not None:
            return shares
        # Width and height leave nothing open about which pixels belong to a box.
        return box_from_corners(values, "half-open" if columns.sides else self.corners)


_NAMES = ("x0", "y0", "x1", "y1")


def _columns(cells: list[str]) -> _Columns | None:
    """Find the columns in the first row: by name, or by place where it is a row of data."""
    names = {column_name(cell): i for i, cell in reversed(list(enumerate(cells)))}
    image = next((names[n] for n in FILE_COLUMNS if n in names), None)
    if image is not None:
        for kinds, sides in ((_CORNERS, False), (_SIDES, True)):
            found = next((kind for kind in kinds if all(n in names for n in kind)), None)
            if found is not None:
                size = next((s for s in _SIZES if all(n in names for n in (*s,))), ())
                size = () if set(size) & set(found) else size
                classes = tuple(names[n] for n in CLASS_COLUMNS if n in names and names[n] != image)
                places = (tuple(names[n] for n in each) for each in (found, size))
                return _Columns(image, next(places), classes, next(places), sides, header=True)
        return None
    if len(cells) == 8 and is_image_name(cells[5]) and _all_numbers([*cells[1:5], *cells[6:]]):
        return _Columns(5, (1, 2, 3, 4), (0,), (6, 7), sides=True)  # exports of Make Sense
    if len(cells) in (5, 6) and cells[0] and _all_numbers(cells[1:5]):
        return _Columns(0, (1, 2, 3, 4), tuple(range(5, len(cells))))
    return None


def _all_numbers(cells: list[str]) -> bool:
    try:
        for cell in cells:
            number(cell, "corner")
    except EntryError:
        return False
    return True


def _has_sides(path: Path, places: tuple[int, ...]) -> bool:
    """Whether some row of a table without a header cannot hold corners."""
    for _, cells in table_rows(path):
        if len(cells) > max(places) and _all_numbers([cells[i] for i in places]):
            x0, y0, x1, y1 = (float(cells[i]) for i in places)
            if x1 < x0 or y1 < y0:
                return True
    return False


def _size(cells: list[str], places: tuple[int, ...]) -> tuple[int, int] | None:
    """Return (width, height) of the image; None where the row does not tell."""
    if not places or len(cells) <= max(places) or not all(cells[i] for i in places):
        return None
    width, height = (integer(cells[i], "image size") for i in places)
    return (width, height) if min(width, height) > 0 else None
