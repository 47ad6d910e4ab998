"""Pydantic's findings in the words of the user: place, key path, what is wrong, what to write."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from camtool.errors import shorten
from camtool.settings.classes import (
    CONTAINERS,
    alternatives,
    item_alternatives,
    literal_values,
    names_of,
    part_names,
    parts,
)
from camtool.settings.describe import describe
from camtool.settings.written import (
    MOST_PROBLEMS,
    described,
    problem,
    quoted,
    settings_error,
    show,
    similar,
)
from camtool.settings.yaml_text import looks_like_a_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from camtool.errors import SettingsError
    from camtool.settings.classes import Settings
    from camtool.settings.written import KeyPath, Place, Written

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


_MOST_ENDINGS = 4


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
            return f"; did you mean {quoted(near)}?"
        if near := similar(text, [one for one in literal_values(self.options) if one != text]):
            return f"; did you mean {quoted(near)}?"
        return ""


def _remedy_for_number(text: str) -> str:
    if looks_like_a_number(text):
        return "; remove the quotes"
    if text[:1].isdigit() or text[:1] in ("+", "-", "."):
        return "; write a plain number such as 10, 0.5 or 1e-3"
    return ""


@dataclass(frozen=True, slots=True)
class Spot:
    """A key path and what the settings classes say of it.

    Attributes:
        path: keys and indices as the user writes them.
        options: the type alternatives of the value there.
        holder: the settings class or the list type that the last key belongs to.
        union: the alternatives among which the holder was chosen.
    """

    path: KeyPath
    options: tuple[Any, ...]
    holder: Any = None
    union: tuple[Any, ...] = ()


def locate(cls: type[Settings], loc: KeyPath) -> Spot:
    """Return the spot of a pydantic error location.

    At a union pydantic inserts which branch it tried: the `name` of a part, the name of a class, or
    a description of a type. These elements are no keys, and only the types tell them from keys.
    """
    path: KeyPath = ()
    options: tuple[Any, ...] = (cls,)
    union = options
    holder: Any = None
    for element in loc:
        if len(options) > 1:
            options = _branch(options, str(element))
            continue
        holder = options[0] if options else None
        spot_union = union
        path = (*path, element)
        options = union = _inside(options, element)
    return Spot(path, options, holder, spot_union if path else union)


def _branch(options: tuple[Any, ...], label: str) -> tuple[Any, ...]:
    for part in parts(options):
        if label in names_of(part) or label == part.__name__:
            return (part,)
    if label.startswith("tagged-union["):
        return parts(options)
    kind = label.partition("[")[0]
    for option in options:
        origin = get_origin(option)
        if kind == "literal" if origin is Literal else kind == getattr(origin, "__name__", None):
            return (option,)
    return tuple(one for one in options if get_origin(one) in CONTAINERS)[:1]


def _inside(options: tuple[Any, ...], key: str | int) -> tuple[Any, ...]:
    for part in parts(options):
        field = part.model_fields.get(str(key))
        return () if field is None else alternatives(field.annotation)
    return item_alternatives(options[0], key) if options else ()


@dataclass(frozen=True, slots=True)
class _Finding:
    place: Place
    path: KeyPath
    text: str


def describe_problems(
    cls: type[Settings], error: ValidationError, written: Written
) -> SettingsError:
    """Return the error that lists all that pydantic found, in the order of the file's lines."""
    details = error.errors(include_url=False)
    findings: list[_Finding] = []
    mismatches: dict[KeyPath, Mismatch] = {}
    for detail in details[:MOST_PROBLEMS]:
        spot = locate(cls, detail["loc"])
        if detail["type"] in WANTED:
            mismatch = mismatches.setdefault(spot.path, Mismatch(detail["input"]))
            mismatch.options += spot.options
            mismatch.wanted.append(WANTED[detail["type"]] or detail["ctx"]["expected"])
        else:
            findings.append(_finding(cls, detail, spot, written))
    found = [finding.path for finding in findings]
    for path, mismatch in mismatches.items():
        # Of a union's branches the one that fits best fails deepest, or at a value of the right
        # type: only that one is of interest.
        deeper = [*found, *(other for other in mismatches if len(other) > len(path))]
        if not any(other[: len(path)] == path for other in deeper):
            findings.append(_Finding(written.place_of_value(path), path, mismatch.text()))
    findings.sort(key=lambda finding: finding.place.line or 0)
    lines = [problem(finding.place, finding.path, finding.text) for finding in findings]
    return settings_error(lines, more=len(details[MOST_PROBLEMS:]))


def _finding(cls: type[Settings], detail: ErrorDetails, spot: Spot, written: Written) -> _Finding:
    kind, path = detail["type"], spot.path
    if kind == "extra_forbidden":
        return _Finding(written.place_of_key(path), path, _unknown(cls, detail, spot))
    if kind == "missing" and isinstance(path[-1], int):
        # A fixed tuple that is too short lacks its last items one by one: one message for all.
        text = _item_count(detail, Spot(path, (spot.holder,)))
        return _Finding(written.place_of_key(path[:-1]), path[:-1], text)
    if kind == "missing":
        return _Finding(written.place_of_key(path), path, "a required setting is missing")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_part(detail["input"], spot, written)
    text = _TEXTS.get(kind, _other)(detail, spot)
    return _Finding(written.place_of_value(path), path, text)


def _unknown(cls: type[Settings], detail: ErrorDetails, spot: Spot) -> str:
    key = spot.path[-1]
    others = [
        name
        for part in parts(spot.union)
        if part is not spot.holder and key in part.model_fields
        for name in names_of(part)
    ]
    own = " or ".join(quoted(name) for name in names_of(spot.holder)) if others else ""
    if others:
        return f"no setting of {own}; it belongs to {', '.join(map(quoted, others))}"
    names = list(spot.holder.model_fields)
    if near := similar(key, names):
        return f"unknown setting; did you mean {quoted(near)}?"
    if whole := _ending_in(cls, (*spot.path, *_single(detail["input"]))):
        return f"unknown setting; did you mean {' or '.join(map(quoted, whole))}?"
    return f"unknown setting; there are: {shorten(', '.join(names), 400) or 'none'}"


def _single(value: object) -> KeyPath:
    """Return the keys down to the one setting in a mapping, where it holds only one."""
    if isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        return (key, *_single(inner))
    return ()


def _ending_in(cls: type[Settings], path: KeyPath) -> list[str]:
    """Return the keys that end as a path does, at most a few; none where there are more."""
    if not all(isinstance(key, str) for key in path):
        return []
    keys = dict.fromkeys(row.key.removesuffix(".name") for row in describe(cls))
    ending = f".{'.'.join(map(str, path))}"
    found = [key for key in keys if key.endswith(ending)]
    return found if len(found) <= _MOST_ENDINGS else []


def _wrong_part(value: Any, spot: Spot, written: Written) -> _Finding:  # noqa: ANN401
    path = spot.path
    names = part_names(spot.options)
    there_are = f"there are: {', '.join(names)}"
    if not isinstance(value, dict):  # only Python has other things to give
        text = f"expected one of the settings classes, got {described(value)}; {there_are}"
        return _Finding(written.place_of_key(path), path, text)
    if "name" not in value:
        return _Finding(written.place_of_key(path), path, f"'name' is missing; {there_are}")
    path = (*path, "name")
    noun = next(key for key in reversed(spot.path) if isinstance(key, str))
    near = similar(value["name"], names)
    hint = f" (did you mean {quoted(near)}?)" if near else ""
    text = f"no {shorten(noun)} called {show(value['name'])}; {there_are}{hint}"
    return _Finding(written.place_of_value(path), path, text)


def _item_count(detail: ErrorDetails, spot: Spot) -> str:
    got = len(detail["input"])
    wanted = get_args(spot.options[0]) if spot.options else ()
    if get_origin(spot.options[0]) is tuple and Ellipsis not in wanted:
        return f"expected {len(wanted)} items, got {got}"
    context = detail["ctx"]
    least, most = context.get("min_length"), context.get("max_length")
    bound = f"at most {most}" if detail["type"] == "too_long" else f"at least {least}"
    return f"must have {bound} items, got {got}"


def _bound(words: str, key: str) -> Callable[[ErrorDetails, Spot], str]:
    def text(detail: ErrorDetails, _spot: Spot) -> str:
        bound = detail["ctx"][key]
        whole = isinstance(bound, float) and bound.is_integer()
        limit = f"{bound:.0f}" if whole and abs(bound) < 1e15 else str(bound)
        return f"must be {words} {limit}, got {show(detail['input'])}"

    return text


def _text_length(detail: ErrorDetails, _spot: Spot) -> str:
    context = detail["ctx"]
    long = detail["type"] == "string_too_long"
    bound = f"at most {context['max_length']}" if long else f"at least {context['min_length']}"
    return f"must have {bound} characters, got {show(detail['input'])}"


def _pattern(detail: ErrorDetails, _spot: Spot) -> str:
    return f"must match {detail['ctx']['pattern']}, got {show(detail['input'])}"


def _own_words(detail: ErrorDetails, _spot: Spot) -> str:
    return str(detail["ctx"]["error"])


def _not_finite(detail: ErrorDetails, _spot: Spot) -> str:
    return f"must be a finite number, got {show(detail['input'])}"


def _other(detail: ErrorDetails, _spot: Spot) -> str:
    said = detail["msg"]
    return f"{said[:1].lower()}{said[1:]}, got {show(detail['input'])}"


_TEXTS: dict[str, Callable[[ErrorDetails, Spot], str]] = {
    "greater_than_equal": _bound("at least", "ge"),
    "greater_than": _bound("greater than", "gt"),
    "less_than_equal": _bound("at most", "le"),
    "less_than": _bound("less than", "lt"),
    "multiple_of": _bound("a multiple of", "multiple_of"),
    "too_short": _item_count,
    "too_long": _item_count,
    "string_too_short": _text_length,
    "string_too_long": _text_length,
    "string_pattern_mismatch": _pattern,
    "value_error": _own_words,
    "assertion_error": _own_words,
    "finite_number": _not_finite,
}
