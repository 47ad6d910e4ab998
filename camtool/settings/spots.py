"""From pydantic's location of an error to the user's key path and the types that are allowed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_origin

from camtool.settings.anatomy import (
    CONTAINERS,
    alternatives,
    item_alternatives,
    names_of,
    parts,
)

if TYPE_CHECKING:
    from camtool.settings.base import Settings
    from camtool.settings.places import KeyPath

__all__ = ["Spot", "locate"]


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
