"""YAML file and `--set` overrides → a settings object, or one error that lists every problem."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from camtool.errors import SettingsError, shorten
from camtool.settings.classes import (
    Settings,
    alternatives,
    default_settings,
    is_part_name,
    item_alternatives,
    names_of,
    settings_class,
)
from camtool.settings.messages import describe_problems
from camtool.settings.written import Override, Place, Written, dotted, problem, settings_error
from camtool.settings.yaml_text import MOST_LEVELS, YamlReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST_BYTES = 1_000_000
"""Size of a settings file; a larger one is something else, given by mistake."""

SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(
    cls: type[SettingsT],
    file: str | Path | None = None,
    overrides: Sequence[str] = (),
    *,
    stored: tuple[str, Mapping[str, Any]] | None = None,
) -> SettingsT:
    """Return the settings: defaults, then `file` or `stored`, then `overrides` in their order.

    A mapping for a part with a default may leave out `name`: it then means the default's part. What
    the default object sets differently from its class also holds, unless given. A part may be given
    by its name alone. An override of a part's `name` by another drops the settings of the part that
    stood there.

    Example:
        >>> from camtool.boxes import PaperBoxes
        >>> load_settings(PaperBoxes, overrides=["threshold=0.3"]).threshold
        0.3
        >>> load_settings(PaperBoxes, overrides=["treshold=0.3"])
        Traceback (most recent call last):
        camtool.errors.SettingsError: --set treshold=0.3: treshold: unknown setting; did you ...

    Args:
        cls: the settings class at the root.
        file: a YAML file (UTF-8, one document that is a mapping), or None.
        overrides: `section.key=value`, with a value in YAML.
        stored: settings that are in no file of the user's, as JSON data, and where they are from.

    Raises:
        SettingsError: the file cannot be read, or anything in it or in an override is wrong. All
            problems are listed, one a line, with place, key path and remedy.
    """
    if stored is not None:
        written = Written(copy.deepcopy(dict(stored[1])), {}, {}, Place(stored[0]))
    else:
        written = Written({}, {}, {}, Place("settings")) if file is None else _read_file(Path(file))
    problems = []
    for text in overrides:
        try:
            written.override(parse_override(text))
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise settings_error(problems)
    _fill(cls, written.data, None)
    # JSON mode keeps types strict and still lets lists be tuples and text be paths, as YAML needs.
    try:
        return cls.model_validate_json(json.dumps(written.data))
    except ValidationError as error:
        raise describe_problems(cls, error, written) from error


def _read_file(file: Path) -> Written:
    name = str(file)
    reader = YamlReader(_read_text(file), name)
    data = reader.read()
    if data is None:
        data = {}
    if not isinstance(data, dict):
        place = reader.values.get((), Place(name, 1))
        raise SettingsError(
            f"{place}: expected settings, 'key: value' a line, "
            f"got a {'list' if isinstance(data, list) else 'single value'}"
        )
    return Written(data, reader.keys, reader.values, Place(name))


def _read_text(file: Path) -> str:
    place = Place(str(file))
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise SettingsError(f"{place}: no such file; check the path") from error
    except IsADirectoryError as error:
        raise SettingsError(f"{place}: is a folder; name the YAML file in it") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or shorten(str(error))
        raise SettingsError(f"{place}: cannot be read: {reason}") from error
    if len(content) > MOST_BYTES:
        raise SettingsError(
            f"{place}: larger than {MOST_BYTES:,} bytes, which no settings file is; check the path"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{Place(str(file), line)}: not UTF-8 text (byte 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from error


def _fill(cls: type[Settings], data: dict[str, Any], default: Settings | None) -> None:
    """Write into `data` what the default objects say and pydantic, given a mapping, would forget.

    Args:
        cls: the class that `data` describe.
        data: the given settings, changed in place.
        default: the object of class `cls` that would stand here if nothing had been given.
    """
    for key, field in cls.model_fields.items():
        options = alternatives(field.annotation)
        if is_part_name(data.get(key), options):
            data[key] = {"name": data[key]}
        given = data.get(key)
        if isinstance(given, dict):
            _fill_part(options, given, default_settings(field, key, default))
        elif isinstance(given, list):
            _fill_items(options, given)
        elif key not in data and default is not None and key in default.model_fields_set:
            data[key] = default.model_dump(mode="json", include={key})[key]


def _fill_part(options: tuple[Any, ...], given: dict[str, Any], default: Settings | None) -> None:
    part = settings_class(options, given, default)
    if part is None:
        for option in options:
            for key, value in given.items():
                _fill_value(item_alternatives(option, key), value)
        return
    same = default is not None and type(default) is part
    if same and names_of(part):
        given.setdefault("name", vars(default)["name"])
    _fill(part, given, default if same else None)


def _fill_items(options: tuple[Any, ...], given: list[Any]) -> None:
    for option in options:
        for index, value in enumerate(given):
            inner = item_alternatives(option, index)
            if is_part_name(value, inner):
                given[index] = {"name": value}
            _fill_value(inner, given[index])


def _fill_value(options: tuple[Any, ...], value: Any) -> None:  # noqa: ANN401
    if isinstance(value, dict):
        _fill_part(options, value, None)
    elif isinstance(value, list):
        _fill_items(options, value)


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
