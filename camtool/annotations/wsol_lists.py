"""The lists of the WSOL benchmark (Choe et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.reader import (
    NO_CLASS,
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
)
from camtool.annotations.rows import box_from_corners, fit, integer, numbers
from camtool.errors import AnnotationError
from camtool.paths import is_file, is_folder
from camtool.tables import data_lines, image_stem

if TYPE_CHECKING:
    from pathlib import Path

_IDS, _CLASSES, _SIZES, _BOXES = (
    "image_ids.txt",
    "class_labels.txt",
    "image_sizes.txt",
    "localization.txt",
)


@final
class WsolLists(Reader):
    r"""A folder of the benchmark's lists, or its `localization.txt` with the lists beside it.

    Image ids are kept as written (`val/x`), without extension; labels are 0-based class indices;
    corners are 0-based and inclusive, in the frame of `image_sizes.txt`. Lines of masks instead of
    boxes (OpenImages) give objects without a box; only the protocol `pxap` opens the files.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("class_labels.txt").write_text("val/a.jpg,7\n")
        >>> _ = Path("localization.txt").write_text("val/a.jpg,10,20,39,24\n")
        >>> WsolLists().read(Path("localization.txt")).annotations["val/a"].boxes(7)
        (Box(x0=10.0, y0=20.0, x1=40.0, y1=25.0),)
    """

    summary: ClassVar[str] = "WSOL benchmark lists: the folder, or localization.txt"
    layout: ClassVar[str] = (
        "localization.txt: id,x0,y0,x1,y1 or id,mask.png,ignore.png; class_labels.txt: id,class"
    )

    name: Literal["wsol-lists"] = "wsol-lists"

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """The names of its files, or a text file with rows `id,x0,y0,x1,y1`."""
        if probe.folder:
            return _BOXES in probe.names or {_IDS, _CLASSES} <= probe.names
        fields = probe.first_line.split(",")
        if probe.path.suffix.lower() != ".txt":
            return False
        return len(fields) == 5 or _is_mask(fields)

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        boxes = path / _BOXES if is_folder(path) else path
        folder = boxes.parent
        classes = _pairs(folder / _CLASSES, collector)
        sizes = _sizes(folder / _SIZES, collector)
        table = ImageTable(collector)
        seen: set[str] = set()
        for place, line in data_lines(boxes):
            image_id, *corners = (field.strip() for field in line.split(","))
            masks = _is_mask([image_id, *corners])
            image_id = image_stem(image_id)
            seen.add(image_id)
            try:
                if masks:
                    _add_mask(table, image_id, classes.get(image_id, NO_CLASS), corners, place)
                    continue
                if len(corners) != 4 or not image_id:
                    raise EntryError(f"{len(corners) + 1} fields, 5 needed: id, x0, y0, x1, y1")
                xyxy = numbers(corners, ("x0", "y0", "x1", "y1"))
                box = box_from_corners(xyxy, "inclusive")
                box = fit(box, sizes.get(image_id), collector.warnings, place)
            except EntryError as error:
                table.fail(image_id, place, str(error))
            else:
                table.add(image_id, classes.get(image_id, NO_CLASS), box, place)
        _without_boxes(path, seen, table)
        return table.finish(sizes)


def _is_mask(fields: list[str]) -> bool:
    return len(fields) in (2, 3) and fields[1].lower().endswith(".png")


def _add_mask(
    table: ImageTable, image_id: str, label: str | int, files: list[str], place: str
) -> None:
    """Add the mask of one object; the image's first line may also name what does not count.

    Raises:
        EntryError: there is no image id, or another line than the first names an ignore mask.
    """
    mask, ignored = files[0], files[1] if len(files) > 1 else ""
    if not image_id:
        raise EntryError("a mask without an image id")
    if ignored:
        if image_id in table:
            raise EntryError("an ignore mask that is not on the image's first line")
        table.ignore(image_id, ignored)
    table.add(image_id, label, None, place, mask)


def _without_boxes(path: Path, seen: set[str], table: ImageTable) -> None:
    ids = path / _IDS
    if not (is_folder(path) and is_file(ids)):
        return
    for place, line in data_lines(ids):
        image_id = image_stem(line.strip())
        if image_id not in seen:
            table.fail(image_id, place, f"no object: {image_id} is not in {_BOXES}")


def _fields(path: Path, count: int, collector: Collector) -> list[tuple[str, str, list[str]]]:
    """Read (place, image id, other fields) of a list that may be missing."""
    rows = []
    if is_file(path):
        for place, line in data_lines(path):
            name, *rest = (field.strip() for field in line.split(","))
            if len(rest) == count and name:
                rows.append((place, image_stem(name), rest))
            else:
                collector.problem(place, f"{len(rest) + 1} fields, {count + 1} needed")
    return rows


def _pairs(path: Path, collector: Collector) -> dict[str, int]:
    labels: dict[str, int] = {}
    for place, image_id, (text,) in _fields(path, 1, collector):
        try:
            index = integer(text, "class")
        except EntryError as error:
            raise AnnotationError(place, str(error)) from error
        if labels.setdefault(image_id, index) != index:
            raise AnnotationError(place, f"{image_id} has class {index} and {labels[image_id]}")
    return labels


def _sizes(path: Path, collector: Collector) -> dict[str, tuple[int, int]]:
    sizes: dict[str, tuple[int, int]] = {}
    for place, image_id, (width, height) in _fields(path, 2, collector):
        try:
            size = integer(width, "width"), integer(height, "height")
            if min(size) < 1:
                raise EntryError(f"a size of {size[0]}×{size[1]}")
        except EntryError as error:
            collector.warnings.add("size ignored", place, str(error))
        else:
            sizes[image_id] = size
    return sizes
