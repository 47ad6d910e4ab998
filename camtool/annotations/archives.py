"""Finds XML in a file, a folder, a tar or a zip, and reads archives in the stream.

Nothing is extracted to disk. A member is read only up to a limit, and an archive that unpacks to
far more than its own size is given up before it costs time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from camtool.errors import AnnotationError, os_reason, shorten
from camtool.paths import is_folder
from camtool.tar import DamagedTarError, TarStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from camtool.annotations.reader import Collector

LARGEST_MEMBER = 64 << 20
_BUFFER = 1 << 14  # what is lost at most of an archive that breaks off
_BOMB_BYTES, _BOMB_RATIO = 256 << 20, 300  # annotations pack about 40:1
_TELLING = (".xml", "_boxes.txt", "val_annotations.txt", "wnids.txt")
_LOOKED_AT = 100_000
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)
_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}


class Member(NamedTuple):
    """One file of an archive or folder: its name there, the place for messages, its content."""

    name: str
    place: str
    data: bytes


def archive_kind(head: bytes) -> str | None:
    """Return `tar` or `zip` by the first bytes of a file (at least 512); None for other files."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    packed = any(head.startswith(magic) for magic in _OPENERS)
    return "tar" if packed or head[257:262] == b"ustar" else None


def archive_names(path: Path, kind: str) -> frozenset[str]:
    """Return file names of an archive in lower case, up to the first that tells its format.

    Raises:
        AnnotationError: not an archive.
    """
    names: set[str] = set()
    for name in (_zip_names if kind == "zip" else _tar_names)(path):
        names.add(name.rpartition("/")[2].lower())
        if name.lower().endswith(_TELLING) or len(names) >= _LOOKED_AT:
            break
    return frozenset(names)


def _tar_names(path: Path) -> Iterator[str]:
    with unpacked(path) as stream:
        try:
            for member in TarStream(stream, seekable=False).members():
                yield member.name
        except (DamagedTarError, *_DAMAGE):
            return  # the reader itself reports it


def _zip_names(path: Path) -> Iterator[str]:
    with _zip_file(path) as archive:
        yield from archive.namelist()


def members(path: Path, suffixes: tuple[str, ...], collector: Collector) -> Iterator[Member]:
    """Yield the files below `path` (folder or archive) whose name ends in one of `suffixes`.

    Folders come in name order, archives in their own. Hidden files and those of macOS (`._x`) are
    passed over. What cannot be read is a problem of `collector`.

    Raises:
        AnnotationError: the folder or archive cannot be opened.
    """
    if is_folder(path):
        return _folder(path, suffixes, collector)
    with _open(path) as file:
        kind = archive_kind(file.read(512))
    return (_zip if kind == "zip" else _tar)(path, suffixes, collector)


def walk(folder: Path, refused: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Yield the files below `folder` in name order, without hidden ones.

    Links to folders are not followed. `refused` is told of folders that cannot be opened.
    """
    for root, folders, files in os.walk(folder, onerror=refused):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(f for f in files if not f.startswith(".")):
            yield Path(root, name)


def _folder(path: Path, suffixes: tuple[str, ...], collector: Collector) -> Iterator[Member]:
    def refused(error: OSError) -> None:
        collector.problem(str(error.filename), os_reason(error))

    for file in walk(path, refused):
        if file.name.lower().endswith(suffixes):
            data = _file_data(file, collector)
            if data is not None:
                yield Member(file.relative_to(path).as_posix(), str(file), data)


def _file_data(file: Path, collector: Collector) -> bytes | None:
    place = str(file)
    try:
        if not file.is_file():
            raise AnnotationError(place, "not a regular file")
        with _open(file) as stream:
            data = stream.read(LARGEST_MEMBER + 1)
    except OSError as error:
        collector.problem(place, os_reason(error))
    except AnnotationError as error:
        collector.problem(place, error.reason)
    else:
        return data if _right_size(len(data), place, collector) else None
    return None


def _right_size(size: int, place: str, collector: Collector) -> bool:
    if size > LARGEST_MEMBER:
        collector.problem(place, f"larger than {LARGEST_MEMBER >> 20} MB, not read")
    return size <= LARGEST_MEMBER


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise AnnotationError(str(path), os_reason(error)) from error


def _wanted(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.rpartition("/")[2].startswith(".")


def unpacked(path: Path) -> IO[bytes]:
    """Open a tar, packed or not, as the stream of its unpacked bytes.

    Raises:
        AnnotationError: it cannot be opened.
    """
    with _open(path) as file:
        head = file.read(512)
    opener = next((o for magic, o in _OPENERS.items() if head.startswith(magic)), _open)
    return io.BufferedReader(opener(path), _BUFFER)  # type: ignore[type-var]


def _tar(path: Path, suffixes: tuple[str, ...], collector: Collector) -> Iterator[Member]:
    packed = path.stat().st_size
    with unpacked(path) as file:
        stream = TarStream(file, seekable=False)
        try:
            for member in stream.members():
                _refuse_bomb(path, packed, member.start + member.size)
                if not _wanted(member.name, suffixes) or member.kind == "folder":
                    continue
                place = f"{path}: {member.name}"
                if member.kind != "file":
                    collector.problem(place, "a link or special file, not read")
                elif _right_size(member.size, place, collector):
                    data = stream.read(member.size)
                    if len(data) < member.size:
                        raise EOFError
                    yield Member(member.name, place, data)
        except (DamagedTarError, *_DAMAGE) as error:
            if stream.position <= 512:
                raise _unreadable(path, error) from error
            reason = shorten(str(error)) or "its end is missing"
            collector.problem(str(path), f"damaged archive, not read to its end ({reason})")


def _refuse_bomb(path: Path, packed: int, unpacked: int) -> None:
    if unpacked > _BOMB_BYTES and unpacked > _BOMB_RATIO * packed:
        raise AnnotationError(
            str(path), f"unpacks to over {unpacked:,} bytes from {packed:,}: refused"
        )


def _zip_file(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    # RuntimeError, ValueError: a directory of the archive that is broken, or of another version.
    except (*_DAMAGE, RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> AnnotationError:
    return AnnotationError(str(path), f"not an archive that can be read ({shorten(str(error))})")


def _zip(path: Path, suffixes: tuple[str, ...], collector: Collector) -> Iterator[Member]:
    packed, unpacked = path.stat().st_size, 0
    with _zip_file(path) as archive:
        for info in archive.infolist():
            if not _wanted(info.filename, suffixes) or info.is_dir():
                continue
            place = f"{path}: {info.filename}"
            try:
                with archive.open(info) as file:
                    data = file.read(LARGEST_MEMBER + 1)
            # RuntimeError: encryption, or a packing that zipfile does not know.
            except (*_DAMAGE, RuntimeError) as error:
                collector.problem(place, f"cannot be unpacked ({shorten(str(error))})")
            else:
                unpacked += len(data)
                _refuse_bomb(path, packed, unpacked)
                if _right_size(len(data), place, collector):
                    yield Member(info.filename, place, data)
