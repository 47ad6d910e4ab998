"""Where the bytes of an image come from: a file, a member of a tar shard, or a URL."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, final

import fsspec

from camtool.errors import ImageReadError

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
class UrlSource(ImageSource):
    """A remote file, through fsspec."""

    def open(self) -> IO[bytes]:
        """Fetch the file."""
        try:
            with fsspec.open(self.path, "rb") as file:
                data: bytes = file.read(_MAX_BYTES + 1)
        except (OSError, ImportError, ValueError) as error:
            raise ImageReadError(self.path, f"cannot be fetched ({error})") from error
        if not data:
            raise ImageReadError(self.path, "empty file (0 bytes)")
        if len(data) > _MAX_BYTES:
            raise ImageReadError(self.path, f"too large (over {_MAX_BYTES:,} bytes)")
        return io.BytesIO(data)
