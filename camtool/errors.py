"""The errors that camtool raises on bad input, each with the exit code of the command line.

    CamtoolError              exit 1
    ├─ SettingsError          exit 2   a setting, an option or a YAML file
    ├─ DataError              exit 3   images and lists as a whole
    │  ├─ ImageReadError               one image file
    │  └─ AnnotationError              one annotation file, or a place in it
    ├─ ModelError             exit 4   networks, weights, checkpoints
    ├─ EvaluationError        exit 5   predictions that cannot be scored against these annotations
    └─ RunError               exit 6   run folders

A message names the file, the place in it and the remedy. Only `camtool.cli` turns these errors
into a message and an exit code; a defect of the program itself stays a traceback.
"""

from __future__ import annotations

from typing import ClassVar, Final

_LONGEST_REASON: Final = 500
_LONGEST_LINE: Final = 1000


class CamtoolError(Exception):
    """Base of every error that bad input can cause; `exit_code` is that of the process.

    Example:
        >>> from camtool.images import find_images
        >>> try:
        ...     find_images(["no/such/folder"])
        ... except CamtoolError as error:
        ...     print(error, error.exit_code)
        no/such/folder: no such file or folder 3
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str = "") -> None:
        """Take the message, a line a problem.

        What it tells of a file or a path may be of any length and move a terminal's cursor: long
        lines lose their middle, and control characters are written out.
        """
        super().__init__("\n".join(shorten(line, _LONGEST_LINE) for line in message.split("\n")))


class SettingsError(CamtoolError):
    """A YAML file, a `--set` or an option is not valid."""

    exit_code = 2


class DataError(CamtoolError):
    """Images, lists or annotations cannot be used."""

    exit_code = 3


class _PlacedError(DataError):
    """An error at a place; `place` (file, member, line, object) comes before `reason`."""

    def __init__(self, place: str, reason: str) -> None:
        self.reason = shorten(reason, _LONGEST_REASON)
        super().__init__(f"{shorten(place, 400)}: {self.reason}")
        self.place = place


class ImageReadError(_PlacedError):
    """One image cannot be read; `reason` is also what its row in `predictions.jsonl` says."""


class AnnotationError(_PlacedError):
    """One annotation cannot be read, or says something impossible."""


class ModelError(CamtoolError):
    """A network, its weights or a checkpoint cannot be used."""

    exit_code = 4


class EvaluationError(CamtoolError):
    """Predictions and annotations do not fit together."""

    exit_code = 5


class RunError(CamtoolError):
    """A run folder cannot be written, read or continued."""

    exit_code = 6


def os_reason(error: OSError | ValueError) -> str:
    """Say why the system refused a file; Python itself refuses a path that holds a NUL."""
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error) or type(error).__name__


def shorten(text: str, limit: int = 80) -> str:
    """Return `text` for a message: control characters escaped, the middle of long text left out."""
    clean = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: 4 * limit])
    if len(clean) <= limit and len(text) <= 4 * limit:
        return clean
    keep = (limit - 1) // 2
    tail = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[-keep:])
    return f"{clean[:keep]}…{tail[-keep:]}"
