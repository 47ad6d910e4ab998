"""Tar files, read header by header: nothing is extracted, and nothing in one can take memory.

`tarfile` keeps every header, follows links, and reads the pieces of a sparse file as if they were
its content. Here its parser of one header is used, and sizes are looked at before use.
"""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, NamedTuple, final

from camtool.errors import os_reason, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK: Final = 512
_LONGEST_HEADER: Final = 1 << 20
"""Bytes of a long name or of extended headers; more are no names."""
_LARGEST: Final = 1 << 60
_MOST_SPARSE_BLOCKS: Final = 10_000
_PIECE: Final = 1 << 20
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)

Kind = Literal["file", "folder", "link", "sparse", "special"]


class DamagedTarError(Exception):
    """Why a tar cannot be read further; members before the fault have been yielded."""


class TarMember(NamedTuple):
    """One member of a tar.

    Attributes:
        name: its path there, as written.
        start: offset of its content.
        size: bytes of its content.
        kind: `file`, or what else it is: of the other kinds the content is not to be read.
    """

    name: str
    start: int
    size: int
    kind: Kind


def tar_members(path: Path) -> Iterator[TarMember]:
    """Yield the members of an uncompressed tar file, in its order.

    Example:
        >>> Path("a.txt").write_text("words")
        5
        >>> with tarfile.open("a.tar", "w") as tar:
        ...     tar.add("a.txt")
        >>> list(tar_members(Path("a.tar")))
        [TarMember(name='a.txt', start=512, size=5, kind='file')]

    Raises:
        DamagedTarError: it is none, is damaged, or ends inside a member.
    """
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            for member in TarStream(file, seekable=True).members():
                if member.start + member.size > length:
                    raise DamagedTarError(f"it ends inside {shorten(member.name, 200)}")
                yield member
    except OSError as error:
        raise DamagedTarError(os_reason(error)) from error


@final
class TarStream:
    """The members of a tar that comes as a stream, packed or not."""

    def __init__(self, file: IO[bytes], *, seekable: bool) -> None:
        """Take the unpacked bytes, from their beginning.

        Args:
            file: a binary file.
            seekable: whether content is skipped by seeking, else by reading.
        """
        self._file, self._seekable = file, seekable
        self.position = 0

    def members(self) -> Iterator[TarMember]:
        """Yield the members; the caller may `read` the content of the last one.

        Raises:
            DamagedTarError: a header is damaged, or says something impossible.
        """
        name, size, sparse = "", -1, False
        while (info := self._header()) is not None:
            if info.size < 0 or info.size > _LARGEST:
                raise DamagedTarError(f"a member of {shorten(str(info.size), 40)} bytes")
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                text = self._extension(info.size).split(b"\0", 1)[0]
                if info.type == tarfile.GNUTYPE_LONGNAME:
                    name = _decoded(text)
                continue
            if info.type in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE):
                words = _pax(self._extension(info.size))
                if info.type != tarfile.XGLTYPE:
                    name, size = words.get("path", name), _size(words, size)
                    sparse = any(key.startswith("GNU.sparse") for key in words)
                continue
            if info.type == tarfile.GNUTYPE_SPARSE:
                sparse = True
                self._skip_sparse_map()
            member = TarMember(
                name or info.name,
                self.position,
                info.size if size < 0 else size,
                _kind(info, sparse),
            )
            yield member
            self._to(member.start + -(-member.size // _BLOCK) * _BLOCK)
            name, size, sparse = "", -1, False

    def read(self, count: int) -> bytes:
        """Return the next bytes; fewer where the file ends."""
        data = self._file.read(count)
        self.position += len(data)
        return data

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header; None at the end."""
        block = self.read(_BLOCK)
        self._extended = block[482:483] == b"\x01"
        if not block:
            if self.position == 0:
                raise DamagedTarError("empty")
            return None
        if not block.strip(b"\0") and len(block) == _BLOCK:
            return None
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError) as error:
            reason = "a damaged header"
            first = "no tar: " if self.position <= _BLOCK else ""
            raise DamagedTarError(f"{first}{reason}") from error

    def _extension(self, size: int) -> bytes:
        """Return what stands behind a header that describes the next one."""
        if size > _LONGEST_HEADER:
            raise DamagedTarError(f"a header of {size:,} bytes")
        data = self.read(-(-size // _BLOCK) * _BLOCK)
        if len(data) < size:
            raise DamagedTarError("it ends inside a header")
        return data[:size]

    def _skip_sparse_map(self) -> None:
        for _ in range(_MOST_SPARSE_BLOCKS):
            if not self._extended:
                return
            block = self.read(_BLOCK)
            self._extended = block[504:505] == b"\x01"
        raise DamagedTarError("a sparse file of too many pieces")

    def _to(self, position: int) -> None:
        """Go on to a place further on."""
        if self._seekable:
            self._file.seek(position)
            self.position = position
            return
        while self.position < position:
            if not self.read(min(_PIECE, position - self.position)):
                raise DamagedTarError("its end is missing")


def _kind(info: tarfile.TarInfo, sparse: bool) -> Kind:
    if sparse:
        return "sparse"
    if info.type in _REGULAR:
        return "folder" if info.type == tarfile.AREGTYPE and info.name.endswith("/") else "file"
    if info.type == tarfile.DIRTYPE:
        return "folder"
    return "link" if info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE) else "special"


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    """Read records `LENGTH KEY=VALUE`, a line each.

    Raises:
        DamagedTarError: a record is not of this form.
    """
    words: dict[str, str] = {}
    while data.strip(b"\0"):
        length, blank, _ = data.partition(b" ")
        if (
            not blank
            or not length.isdigit()
            or len(length) > 8
            or not 5 <= int(length) <= len(data)
        ):
            raise DamagedTarError("a damaged extended header")
        record = data[len(length) + 1 : int(length) - 1]
        key, equals, value = record.partition(b"=")
        if not equals:
            raise DamagedTarError("a damaged extended header")
        words[_decoded(key)] = _decoded(value)
        data = data[int(length) :]
    return words


def _size(words: dict[str, str], size: int) -> int:
    text = words.get("size")
    if text is None:
        return size
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise DamagedTarError(f"a member of {shorten(text, 40)} bytes")
    return int(text)
