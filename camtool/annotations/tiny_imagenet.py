"""Tiny ImageNet: `val_annotations.txt` and `<wnid>_boxes.txt`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations.archives import members
from camtool.annotations.reader import (
    NO_CLASS,
    AnnotationSet,
    Collector,
    EntryError,
    FileProbe,
    ImageTable,
    Reader,
)
from camtool.annotations.rows import box_from_corners, fit, numbers
from camtool.paths import is_file
from camtool.tables import data_lines, image_stem

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = (64, 64)
_VAL, _BOXES = "val_annotations.txt", "_boxes.txt"
_WNID = re.compile(r"n[0-9]{8}(?=_)")
_LINE = re.compile(r"[^,\t]+?[\t ]+(n[0-9]{8}[\t ]+)?-?[0-9.]+([\t ]+-?[0-9.]+){3}\s*")


@final
class TinyImageNet(Reader):
    r"""Boxes of Tiny ImageNet: `name wnid x0 y0 x1 y1` (val), `name x0 y0 x1 y1` (train).

    The numbers are corners, both in the box, and no width and height, in the 64×64 frame. The
    source is one of those files, the folder `val`, the whole data set, or a tar of it.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("val_annotations.txt").write_text("val_0.JPEG\tn03444034\t0\t32\t44\t62\n")
        >>> TinyImageNet().read(Path("val_annotations.txt")).annotations["val_0"].boxes("n03444034")
        (Box(x0=0.0, y0=32.0, x1=45.0, y1=63.0),)
    """

    summary: ClassVar[str] = (
        "Tiny ImageNet: a boxes file, the folder val, the data set, a tar of it"
    )
    layout: ClassVar[str] = "val_0.JPEG⇥n03444034⇥0⇥32⇥44⇥62"

    name: Literal["tiny-imagenet"] = "tiny-imagenet"
    split: Literal["val", "train"] = "val"
    """Which part of the whole data set; a data set without `val` is read for its `train`."""

    @classmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """The names of its files, or a line of five or six fields."""
        if probe.folder or probe.archive:
            root = probe.path
            nested = probe.folder and is_file(root / "val" / _VAL)
            if nested or probe.names & {_VAL, "wnids.txt", "words.txt"}:
                return True
            return any(name.endswith(_BOXES) for name in probe.names)
        return _LINE.fullmatch(probe.first_line) is not None

    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations; see `Reader.read`."""
        collector = Collector(str(path), self.name)
        table = ImageTable(collector)
        for name, place, data in self._files(path, collector):
            wnid = _WNID.match(PurePosixPath(name).name)
            for where, line in data_lines(Path(place), data):
                _line(line, wnid[0] if wnid else None, where, table, collector)
        return table.finish(_SIZE)

    def _files(self, path: Path, collector: Collector) -> Iterator[tuple[str, str, bytes | None]]:
        if is_file(path) and path.suffix.lower() in (".txt", ".tsv"):
            yield path.name, str(path), None
            return
        found = False
        others = []
        for member in members(path, (".txt",), collector):
            split = _split(member.name)
            if split == self.split:
                found = True
                yield member
            elif split == "train":
                others.append(member)
        if not found and self.split == "val":
            yield from others


def _split(name: str) -> str | None:
    if name.endswith(_VAL):
        return "val"
    return "train" if name.endswith(_BOXES) else None


def _line(line: str, wnid: str | None, place: str, table: ImageTable, collector: Collector) -> None:
    fields = line.split("\t") if "\t" in line else line.split()
    name, *rest = [field.strip() for field in fields]
    image_id = image_stem(name)
    if not image_id:
        collector.problem(place, "no image name in this line")
        return
    try:
        if len(rest) not in (4, 5):
            raise EntryError(f"{len(fields)} fields, 5 or 6 needed: name, wnid, x0, y0, x1, y1")
        corners = numbers(rest[-4:], ("x0", "y0", "x1", "y1"))
        box = fit(box_from_corners(corners, "inclusive"), _SIZE, collector.warnings, place)
    except EntryError as error:
        table.fail(image_id, place, str(error))
        return
    if corners[0] == corners[2] or corners[1] == corners[3]:
        collector.warnings.add("a side of no length, read as one pixel", place)
    own = _WNID.match(name)
    label = rest[0] if len(rest) == 5 else wnid or (own[0] if own else NO_CLASS)
    table.add(image_id, label, box, place)
