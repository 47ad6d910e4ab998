"""Where an image comes from: a file, a member of a tar shard, a URL, bytes, a picture in memory."""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeVar, final

import fsspec

from camtool.errors import DataError, ImageReadError, shorten

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

_ZIP_HEADER: Final = struct.Struct("<4s5H3I2H")
_MAX_BYTES: Final = 512 << 20
"""Largest encoded image that is read into memory (tar members and URLs)."""


@dataclass(frozen=True, slots=True)
class ImageSource:
    r"""One image to read.

    Attributes:
        image_id: unique in the run; forward slashes, no file extension where that is unambiguous.
        path: how messages and records call it.
        labels: true classes that the list it was found in gives.

    Example:
        >>> from camtool.images import find_images
        >>> (source,) = find_images(["examples/images/cat.jpg"]).sources
        >>> with source.open() as file:
        ...     file.read(2)
        b'\xff\xd8'
    """

    image_id: str
    path: str
    labels: tuple[str | int, ...] = ()

    def open(self) -> IO[bytes]:
        """Return a readable, seekable file.

        Raises:
            ImageReadError: it is not there, not a regular file, empty, or cannot be read.
        """
        raise TypeError(f"{type(self).__name__} is abstract")

    def nbytes(self) -> int:
        """Return the encoded size in bytes; -1 where it cannot be told."""
        return -1


@final
@dataclass(frozen=True, slots=True)
class FileSource(ImageSource):
    """A file of this machine."""

    def open(self) -> IO[bytes]:
        """Open the file; a named pipe or device is refused before it could block."""
        path = Path(self.path)
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise ImageReadError(self.path, "not a regular file")
            if found.st_size == 0:
                raise ImageReadError(self.path, "empty file (0 bytes)")
            return path.open("rb")
        except FileNotFoundError as error:
            reason = "link to a file that is not there" if path.is_symlink() else "no such file"
            raise ImageReadError(self.path, reason) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ImageReadError(self.path, f"cannot be opened ({reason})") from error

    def nbytes(self) -> int:
        """Return the file's size."""
        try:
            return Path(self.path).stat().st_size
        except (OSError, ValueError):
            return -1


@final
@dataclass(frozen=True, slots=True)
class TarSource(ImageSource):
    """A member of an uncompressed tar file, read at its offset and never extracted."""

    tar: str = ""
    offset: int = 0
    size: int = 0

    def open(self) -> IO[bytes]:
        """Read the member."""
        if self.size == 0:
            raise ImageReadError(self.path, "empty file (0 bytes)")
        if self.size > _MAX_BYTES:
            raise ImageReadError(self.path, f"too large ({self.size:,} bytes)")
        try:
            with Path(self.tar).open("rb") as file:
                data = os.pread(file.fileno(), self.size, self.offset)
        except OSError as error:
            raise ImageReadError(self.path, f"cannot be read ({error.strerror})") from error
        if len(data) < self.size:
            raise ImageReadError(self.path, "the tar file ends inside this member")
        return io.BytesIO(data)

    def nbytes(self) -> int:
        """Return the member's size."""
        return self.size


@final
@dataclass(frozen=True, slots=True)
class ZipSource(ImageSource):
    """A member of a zip file, read at its offset and never extracted."""

    archive: str = ""
    offset: int = 0
    packed: int = 0
    size: int = 0
    deflated: bool = False
    crc: int = 0

    def open(self) -> IO[bytes]:
        """Read the member; its size in the directory bounds what is unpacked."""
        if self.size == 0:
            raise ImageReadError(self.path, "empty file (0 bytes)")
        if max(self.size, self.packed) > _MAX_BYTES:
            raise ImageReadError(self.path, f"too large ({self.size:,} bytes)")
        try:
            with Path(self.archive).open("rb") as file:
                file.seek(self.offset)
                head = file.read(_ZIP_HEADER.size)
                name, extra = _ZIP_HEADER.unpack(head)[-2:]
                file.seek(name + extra, os.SEEK_CUR)
                data = file.read(self.packed)
            if self.deflated:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, self.size)
        except (OSError, struct.error, zlib.error) as error:
            raise ImageReadError(self.path, f"damaged in the zip file ({error})") from error
        if len(data) != self.size or zlib.crc32(data) != self.crc:
            raise ImageReadError(self.path, "damaged in the zip file (its content is another)")
        return io.BytesIO(data)

    def nbytes(self) -> int:
        """Return the member's size."""
        return self.size


@final
@dataclass(frozen=True, slots=True)
class UrlSource(ImageSource):
    """A remote file, through fsspec; of the schemes of `checked_url` only."""

    def open(self) -> IO[bytes]:
        """Fetch the file."""
        data = fetched(self.path, lambda: _content(self.path))
        if not data:
            raise ImageReadError(self.path, "empty file (0 bytes)")
        if len(data) > _MAX_BYTES:
            raise ImageReadError(self.path, f"too large (over {_MAX_BYTES:,} bytes)")
        return io.BytesIO(data)


@final
@dataclass(frozen=True, slots=True)
class BytesSource(ImageSource):
    """An encoded image in memory."""

    data: bytes = b""

    def open(self) -> IO[bytes]:
        """Return the bytes as a file."""
        if not self.data:
            raise ImageReadError(self.path, "empty (0 bytes)")
        return io.BytesIO(self.data)

    def nbytes(self) -> int:
        """Return their number."""
        return len(self.data)


@final
@dataclass(frozen=True, slots=True, eq=False)
class PictureSource(ImageSource):
    """A picture that is decoded already; or the reason why what was given is none.

    Attributes:
        picture: of any mode of Pillow's; its EXIF block, if it has one, is heeded.
        reason: why there is no picture.
    """

    picture: Image.Image | None = None
    reason: str = "no picture"

    def open(self) -> IO[bytes]:
        """Refuse: there are no bytes to read."""
        raise ImageReadError(self.path, self.reason)


SCHEMES: Final = {"http": "http", "https": "http", "s3": "s3", "gs": "gs", "file": ""}
"""Schemes of URLs that are opened, and the extra of camtool that each needs."""
_SECONDS: Final = 60.0
T = TypeVar("T")


def checked_url(url: str) -> str:
    """Return a URL whose scheme is one of `SCHEMES`, and that is no chain of several.

    Other schemes of the file library read archives and caches, or run templates that a file holds.

    Raises:
        DataError: names the scheme.
    """
    scheme, _, rest = url.partition("://")
    if "::" in url.split("?", 1)[0]:
        raise DataError(f"{shorten(url)}: a chain of URLs (::), which is never opened")
    if scheme.lower() not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise DataError(f"{shorten(url)}: no scheme '{shorten(scheme)}' is opened, only {known}")
    if not rest:
        raise DataError(f"{shorten(url)}: names nothing")
    return url


def fetched(url: str, read: Callable[[], T]) -> T:
    """Return what `read` gets of a URL, in bounded time; whatever the file library raises is told.

    Raises:
        ImageReadError: it cannot be had; with the reason.
    """
    outcome: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(read())
        except BaseException as error:
            errors.append(error)

    # A daemon: a server that is silent for ever must not keep the process from ending.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    if thread.is_alive():
        raise ImageReadError(url, f"cannot be fetched (no answer in {_SECONDS:g} seconds)")
    if errors:
        error = errors[0]
        if isinstance(error, DataError):
            raise error
        if isinstance(error, ImportError):
            extra = SCHEMES.get(url.partition("://")[0].lower(), "")
            needed = f"cannot be fetched: pip install 'camtool[{extra}]'"
            raise ImageReadError(url, needed) from error
        if isinstance(error, FileNotFoundError):
            raise ImageReadError(url, "cannot be fetched (no such file there)") from error
        lines = str(error).strip().splitlines()
        reason = shorten(lines[0] if lines else "", 200) or type(error).__name__
        raise ImageReadError(url, f"cannot be fetched ({reason})") from error
    return outcome[0]


def _content(url: str) -> bytes:
    with fsspec.open(checked_url(url), "rb") as file:
        data: bytes = file.read(_MAX_BYTES + 1)
    return data
