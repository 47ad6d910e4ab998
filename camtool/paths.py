"""Whether something is at a path, for paths that come from other people's files.

`Path.exists` and its like raise what the system says of a name that is too long, or of a folder
that may not be looked into. Such a path leads to nothing that can be read: here that is the answer.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_there(path: str | Path) -> bool:
    r"""Whether a file or folder is at a path.

    Example:
        >>> is_there("examples"), is_there("n" * 5000), is_there("a\0b")
        (True, False, False)
    """
    return os.path.exists(path)  # noqa: PTH110 (that of pathlib raises)


def is_file(path: str | Path) -> bool:
    """Whether a regular file, or a link to one, is at a path.

    Example:
        >>> is_file("examples/labels.csv"), is_file("examples"), is_file("n" * 5000)
        (True, False, False)
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether a folder, or a link to one, is at a path.

    Example:
        >>> is_folder("examples"), is_folder("examples/labels.csv"), is_folder("n" * 5000)
        (True, False, False)
    """
    return os.path.isdir(path)  # noqa: PTH112
