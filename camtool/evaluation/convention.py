"""How was scored, in sentences: every report states it, because published codes differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from camtool.boxes import BoxRule, SweptRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.annotations import AnnotationSet
    from camtool.evaluation.matching import BlackList
    from camtool.evaluation.settings import EvalSettings

_RULES: Final[TypeAdapter[Any]] = TypeAdapter(BoxRule)


def box_rule_of(manifest: Mapping[str, object]) -> str | None:
    """Return the box rule that a run's manifest names, as text; None where it names none."""
    rule = _rule(manifest)
    if rule is None:
        return None
    rest = ", ".join(f"{k}={_text(v)}" for k, v in rule.items() if k != "name" and v is not None)
    return f"{rule.get('name', 'boxes')} ({rest})" if rest else str(rule.get("name"))


def swept_rule_of(manifest: Mapping[str, object]) -> SweptRule | None:
    """Return the box rule that a run's manifest names, if it is a known one with a threshold."""
    try:
        rule = _RULES.validate_python(_rule(manifest))
    except ValidationError:
        return None
    return rule if isinstance(rule, SweptRule) else None


def _rule(manifest: Mapping[str, object]) -> dict[str, object] | None:
    settings = manifest.get("experiment")
    while isinstance(settings, dict):
        rule = settings.get("boxes")
        if isinstance(rule, dict):
            return rule
        settings = settings.get("localize")
    return None


def _text(value: object) -> str:
    """Return a setting as text; of a rule with a list of classes only how many there are."""
    if not isinstance(value, dict):
        return str(value)
    rest = (
        f"{len(v):,} {k}" if isinstance(v, dict) else f"{k} {v}"
        for k, v in value.items()
        if k != "name"
    )
    return " ".join((str(value.get("name")), *rest))


def convention(
    settings: EvalSettings,
    *,
    box_rule: str | None,
    blacklist: BlackList | None,
    listed: int,
    by_index: bool,
) -> dict[str, str]:
    """Return the convention by aspect.

    Args:
        settings: the settings of the evaluation.
        box_rule: how the predicted boxes were made; None where it is unknown.
        blacklist: the black-list, if one was given.
        listed: number of scored images that are black-listed.
        by_index: the annotations give class indices, not names.
    """
    difficult = "counted" if settings.difficult == "count" else "left out"
    resamples = settings.protocol.costly_resamples(settings.bootstrap)
    aspects = settings.protocol.aspects(box_rule)
    return {
        "hit": aspects.pop("hit"),
        "pixels": aspects.pop("pixels"),
        "true_boxes": f"{aspects.pop('true_boxes')}; difficult objects are {difficult}",
        "classes": _classes(by_index),
        **aspects,
        "blacklist": _blacklist(blacklist, listed),
        "interval": f"95 % percentile bootstrap {settings.bootstrap.describe(resamples)}",
    }


def by_index(annotations: AnnotationSet) -> bool:
    """Tell whether the classes are indices, which fit any network that has as many."""
    first = next(iter(annotations.annotations.values()), None)
    return first is not None and any(isinstance(label, int) for label in first.labels)


def _blacklist(blacklist: BlackList | None, listed: int) -> str:
    if blacklist is None:
        return "none: all errors are over the same images, localization over those with a box"
    return (
        f"{listed:,} scored images are black-listed: classification keeps them, localization, "
        f"GT-known and baselines leave them out; {blacklist.unmatched:,} of the list's "
        f"{blacklist.entries:,} entries match no annotated image"
    )


def _classes(by_index: bool) -> str:
    if by_index:
        return "class indices of the annotations taken as the network's own; nothing checks that"
    return "matched by name: wnid or title"
