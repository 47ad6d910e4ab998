"""The base of all settings classes, and what such a class is made of: fields, parts, items."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from camtool.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

_LARGEST: Final = 2**63 - 1
FilePath = Annotated[Path, Field(strict=False)]
"""A setting that names a file or a folder; from Python, text will do."""


class Settings(BaseModel):
    """Base of every settings class: frozen, strictly typed, unknown keys refused.

    Example:
        >>> class Threshold(Settings):
        ...     value: float = 0.2
        >>> Threshold(value=0.3)
        Threshold(value=0.3)
        >>> Threshold(valeu=0.3)
        Traceback (most recent call last):
        camtool.errors.SettingsError: Threshold: valeu: unknown setting; did you mean 'value'?
        >>> Threshold(value=0.3).value = 0.4
        Traceback (most recent call last):
        camtool.errors.SettingsError: Threshold: value: settings never change; make others, ...
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @field_validator("*")
    @classmethod
    def _within_64_bits(cls, value: Any) -> Any:  # noqa: ANN401
        # Arrays, generators of random numbers and files hold no larger ones.
        if isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
            raise ValueError(f"must be a whole number within ±{_LARGEST:,} (64 bits)")
        return value

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 (checked by the fields)
        """Take the settings by name; what is not given has its default.

        Raises:
            SettingsError: names every wrong setting, and what would fit.
        """
        try:
            super().__init__(**given)
        except ValidationError as error:
            from camtool.settings.messages import describe_problems
            from camtool.settings.written import Place, Written

            kind = type(self)
            written = Written(given, {}, {}, Place(kind.__name__))
            # Not `from`: pydantic's words, which say less, would be printed before these.
            raise describe_problems(kind, error, written) from None

    # Pydantic itself marks an initialiser so that only checks what it is given: parts within YAML
    # are then made without it, and their problems are told together.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    if not TYPE_CHECKING:  # type checkers would let every name be assigned

        def __setattr__(self, name: str, value: object) -> None:
            """Refuse."""
            kind = type(self).__name__
            raise SettingsError(
                f"{kind}: {name}: settings never change; make others, {kind}({name}=…)"
            )


Part = TypeVar("Part", bound=Settings)

CONTAINERS = (list, tuple, set, frozenset, dict)


def alternatives(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401  (any type expression)
    """Return the types that `annotation` allows: unions flat, `None` and `Annotated` taken off."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return tuple(one for arg in get_args(annotation) for one in alternatives(arg))
    return () if annotation in (None, NoneType) else (annotation,)


def parts(options: tuple[Any, ...]) -> tuple[type[Settings], ...]:
    """Return the settings classes among the alternatives."""
    return tuple(one for one in options if isinstance(one, type) and issubclass(one, Settings))


def members(union: Any, base: type[Part]) -> tuple[type[Part], ...]:  # noqa: ANN401
    """Return the classes of an exchangeable part, in the order of their union.

    Example:
        >>> from camtool.boxes import BoxRule
        >>> from camtool.boxes.rule import Rule
        >>> [rule.model_fields["name"].default for rule in members(BoxRule, Rule)][:2]
        ['paper', 'dt']

    Args:
        union: the union; one with `Annotated` around it will do.
        base: the class that all members derive from.

    Raises:
        TypeError: a member of the union is no such class.
    """
    found = alternatives(union)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, base)):
            raise TypeError(f"{one!r} is not a {base.__name__}")
    return found


def names_of(part: type[Settings]) -> tuple[str, ...]:
    """Return the values of the part's `name` literal; none when it is not an exchangeable part."""
    field = part.model_fields.get("name")
    if field is None or get_origin(field.annotation) is not Literal:
        return ()
    return get_args(field.annotation)


def literal_values(options: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the texts that literals among the alternatives allow."""
    values = [v for one in options if get_origin(one) is Literal for v in get_args(one)]
    return tuple(value for value in values if isinstance(value, str))


def part_names(options: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of all parts among the alternatives, in the order of the union."""
    return tuple(name for part in parts(options) for name in names_of(part))


def is_part_name(value: object, options: tuple[Any, ...]) -> bool:
    """Tell whether a value is the name of a part, and no text that may stand there itself."""
    if not isinstance(value, str) or value not in part_names(options):
        return False
    return str not in options and value not in literal_values(options)


def settings_class(
    options: tuple[Any, ...], data: Mapping[str, Any], default: Settings | None
) -> type[Settings] | None:
    """Return the class that `data` describe: by `name`, else the default's, else the only one."""
    classes = parts(options)
    if "name" in data:
        named = [part for part in classes if data["name"] in names_of(part)]
        if named:
            return named[0]
    elif default is not None:
        return type(default)
    return classes[0] if len(classes) == 1 else None


def default_settings(field: FieldInfo, key: str, owner: Settings | None) -> Settings | None:
    """Return the settings object that stands in a field when nothing is given, if one does.

    Args:
        field: the field.
        key: its name.
        owner: the object that holds the field, when it is itself a default: its value goes before
            the default of its class.
    """
    factory = field.default_factory
    default = field.default
    if owner is not None:
        default = getattr(owner, key)
    elif isinstance(factory, type) and issubclass(factory, Settings):
        default = factory()
    return default if isinstance(default, Settings) else None


def item_alternatives(container: Any, key: str | int) -> tuple[Any, ...]:  # noqa: ANN401
    """Return what a list, tuple or dict type allows at `key`, nothing for other types."""
    origin, arguments = get_origin(container), get_args(container)
    if origin not in CONTAINERS or not arguments:
        return ()
    if origin is tuple and arguments[-1] is not Ellipsis:
        inside = isinstance(key, int) and key < len(arguments)
        return alternatives(arguments[key]) if inside else ()  # type: ignore[index]
    return alternatives(arguments[1 if origin is dict else 0])
