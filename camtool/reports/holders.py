"""Where the images of a page are: within the page itself, or in a folder beside it."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final
from urllib.parse import quote

from camtool.errors import RunError
from camtool.paths import is_file, is_there
from camtool.reports.markup import embedded
from camtool.runs.writing import (
    check_writable,
    make_folder,
    put_folder,
    working_folder,
    write_atomically,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_MARK: Final = "camtool-report.txt"
_SAID: Final = "Pictures and maps of the page beside this folder, which loads them from here.\n"
_PER_FOLDER: Final = 1000


def assets_folder(page: Path) -> Path:
    """Return the folder of a page's assets: beside it, named after it."""
    return page.with_name(f"{page.stem}_assets")


def checked_target(page: Path, *, assets: bool, overwrite: bool) -> Path:
    """Refuse a page that cannot be written, before the work that it would be the end of.

    Raises:
        RunError: it is there already, is a folder, or has no folder to lie in; or what is at the
            place of its assets is not such a folder.
    """
    check_writable(page)
    if is_there(page) and not overwrite:
        raise RunError(f"{page}: is there already; choose another --out or --overwrite")
    folder = assets_folder(page)
    if assets and is_there(folder) and not is_file(folder / _MARK):
        raise RunError(
            f"{folder}: is there, and no report made it; move it away, or choose another --out"
        )
    if assets and is_there(folder) and not overwrite:
        raise RunError(f"{folder}: is there already; choose another --out or --overwrite")
    return page


@final
class Inline:
    """Carries pictures and blocks of images within the page."""

    name: str | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """End."""

    def picture(self, number: int, jpeg: bytes) -> str:
        """Return the address of a picture: its data."""
        del number
        return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"

    def place(self, number: int, block: list[Any]) -> str | None:
        """Return a block of images as it stands in the page."""
        del number
        return embedded(block)

    def finish(self) -> None:
        """Nothing lies elsewhere."""


@final
class AssetsFolder:
    """Writes pictures and blocks of images into a folder, which takes its name when it is whole.

    Attributes:
        name: of the folder, as the page addresses it.
    """

    def __init__(self, page: Path) -> None:
        """Write beside `page`."""
        self._folder = assets_folder(page)
        self.name = quote(self._folder.name, errors="surrogateescape")
        self._work = Path()

    def __enter__(self) -> Self:
        """Make a folder to work in."""
        self._work = working_folder(self._folder)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what has not become the folder."""
        shutil.rmtree(self._work, ignore_errors=True)

    def picture(self, number: int, jpeg: bytes) -> str:
        """Write a picture; return its address."""
        inside = f"pictures/{number // _PER_FOLDER:04d}/{number:07d}.jpg"
        self._write(inside, jpeg)
        return f"{self.name}/{inside}"

    def place(self, number: int, block: list[Any]) -> None:
        """Write a block of images as a script: a page from a file may load no other data."""
        self._write(f"blocks/{number}.js", f"camtoolBlock({number},{embedded(block)})\n".encode())

    def finish(self) -> None:
        """Give the folder its name, in place of an older one."""
        self._write(_MARK, _SAID.encode())
        put_folder(self._work, self._folder)

    def _write(self, inside: str, content: bytes) -> None:
        path = self._work / inside
        make_folder(path.parent)
        write_atomically(path, content, sync=False)
