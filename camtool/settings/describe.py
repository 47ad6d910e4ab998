"""What can be set: one row a setting, for the documentation of the command line, and a schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined, to_jsonable_python

from camtool.settings.classes import (
    CONTAINERS,
    Settings,
    alternatives,
    default_settings,
    names_of,
    parts,
)
from camtool.settings.yaml_text import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting.

    Attributes:
        key: dotted key path; `[]` stands for any item of a list.
        type: what may be written, in words.
        default: as YAML, or None when the setting is required.
        doc: the docstring of the field.
        when: the choice of a part that this setting belongs to, e.g. `localize.cam.name=cam`;
            empty where the setting is always there.

    Example:
        >>> SettingRow("run.seed", "integer", "0", "Where random numbers begin.").default
        '0'
    """

    key: str
    type: str
    default: str | None
    doc: str
    when: str = ""


def schema(cls: type[Settings]) -> dict[str, Any]:
    """Return the JSON schema of the settings, for editors.

    Example:
        >>> from camtool.boxes import PointBoxes
        >>> sorted(schema(PointBoxes)["properties"])
        ['interpolation', 'name']
    """
    return cls.model_json_schema()


def describe(cls: type[Settings]) -> list[SettingRow]:
    """Return a row for every setting below `cls`, in the order of the classes.

    Example:
        >>> from camtool.boxes import PointBoxes
        >>> [(row.key, row.type, row.default) for row in describe(PointBoxes)]
        [('interpolation', 'bilinear | bicubic', 'bilinear')]
    """
    return list(_rows(cls, None, "", "", (cls,)))


def _rows(
    cls: type[Settings],
    default: Settings | None,
    prefix: str,
    when: str,
    above: tuple[type[Settings], ...],
) -> Iterator[SettingRow]:
    for key, field in cls.model_fields.items():
        path = f"{prefix}{key}"
        options = alternatives(field.annotation)
        if key == "name" and names_of(cls):
            continue
        if parts(options):
            yield from _part_rows(field, path, default_settings(field, key, default), when, above)
            continue
        row = SettingRow(
            path, _type_of(field), _default(field, key, default), field.description or "", when
        )
        yield row
        yield from _item_rows(options, path, when, above)


def _part_rows(
    field: FieldInfo,
    path: str,
    default: Settings | None,
    when: str,
    above: tuple[type[Settings], ...],
) -> Iterator[SettingRow]:
    classes = parts(alternatives(field.annotation))
    names = [name for part in classes for name in names_of(part)]
    if names:
        chosen = None if default is None else str(vars(default)["name"])
        optional = None if field.is_required() else "null"
        doc = field.description or ""
        plain = len(alternatives(field.annotation)) > len(classes)
        yield (
            # What may also be a number or a text has that for its default.
            SettingRow(path, _type_of(field), _default(field, path, None), doc, when)
            if plain
            else SettingRow(f"{path}.name", " | ".join(names), chosen or optional, doc, when)
        )
    for part in classes:
        # A part that holds parts of its own kind would be described without end.
        if part in above:
            continue
        choice = f"{path}.name={names_of(part)[0]}" if len(classes) > 1 else when
        own = default if type(default) is part else None
        yield from _rows(part, own, f"{path}.", choice, (*above, part))


def _item_rows(
    options: tuple[Any, ...], path: str, when: str, above: tuple[type[Settings], ...]
) -> Iterator[SettingRow]:
    for option in options:
        if get_origin(option) not in CONTAINERS:
            continue
        for part in parts(tuple(one for arg in get_args(option) for one in alternatives(arg))):
            if part not in above:
                choice = f"{path}[].name={names_of(part)[0]}" if names_of(part) else when
                yield from _rows(part, None, f"{path}[].", choice, (*above, part))


def _default(field: FieldInfo, key: str, owner: Settings | None) -> str | None:
    if owner is not None:
        value = getattr(owner, key)
    elif field.default_factory is not None:
        value = field.get_default(call_default_factory=True, validated_data={})
    else:
        value = field.default
    if value is PydanticUndefined:
        return None
    return to_yaml(to_jsonable_python(value), one_line=True)


_WORDS: dict[Any, str] = {
    bool: "true or false",
    float: "number",
    int: "integer",
    str: "text",
    Path: "path",
}
_BOUNDS = {
    "ge": "at least {}",
    "gt": "greater than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "min_length": "at least {} long",
    "max_length": "at most {} long",
}


def _type_of(field: FieldInfo) -> str:
    text = _words(field.annotation)
    for one in field.metadata:
        for name, words in _BOUNDS.items():
            bound = getattr(one, name, None)
            if bound is not None:
                text += f", {words.format(f'{bound:g}')}"
    return text


def _words(annotation: Any) -> str:  # noqa: ANN401
    options = alternatives(annotation)
    words = [_word(option) for option in options]
    # `alternatives` leaves None out; a union with None is the only type that tells it apart.
    if type(None) in get_args(annotation):
        words.append("null")
    return " | ".join(dict.fromkeys(words))


def _word(option: Any) -> str:  # noqa: ANN401
    arguments = get_args(option)
    origin = get_origin(option)
    if origin is Literal:
        return " | ".join(to_yaml(value, one_line=True) for value in arguments)
    if origin is tuple and Ellipsis not in arguments:
        return f"[{', '.join(_words(one) for one in arguments)}]"
    if origin in CONTAINERS:
        item = _words(arguments[1 if origin is dict else 0])
        return f"{'mapping' if origin is dict else 'list'} of {item}"
    if isinstance(option, type) and issubclass(option, Settings):
        return " | ".join(names_of(option)) or "section"
    return _WORDS.get(option, getattr(option, "__name__", "any"))
