"""`--set section.key=value`: one setting, written on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from camtool.errors import SettingsError
from camtool.settings.places import Place, dotted, problem
from camtool.settings.yaml_reader import MOST_LEVELS, YamlReader

__all__ = ["Override", "parse_override"]


@dataclass(frozen=True, slots=True)
class Override:
    """One value for one key path; `place` is how messages call it."""

    path: tuple[str, ...]
    value: Any
    place: Place


def parse_override(text: str) -> Override:
    """Read `section.key=value`; the value is YAML and may be a list or mapping in flow style.

    Raises:
        SettingsError: no `=`, a bad key path, no value, or a value that is not valid YAML.
    """
    place = Place(f"--set {text}")
    keys, equals, value = text.partition("=")
    path = tuple(key.strip() for key in keys.split("."))
    if not equals:
        raise SettingsError(f"{place}: no '='; the form is --set section.key=value")
    if not all(path):
        raise SettingsError(
            f"{place}: a part of the key is empty; the form is --set section.key=value"
        )
    if len(path) > MOST_LEVELS:
        raise SettingsError(problem(place, path[:3], f"more than {MOST_LEVELS} levels of nesting"))
    if not value.strip():
        raise SettingsError(
            f"{place}: no value; write {dotted(path)}=null for none, {dotted(path)}=\"''\" "
            "for an empty text"
        )
    reader = YamlReader(value, place.source, numbered=False, prefix=path)
    return Override(path, reader.read(), place)
