"""What the readers of annotation formats have in common."""

from __future__ import annotations

import codecs
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from camtool.annotations.xml_files import archive_kind, archive_names, os_reason, walk
from camtool.errors import AnnotationError
from camtool.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.annotations.collection import AnnotationSet

__all__ = ["Reader", "Sight"]

_HEAD = 65536


@dataclass(frozen=True, slots=True)
class Sight:
    """What a first look at a path shows; enough to tell the formats apart.

    Attributes:
        path: the file or folder.
        folder: it is a folder.
        archive: `tar` or `zip`; None for other files.
        names: file names of a folder; of an archive in lower case, the first ones.
        text: the first 64 KB as text; empty for folders and archives.
    """

    path: Path
    folder: bool
    archive: str | None
    names: frozenset[str]
    text: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at `path`.

        Raises:
            AnnotationError: it is not there, no regular file, empty, or cannot be opened.
        """
        try:
            if path.is_dir():
                return cls(path, True, None, frozenset(p.name for p in path.iterdir()), "")
            if not path.is_file():
                reason = "not a regular file" if path.exists() else "no such file or folder"
                raise AnnotationError(str(path), reason)
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except (OSError, ValueError) as error:
            reason = os_reason(error) if isinstance(error, OSError) else str(error)
            raise AnnotationError(str(path), reason) from error
        if not head.strip():
            raise AnnotationError(str(path), "empty: nothing in it")
        kind = archive_kind(head)
        names = archive_names(path, kind) if kind else frozenset[str]()
        return cls(path, False, kind, names, "" if kind else _text(head))

    @property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return next((line for line in self.text.splitlines() if line.strip()), "")

    def has_suffix(self, suffix: str) -> bool:
        """Tell whether the folder holds, at any depth, a file with this ending (lower case)."""
        if not self.folder:
            return False
        return any(p.name.lower().endswith(suffix) for p in walk(self.path))


def _text(head: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    return head.decode("utf-8", "replace")


class Reader(Settings):
    """Base of the annotation formats: a member of the union is a setting and the reader itself."""

    summary: ClassVar[str]
    """What the format is, in one line."""

    layout: ClassVar[str]
    """An example line, or the files that make it up."""

    direction: ClassVar[str] = "reads annotations"

    @classmethod
    @abstractmethod
    def recognises(cls, sight: Sight) -> bool:
        """Tell whether a path holds this format, by its content."""

    @abstractmethod
    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations.

        Raises:
            AnnotationError: the source cannot be opened, or nothing in it can be used.
        """
