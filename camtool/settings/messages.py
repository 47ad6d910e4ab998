"""Pydantic's findings in the words of the user: place, key path, what is wrong, what to write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args, get_origin

from camtool.errors import shorten
from camtool.settings.anatomy import names_of, part_names, parts
from camtool.settings.mismatch import WANTED, Mismatch, quoted, show, similar
from camtool.settings.places import MOST_PROBLEMS, problem, settings_error
from camtool.settings.spots import Spot, locate

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

    from camtool.errors import SettingsError
    from camtool.settings.base import Settings
    from camtool.settings.places import KeyPath, Place
    from camtool.settings.written import Written

__all__ = ["describe_problems"]


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
            findings.append(_finding(detail, spot, written))
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


def _finding(detail: ErrorDetails, spot: Spot, written: Written) -> _Finding:
    kind, path = detail["type"], spot.path
    if kind == "extra_forbidden":
        return _Finding(written.place_of_key(path), path, _unknown(spot))
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


def _unknown(spot: Spot) -> str:
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
    return f"unknown setting; there are: {shorten(', '.join(names), 400) or 'none'}"


def _wrong_part(value: dict[str, Any], spot: Spot, written: Written) -> _Finding:
    path = spot.path
    names = part_names(spot.options)
    there_are = f"there are: {', '.join(names)}"
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
