"""What the user wrote, where it was written, and how a message says it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camtool.errors import SettingsError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the root of the settings to one of them."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")

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


def similar(text: object, names: Iterable[str]) -> str | None:
    """Return the name that `text` most probably means, if one is near."""
    if not isinstance(text, str) or len(text) > 100:
        return None
    by_folded = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(text.casefold(), by_folded, n=1)
    return by_folded[near[0]] if near else None


def quoted(text: object) -> str:
    """Return the text for a message, in quotes."""
    return f"'{shorten(str(text))}'"


def show(value: object) -> str:
    """Return a value as YAML would hold it, shortened."""
    if isinstance(value, str):
        return quoted(value)
    return shorten(json.dumps(value, ensure_ascii=False, default=repr))


def described(value: object) -> str:
    """Return what kind of value it is, with the value itself where it is short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return f"the text {show(value)}"
    if isinstance(value, bool):
        return show(value)
    if isinstance(value, int | float):
        return f"the number {show(value)}"
    return f"an object of type {type(value).__name__}"  # only Python has these


@dataclass(frozen=True, slots=True)
class Override:
    """One value for one key path; `place` is how messages call it."""

    path: tuple[str, ...]
    value: Any
    place: Place


@dataclass(slots=True)
class Written:
    """Data of a file, changed by overrides; `keys` and `values` hold places by key path.

    Attributes:
        data: the mapping at the root.
        keys: the place of each key and list item.
        values: the place of each scalar.
        root: where to point for what is not written anywhere.
        overridden: what overrides have set.
    """

    data: dict[str, Any]
    keys: dict[KeyPath, Place]
    values: dict[KeyPath, Place]
    root: Place
    overridden: set[KeyPath] = field(default_factory=set)

    def place_of_key(self, path: KeyPath) -> Place:
        """Return the place of the key, or of the nearest section above that is written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.keys:
                return self.keys[path[:length]]
        return self.root

    def place_of_value(self, path: KeyPath) -> Place:
        """Return the place of the value where it is a scalar, else that of its key."""
        return self.values.get(path) or self.place_of_key(path)

    def override(self, override: Override) -> None:
        """Set one value, whatever stood there; another name clears the part that it named.

        Raises:
            SettingsError: the way there leads through something that has no keys.
        """
        section = self.data
        for depth, key in enumerate(override.path[:-1], start=1):
            here = override.path[:depth]
            inner = section.get(key)
            if inner is None:
                self._forget(here)
                self.keys[here] = override.place
                inner = section[key] = {}
            elif isinstance(inner, str) and _NAME.fullmatch(inner):
                # A part that was given by its name alone.
                inner = section[key] = {"name": inner}
            if not isinstance(inner, dict):
                text = f"{dotted(here)} is {described(inner)}, not a section; set it as a whole"
                raise SettingsError(problem(override.place, override.path, text))
            section = inner
        if override.path[-1] == "name" and section.get("name", override.value) != override.value:
            self._clear(section, override.path[:-1])
        section[override.path[-1]] = override.value
        self._forget(override.path)
        self.keys[override.path] = override.place
        self.overridden.add(override.path)

    def _clear(self, section: dict[str, Any], path: KeyPath) -> None:
        """Remove what is in a section, but for what an override has put there."""
        for key in list(section):
            here = (*path, key)
            if here not in self.overridden:
                del section[key]
                self._forget(here)

    def _forget(self, path: KeyPath) -> None:
        for places in (self.keys, self.values):
            for known in [known for known in places if known[: len(path)] == path]:
                del places[known]


def differences(a: object, b: Mapping[str, Any]) -> list[str]:
    """Return the dotted key paths at which two resolved experiments differ.

    Example:
        >>> differences({"run": {"seed": 0, "dir": "a"}}, {"run": {"seed": 1, "dir": "a"}})
        ['run.seed']

    Args:
        a: settings as `model_dump(mode="json")` gives them, or what a damaged file has for them.
        b: other settings of the same class.

    Returns:
        Paths in the order of `a`, then those only in `b`. Where two parts have different names,
        only the path of `name`, because the other settings then belong to different things.
    """
    # What is no mapping has no settings: all of them differ.
    return [dotted(path) for path in _differing(a if isinstance(a, Mapping) else {}, b, ())]


def _differing(a: Mapping[str, Any], b: Mapping[str, Any], path: KeyPath) -> list[KeyPath]:
    if path and a.get("name") != b.get("name"):
        return [(*path, "name")]
    found: list[KeyPath] = []
    for key in dict.fromkeys([*a, *b]):
        here = (*path, key)
        if isinstance(a.get(key), Mapping) and isinstance(b.get(key), Mapping):
            found += _differing(a[key], b[key], here)
        elif key not in a or key not in b or a[key] != b[key]:
            found.append(here)
    return found
