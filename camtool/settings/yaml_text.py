"""Settings as YAML text: read strictly, and written so that it reads back to equal settings.

A plain word means what the YAML 1.2 core schema says, made stricter. YAML 1.1, which PyYAML follows
by itself, reads `yes` as true, `1e-3` as text, `010` as eight, `1:30` as ninety and `2024-01-01` as
a date. Here the first, third, fourth and fifth are text, which then fails as a wrong type where a
number or a truth value is expected, and the second is a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from camtool.errors import shorten
from camtool.settings.written import MOST_PROBLEMS, KeyPath, Place, problem, settings_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.events import Event

    from camtool.settings.classes import Settings

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "false": False,
}
# Python refuses to convert integers of thousands of digits; far below that they are no numbers.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]{0,299})")
_OCTAL = re.compile(r"0o[0-7]{1,99}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,99}")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*|(0|[1-9][0-9]*)(?=[eE]))([eE][-+]?[0-9]+)?"
)
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def plain_scalar(text: str) -> Scalar:
    """Return the value of an unquoted YAML scalar; whatever is not plainly something is text."""
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, base=0)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def looks_like_a_number(text: str) -> bool:
    """Whether `text` would have been a number without its quotes."""
    return isinstance(plain_scalar(text), int | float) and text not in _WORDS


MOST_LEVELS = 50
"""Levels of lists and mappings within each other."""


class YamlReader:
    """Reads one YAML document of text, numbers, true, false, null, lists and mappings.

    Duplicate keys, tags, anchors, aliases, merge keys, keys that are not text and a second document
    are refused. The events of PyYAML's parser are read directly: they come one by one, so neither
    nesting nor aliases can make memory grow beyond the text, and nothing is ever constructed.

    Args:
        text: the YAML text.
        source: how messages call the text: the file's name, or a `--set`.
        numbered: whether lines of the text mean anything to the user.
        prefix: the keys above the document, for messages.

    Attributes:
        keys: the place of every key and list item, by key path without the prefix.
        values: the place of every scalar's first character.
    """

    def __init__(
        self, text: str, source: str, *, numbered: bool = True, prefix: KeyPath = ()
    ) -> None:
        """Take the text; nothing is read before `read`."""
        self.keys: dict[KeyPath, Place] = {}
        self.values: dict[KeyPath, Place] = {}
        self._text = text
        self._source = source
        self._numbered = numbered
        self._prefix = prefix
        self._problems: list[str] = []
        self._events = self._parse()

    def read(self) -> Any:  # noqa: ANN401  (JSON-like data)
        """Return the document's data, None for an empty text.

        Raises:
            SettingsError: all problems of structure, or the first of syntax.
        """
        data = None
        documents = 0
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._complain(event, (), "a second document ('---'); keep only one")
                    break
            elif isinstance(event, yaml.NodeEvent):
                data = self._node(event, ())
        if self._problems:
            raise settings_error(self._problems)
        return data

    def _node(self, event: Event, path: KeyPath) -> Any:  # noqa: ANN401
        self._refuse_extras(event, path)
        # Deeper data would end in Python's own recursion limit, here or in a later reader.
        if len(path) + len(self._prefix) > MOST_LEVELS:
            self._complain(event, path[:3], f"more than {MOST_LEVELS} levels of nesting")
            raise settings_error(self._problems)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path)
        if isinstance(event, yaml.ScalarEvent):
            self.values[path] = self._place(event)
            return self._scalar(event, path)
        return None

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event, path)
            here = (*path, key)
            if key in data:
                first = self.keys[here].line
                where = f", first on line {first}" if first else ""
                self._complain(event, here, f"given twice{where}; keep one of them")
            else:
                self.keys[here] = self._place(event)
            data[key] = self._node(next(self._events), here)
        return data

    def _sequence(self, path: KeyPath) -> list[Any]:
        data: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*path, len(data))
            self.keys[here] = self._place(event)
            data.append(self._node(event, here))
        return data

    def _key(self, event: Event, path: KeyPath) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            # Not read on: keys within keys within keys would end in Python's recursion limit.
            self._complain(event, path, "a key must be text, not a list, mapping or alias")
            raise settings_error(self._problems)
        value = self._node(event, path)
        self.values.pop(path, None)
        if event.style is None and event.value == "<<":
            self._complain(event, path, "merge keys ('<<') are not read; write the settings out")
        elif not isinstance(value, str):
            self._complain(
                event, path, f"the key {shorten(event.value)!r} is not text; put it in quotes"
            )
        return event.value

    def _scalar(self, event: yaml.ScalarEvent, path: KeyPath) -> Scalar:
        value = event.value
        if any(c == "\0" or "\ud800" <= c <= "\udfff" for c in value):
            self._complain(event, path, "text with a NUL or half a surrogate pair; remove it")
        return plain_scalar(value) if event.style is None else value

    def _refuse_extras(self, event: Event, path: KeyPath) -> None:
        if isinstance(event, yaml.AliasEvent):
            self._complain(event, path, f"aliases (*{event.anchor}) are not read; write it out")
            return
        if getattr(event, "anchor", None) is not None:
            self._complain(event, path, "anchors (&name) are not read; write the settings out")
        if (tag := getattr(event, "tag", None)) is not None:
            self._complain(event, path, f"tags ({shorten(tag)}) are not read; remove it")

    def _complain(self, event: Event, path: KeyPath, text: str) -> None:
        self._problems.append(problem(self._place(event), (*self._prefix, *path), text))
        if len(self._problems) > MOST_PROBLEMS:
            raise settings_error(self._problems)

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self._source, mark.line + 1 if mark and self._numbered else None)

    def _parse(self) -> Iterator[Event]:
        try:
            yield from yaml.parse(self._text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            text = f"the character U+{ord(self._text[error.position]):04X} cannot stand in YAML"
            raise self._syntax_error(error.position, f"{text}; remove it") from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            index = len(self._text) if mark is None else mark.index
            raise self._syntax_error(index, _explain(error)) from error
        except (ValueError, OverflowError) as error:
            # PyYAML converts the digits of escapes and versions without looking at their range.
            raise self._syntax_error(None, "an escape or a version out of range") from error

    def _syntax_error(self, index: int | None, text: str) -> Exception:
        place = Place(self._source)
        if self._numbered and index is not None:
            before = self._text[:index].replace("\r\n", "\n").replace("\r", "\n")
            line = before.count("\n") + 1
            place = Place(self._source, line, len(before) - before.rfind("\n"))
        return settings_error([*self._problems, problem(place, self._prefix, text)])


def _explain(error: yaml.MarkedYAMLError) -> str:
    said = shorten(error.problem or error.context or "unreadable", 160)
    if "'\\t'" in said:
        return "a tab where YAML wants spaces; indent with spaces"
    if "cannot start any token" in said:
        said += "; put the text in quotes"
    if "mapping values are not allowed" in said:
        said += "; put text that holds ': ' in quotes, and check the indentation"
    return f"not valid YAML: {said}"


class _Dumper(yaml.SafeDumper):
    """Quotes what this program's reader would not take for text, and never writes an alias."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ANN401, ARG002
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = None if plain_scalar(data) == data and data != "<<" else "'"
        # Only double quotes hold every kind of line end (U+0085, U+2028 ...) as it is.
        if not data.isprintable():
            style = '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def represent_short_list(self, data: list[Any]) -> yaml.SequenceNode:
        short = not any(isinstance(item, list | dict) for item in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=short or None)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.add_representer(list, _Dumper.represent_short_list)


def dump_settings(settings: Settings) -> str:
    """Return the settings as YAML, all of them, in the order of their classes.

    `load_settings` reads the text back to an equal object; equal settings give equal text.

    Example:
        >>> from camtool.boxes import PointBoxes
        >>> print(dump_settings(PointBoxes()), end="")
        name: point
        interpolation: bilinear
    """
    return to_yaml(settings.model_dump(mode="json"))


def to_yaml(data: object, *, one_line: bool = False) -> str:
    """Return JSON-like data as YAML: a key a line, lists of scalars in one line.

    Args:
        data: text, numbers, truth values, None, lists and mappings with text keys.
        one_line: everything in one line, without a line end.
    """
    if not one_line:
        return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    # A list around it keeps a lone scalar from being followed by an end-of-document mark.
    text = yaml.dump(
        [data],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**9,
        default_flow_style=True,
    )
    return text.strip()[1:-1]
