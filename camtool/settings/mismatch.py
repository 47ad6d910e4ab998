"""A value of the wrong type: what was expected, what came, and how to write it."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from camtool.errors import shorten
from camtool.settings.anatomy import literal_values, part_names
from camtool.settings.scalars import looks_like_a_number

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WANTED", "Mismatch", "described", "quoted", "show", "similar"]

_TEXT, _NUMBER, _INTEGER = "text", "a number", "an integer"
_TRUTH, _LIST, _MAPPING = "true or false", "a list", "a mapping"

WANTED: dict[str, str | None] = {
    "bool_type": _TRUTH,
    "dict_type": _MAPPING,
    "float_type": _NUMBER,
    "frozen_set_type": _LIST,
    "int_from_float": _INTEGER,
    "int_type": _INTEGER,
    "list_type": _LIST,
    "literal_error": None,
    "model_attributes_type": _MAPPING,
    "model_type": _MAPPING,
    "none_required": "null",
    "path_type": _TEXT,
    "set_type": _LIST,
    "string_type": _TEXT,
    "tuple_type": _LIST,
}
"""Pydantic's type errors and what they want; None where only the error itself knows."""


@dataclass(slots=True)
class Mismatch:
    """One value and everything that could have stood there.

    Attributes:
        value: what was given, JSON-like.
        options: the type alternatives that the settings class allows, from all union branches.
        wanted: their names.
    """

    value: Any
    options: tuple[Any, ...] = ()
    wanted: list[str] = field(default_factory=list)

    def text(self) -> str:
        """Return the message."""
        wanted = " or ".join(dict.fromkeys(self.wanted))
        return f"expected {shorten(wanted, 400)}, got {described(self.value)}{self._remedy()}"

    def _remedy(self) -> str:
        if isinstance(self.value, str):
            return self._remedy_for_text(self.value)
        if self.value is None and _MAPPING in self.wanted:
            return "; remove the key to keep the defaults"
        if _TEXT in self.wanted and isinstance(self.value, int | float):
            return "; put it in quotes"
        return ""

    def _remedy_for_text(self, text: str) -> str:
        if _TRUTH in self.wanted:
            return "; write true or false"
        numeric = _NUMBER in self.wanted or _INTEGER in self.wanted
        if numeric and (remedy := _remedy_for_number(text)):
            return remedy
        if _MAPPING in self.wanted and (near := similar(text, part_names(self.options))):
            return f"; write {{name: {near}}}"
        if near := similar(text, [one for one in literal_values(self.options) if one != text]):
            return f"; did you mean {quoted(near)}?"
        return ""


def _remedy_for_number(text: str) -> str:
    if looks_like_a_number(text):
        return "; remove the quotes"
    if text[:1].isdigit() or text[:1] in ("+", "-", "."):
        return "; write a plain number such as 10, 0.5 or 1e-3"
    return ""


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
    return shorten(json.dumps(value, ensure_ascii=False))


def described(value: object) -> str:
    """Return what kind of value it is, with the value itself where it is short."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {show(value)}"
    return show(value) if isinstance(value, bool) else f"the number {show(value)}"
