"""Settings → YAML text that reads back to equal settings, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml

from camtool.settings.places import KeyPath, dotted
from camtool.settings.scalars import plain_scalar

if TYPE_CHECKING:
    from camtool.settings.base import Settings

__all__ = ["differences", "dump_settings", "to_yaml"]


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


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the dotted key paths at which two resolved experiments differ.

    Args:
        a: settings as `model_dump(mode="json")` gives them.
        b: other settings of the same class.

    Returns:
        Paths in the order of `a`, then those only in `b`. Where two parts have different names,
        only the path of `name`, because the other settings then belong to different things.
    """
    return [dotted(path) for path in _differing(a, b, ())]


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
