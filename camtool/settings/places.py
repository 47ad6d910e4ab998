"""Where a setting was written, and the one error that lists everything wrong with the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from camtool.errors import SettingsError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_PROBLEMS", "KeyPath", "Place", "dotted", "problem", "settings_error"]

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of the settings to one of them."""

MOST_PROBLEMS = 50
"""Problems that one error lists; a file with more is wrong as a whole."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, a `--set` or the program's defaults; `line` and `column` count from 1."""

    source: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        """Return the place as compilers write it: `file:line:column`."""
        marks = [str(mark) for mark in (self.line, self.column) if mark is not None]
        return ":".join([shorten(self.source, 200), *marks])


def dotted(path: KeyPath) -> str:
    """Return the path as a user writes it, e.g. `localize.sizes[1]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + shorten(key)
    return text


def problem(place: Place, path: KeyPath, text: str) -> str:
    """Return one line of a settings error: place, key path (none for the root), what is wrong."""
    return ": ".join(part for part in (str(place), dotted(path), text) if part)


def settings_error(problems: Sequence[str], more: int = 0) -> SettingsError:
    """Return the error that lists `problems`, one a line, and counts the others.

    Args:
        problems: lines, listed once each up to `MOST_PROBLEMS`.
        more: how many further problems there are.
    """
    listed = list(dict.fromkeys(problems))
    more += len(listed[MOST_PROBLEMS:])
    if more:
        listed[MOST_PROBLEMS:] = [f"problems not shown: {more:,}"]
    return SettingsError("\n".join(listed))
