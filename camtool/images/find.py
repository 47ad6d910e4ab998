"""Finds the images that a command line or a list names, in an order that is the same every time."""

from __future__ import annotations

import csv
import io
import os
import tarfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import fsspec

from camtool.errors import DataError, shorten
from camtool.images.sources import FileSource, ImageSource, TarSource, UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EXTENSIONS: Final = frozenset(
    ".jpg .jpeg .jfif .png .webp .gif .bmp .tif .tiff .ppm .pgm .pnm .avif".split()
)
"""Endings by which a folder's files count as images; what they hold is seen when they are read."""

_LISTS: Final = frozenset({".txt", ".csv"})
_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"P6")


@dataclass(slots=True)
class FoundImages:
    """The images in order, with unique ids, and what was noteworthy on the way.

    Example:
        >>> found = find_images(["examples/images", "examples/images/cat.jpg"])
        >>> found.warnings
        ['1 images are named twice: each is used once']
    """

    sources: list[ImageSource]
    warnings: list[str] = field(default_factory=list)


def find_images(arguments: Sequence[str]) -> FoundImages:
    """Find all images of files, folders (recursive), tar shards, lists (.txt, .csv) and URLs.

    Hidden files and folders are left out of a folder; files without an ending are looked into.
    A name that is not there is an error; a listed image that is not there becomes a row with its
    reason. Image ids are paths relative to the argument, without extension, made longer only
    where two would be equal.

    Example:
        >>> [source.image_id for source in find_images(["examples/images"]).sources][:3]
        ['bucket', 'cat', 'coffee']

    Raises:
        DataError: an argument is not there or cannot be read, or no image was found.
    """
    found = FoundImages([])
    named: list[tuple[str, ImageSource]] = []
    for argument in arguments:
        named.extend((argument, s) for s in _expand(argument, found.warnings))
    if not named:
        raise DataError(f"no images in {', '.join(shorten(a) for a in arguments)}")
    found.sources = _unique(_without_duplicates(named, found.warnings))
    return found


def _expand(argument: str, warnings: list[str]) -> Iterable[ImageSource]:
    if "://" in argument:
        return _url(argument)
    path = Path(argument)
    try:
        if path.is_dir():
            return _folder(path)
        if path.is_symlink() or path.exists():
            return _file(path, warnings)
    except OSError as error:
        raise DataError(f"{shorten(argument)}: cannot be read ({error.strerror})") from error
    raise DataError(f"{shorten(argument)}: no such file or folder")


def _file(path: Path, warnings: list[str]) -> Iterable[ImageSource]:
    suffix = path.suffix.lower()
    if path.name.lower().endswith((".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst")):
        raise DataError(
            f"{shorten(str(path))}: a compressed tar cannot be read image by image; uncompress it"
            " first (the images in it are compressed already)"
        )
    if suffix == ".tar":
        return _tar(path)
    if suffix in _LISTS:
        return _list(path, warnings)
    return [FileSource(path.name, str(path))]


def _folder(root: Path) -> Iterator[ImageSource]:
    def fail(error: OSError) -> None:
        raise DataError(f"{shorten(str(error.filename))}: {error.strerror}") from error

    seen: set[tuple[int, int]] = set()
    files: list[str] = []
    for folder, folders, names in os.walk(root, onerror=fail, followlinks=True):
        here = Path(folder).stat()
        if (here.st_dev, here.st_ino) in seen:  # a link that leads back
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders[:] = [f for f in folders if not f.startswith(".")]
        base = Path(folder).relative_to(root)
        files.extend(str(base / n) for n in names if _is_image_name(Path(folder), n))
    for name in sorted(files, key=lambda f: PurePosixPath(f).parts):
        yield FileSource(name, str(root / name))


def _is_image_name(folder: Path, name: str) -> bool:
    if name.startswith("."):
        return False
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (called for every file of a scan)
    if suffix in EXTENSIONS:
        return True
    if suffix:
        return False
    return _holds_image(folder / name)


def _holds_image(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(8).startswith(_MAGIC)
    except OSError:
        return False


def _tar(path: Path) -> Iterator[ImageSource]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isfile() and _is_tar_image(member.name):
                    place = f"{path}:{member.name}"
                    yield TarSource(
                        member.name, place, (), str(path), member.offset_data, member.size
                    )
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{shorten(str(path))}: not a readable tar file ({error})") from error


def _is_tar_image(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.name.startswith(".") and path.suffix.lower() in EXTENSIONS


def _list(path: Path, warnings: list[str]) -> Iterator[ImageSource]:
    listed = read_list(path)
    warnings.extend(listed.warnings)
    for name, labels in listed.entries.items():
        if "://" in name:
            yield UrlSource(name.split("://", 1)[1], name, labels)
        else:
            yield FileSource(name, str(path.parent / name), labels)


def _url(url: str) -> Iterator[ImageSource]:
    try:
        system, root = fsspec.core.url_to_fs(url)
        paths = sorted(system.find(root)) if system.isdir(root) else [root]
        for path in paths:
            if path == root or PurePosixPath(path).suffix.lower() in EXTENSIONS:
                name = path[len(root) :].lstrip("/") or PurePosixPath(path).name
                yield UrlSource(name, system.unstrip_protocol(path))
    except (OSError, ImportError, ValueError) as error:
        raise DataError(f"{shorten(url)}: cannot be listed ({error})") from error


def _without_duplicates(
    named: list[tuple[str, ImageSource]], warnings: list[str]
) -> list[tuple[str, ImageSource]]:
    """Keep the first of images that are named twice, by the same path."""
    first: dict[str, tuple[str, ImageSource]] = {}
    for argument, source in named:
        first.setdefault(os.path.normpath(source.path), (argument, source))
    if len(first) < len(named):
        warnings.append(f"{len(named) - len(first)} images are named twice: each is used once")
    return list(first.values())


def _unique(named: list[tuple[str, ImageSource]]) -> list[ImageSource]:
    """Give every source an id: the shortest of several forms that no other source has."""
    pending = [_id_forms(argument, source) for argument, source in named]
    ids = [""] * len(named)
    open_places = list(range(len(named)))
    for level in range(4):
        counts = Counter(pending[i][level] for i in open_places)
        taken = set(ids)
        for i in open_places:
            if counts[pending[i][level]] == 1 and pending[i][level] not in taken:
                ids[i] = pending[i][level]
        open_places = [i for i in open_places if not ids[i]]
    for i in open_places:
        ids[i] = f"{pending[i][3]}#{i}"
    return [replace(source, image_id=i) for i, (_, source) in zip(ids, named, strict=True)]


def _id_forms(argument: str, source: ImageSource) -> tuple[str, str, str, str]:
    name = _inside(source.image_id)
    stem = str(PurePosixPath(name).with_suffix("")) if _has_extension(name) else name
    root = PurePosixPath(argument.rstrip("/")).name
    return stem, name, f"{root}/{name}", _inside(source.path)


def _has_extension(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def _inside(name: str) -> str:
    """A path as an id: without what leads out of a folder (`..`, a leading slash)."""
    parts = [p for p in PurePosixPath(name).parts if p not in ("/", ".", "..")]
    return "/".join(parts) or "image"


_FILE_COLUMNS: Final = ("file", "filename", "image", "image_id", "path", "imageid")
_CLASS_COLUMNS: Final = ("wnid", "class", "label", "class_name", "name", "class_index")
_MAX_BYTES: Final = 1 << 30


@dataclass(slots=True)
class ImageList:
    """Entries by name, in file order, with the classes that the list gives; and warnings."""

    entries: dict[str, tuple[str | int, ...]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def read_list(path: Path) -> ImageList:
    """Read a list of images; names are relative to the list's folder.

    A `.csv` may have a header (`file,class`, in any of the usual names); without one, every line
    is an entry. The same image twice is used once, with a warning; with another class it keeps
    none of them.

    Raises:
        DataError: not readable, not UTF-8, empty, or a line lacks its class.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{shorten(str(path))}: too large for a list of images")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + error.object[: error.start].count(b"\n")
        raise DataError(
            f"{shorten(str(path))}:{line}: not UTF-8; save the list as UTF-8"
        ) from error
    except OSError as error:
        raise DataError(f"{shorten(str(path))}: cannot be read ({error.strerror})") from error
    result = ImageList()
    if path.suffix.lower() == ".csv":
        _read_csv(path, text, result)
    else:
        for entry in filter(None, map(str.strip, text.split("\n"))):
            _add(result, path, entry, ())
    if not result.entries:
        why = f" ({result.warnings[0]})" if result.warnings else ""
        raise DataError(f"{shorten(str(path))}: no image in this list{why}")
    return result


def _read_csv(path: Path, text: str, result: ImageList) -> None:
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: tuple[int, int | None] | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if columns is None:
                columns, is_header = _columns(row)
                if is_header:
                    continue
            _add_row(result, path, reader.line_num, row, columns)
    except csv.Error as error:
        raise DataError(f"{shorten(str(path))}:{reader.line_num}: {error}") from error


def _columns(row: list[str]) -> tuple[tuple[int, int | None], bool]:
    """Which columns hold file and class, and whether `row` is a header that says so."""
    names = [cell.strip().lower() for cell in row]
    files = [names.index(n) for n in _FILE_COLUMNS if n in names]
    if not files:
        return (0, 1 if len(row) > 1 else None), False
    classes = [names.index(n) for n in _CLASS_COLUMNS if n in names]
    return (files[0], classes[0] if classes else None), True


def _add_row(
    result: ImageList, path: Path, line: int, row: list[str], columns: tuple[int, int | None]
) -> None:
    name, label = columns
    if len(row) <= max(name, label or 0):
        result.warnings.append(f"{shorten(str(path))}:{line}: too few fields; the line is left out")
        return
    text = row[label].strip() if label is not None else ""
    # Python refuses to read numbers of thousands of digits; so long a one is no index anyway.
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    _add(result, path, row[name].strip(), (value,) if text else ())


def _add(result: ImageList, path: Path, name: str, labels: tuple[str | int, ...]) -> None:
    known = result.entries.get(name)
    if known is None:
        result.entries[name] = labels
    elif known == labels:
        result.warnings.append(f"{shorten(str(path))}: '{shorten(name)}' is listed twice")
    else:
        result.warnings.append(
            f"{shorten(str(path))}: conflict: '{shorten(name)}' has the classes {known} and"
            f" {labels}; neither is used as its true class"
        )
        result.entries[name] = ()
