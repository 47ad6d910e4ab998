"""CUB-200-2011: four lists joined by image number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.reader import (
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
)
from camtool.annotations.rows import integer, numbers
from camtool.errors import AnnotationError
from camtool.structures import Box
from camtool.tables import data_lines, image_stem

if TYPE_CHECKING:
    from pathlib import Path

_FILES = ("images.txt", "bounding_boxes.txt", "image_class_labels.txt", "train_test_split.txt")
_Lines = dict[str, tuple[str, str]]  # text and place, by image number


@final
class Cub(Reader):
    """The root folder of CUB-200-2011.

    Image ids are the paths of `images.txt` without extension; labels are 0-based class indices
    (the files count from 1), or the names of the folders where a network knows these. The data set
    does not tell image sizes.

    Example:
        >>> from pathlib import Path
        >>> for name, text in {
        ...     "images.txt": "1 001.Albatross/a.jpg",
        ...     "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0",
        ...     "image_class_labels.txt": "1 1",
        ...     "train_test_split.txt": "1 0",
        ... }.items():
        ...     _ = Path(name).write_text(text)
        >>> Cub().read(Path()).annotations["001.Albatross/a"].boxes(0)
        (Box(x0=60.0, y0=27.0, x1=385.0, y1=331.0),)
    """

    summary: ClassVar[str] = "CUB-200-2011: the folder with images.txt and bounding_boxes.txt"
    layout: ClassVar[str] = "bounding_boxes.txt: 1 60.0 27.0 325.0 304.0 (number x y width height)"

    name: Literal["cub"] = "cub"
    split: Literal["test", "train", "all"] = "test"

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """The names of its files."""
        return probe.folder and {"images.txt", "bounding_boxes.txt"} <= probe.names

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        table = ImageTable(collector)
        images, boxes, classes = (_numbered(path / name) for name in _FILES[:3])
        splits = {} if self.split == "all" else _numbered(path / _FILES[3])
        wanted = {"test": "0", "train": "1"}.get(self.split)
        for key, (name, place) in images.items():
            if wanted is not None and splits.get(key, (None,))[0] not in ("0", "1"):
                collector.problem(place, f"image {key} has no 0 or 1 in {_FILES[3]}")
                continue
            if wanted is None or splits[key][0] == wanted:
                _image(key, name, place, (boxes, classes), table)
        result = table.finish()
        for key, (name, _) in images.items():
            index, _ = classes.get(key, ("", ""))
            folder, slash, _ = name.partition("/")
            if slash and index.isdecimal() and len(index) < 7:
                result.class_names[int(index) - 1] = folder
        return result


def _numbered(path: Path) -> _Lines:
    lines: _Lines = {}
    for place, line in data_lines(path):
        key, _, rest = line.strip().partition(" ")
        if not rest.strip() or key in lines:
            reason = f"image number {key} again" if rest.strip() else "one field, two needed"
            raise AnnotationError(place, reason)
        lines[key] = rest.strip(), place
    return lines


def _image(
    key: str, name: str, place: str, lists: tuple[_Lines, _Lines], table: ImageTable
) -> None:
    image_id = image_stem(name)
    try:
        for lines, file in zip(lists, _FILES[1:3], strict=True):
            if key not in lines:
                raise EntryError(f"image {key} is not in {file}")
        (box, place), (label, label_place) = lists[0][key], lists[1][key]
        xywh = box.split()
        if len(xywh) != 4:
            raise EntryError(f"{len(xywh)} numbers, 4 needed: x, y, width, height")
        x, y, width, height = numbers(xywh, ("x", "y", "width", "height"))
        if x + width <= x or y + height <= y:  # also where the sum rounds the side away
            raise EntryError(f"a box of {width:g}×{height:g} pixels")
        index = integer(label, f"class ({label_place})")
        if index < 1:
            raise EntryError(f"class {index} ({label_place}): classes count from 1")
        table.add(image_id, index - 1, Box.from_xywh(x, y, width, height), place)
    except EntryError as error:
        table.fail(image_id, place, str(error))
