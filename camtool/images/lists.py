"""Lists of images: which images a table or a text names, and of which classes they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from camtool.errors import DataError, shorten
from camtool.images.sources import FileSource, ImageSource, UrlSource, checked_url
from camtool.paths import is_file, is_there
from camtool.tables import (
    Columns,
    class_of,
    columns_of,
    image_set_class,
    is_image_name,
    table_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class ImageList:
    """Entries by name, in file order, with the classes that the list gives; and warnings.

    Attributes:
        entries: true classes by the name of the image.
        warnings: what was odd.
        repeats: lines that say again what another has said.
    """

    entries: dict[str, tuple[str | int, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    repeats: int = 0


def read_list(path: Path) -> ImageList:
    r"""Read a list of images, one a line, or a table of images and classes; see `camtool.tables`.

    Example:
        >>> _ = Path("list.csv").write_text("file,class\na.jpg,cat\n")
        >>> read_list(Path("list.csv")).entries
        {'a.jpg': ('cat',)}

    Raises:
        DataError: not readable, not UTF-8, empty, or its columns are not understood.
    """
    result = ImageList()
    columns: Columns | None = None
    for line, cells in table_rows(path):
        if columns is None:
            columns = columns_of(cells, f"{path}:{line}")
            if columns.header:
                continue
        _add_row(result, path, line, cells, columns)
    if not result.entries:
        why = f" ({result.warnings[0]})" if result.warnings else ""
        raise DataError(f"{shorten(str(path))}: no image in this list{why}")
    return result


def _add_row(result: ImageList, path: Path, line: int, cells: list[str], columns: Columns) -> None:
    needed = max((columns.image, *columns.classes[:1]))
    name = cells[columns.image] if len(cells) > columns.image else ""
    if len(cells) <= needed or not name:
        result.warnings.append(f"{shorten(str(path))}:{line}: too few fields; the line is left out")
        return
    label = class_of(cells, columns.classes, image_set_class(path))
    _add(result, path, name, () if label is None else (label,))


def _add(result: ImageList, path: Path, name: str, labels: tuple[str | int, ...]) -> None:
    known = result.entries.get(name)
    if known is None:
        result.entries[name] = labels
    elif known == labels:
        result.repeats += 1
    else:
        result.warnings.append(
            f"{shorten(str(path))}: conflict: '{shorten(name)}' has the classes {known} and"
            f" {labels}; neither is used as its true class"
        )
        result.entries[name] = ()


def _located(name: str, path: Path) -> str:
    """Return where a listed image is: relative to the list, or as those of PASCAL VOC.

    A backslash divides folders where no file has it in its name; a name without an ending is that
    of a JPEG in the folder `JPEGImages` of the list's data set.
    """
    plain = path.parent / name
    if is_there(plain):
        return str(plain)
    if "\\" in name:
        divided = path.parent / name.replace("\\", "/")
        if is_there(divided):
            return str(divided)
    if not is_image_name(name):
        for folder in path.resolve().parents[:4]:
            for ending in (".jpg", ".png"):
                found = folder / "JPEGImages" / f"{name}{ending}"
                if is_file(found):
                    return str(found)
    return str(plain)


def listed_images(path: Path, warnings: list[str]) -> Iterator[ImageSource]:
    """Yield the images of a list with their classes, and tell by `warnings` what was odd.

    Raises:
        DataError: the list cannot be read.
    """
    listed = read_list(path)
    warnings.extend(listed.warnings)
    if listed.repeats:
        warnings.append(
            f"{shorten(str(path))}: {listed.repeats:,} lines repeat an image: each is used once"
        )
    windows = 0
    for name, labels in listed.entries.items():
        if "://" in name or "::" in name:
            yield UrlSource(checked_url(name).split("://", 1)[1], name, labels)
        else:
            place = _located(name, path)
            windows += "\\" in name and not is_there(place)
            if "\\" in name and "\\" not in place:
                name = name.replace("\\", "/")
            yield FileSource(name, place, labels)
    if windows:
        warnings.append(
            f"{shorten(str(path))}: {windows:,} names hold a backslash and are no files here: paths"
            " of Windows? Write / between folders"
        )
