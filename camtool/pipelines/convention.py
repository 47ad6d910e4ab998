"""How was scored, in sentences: every report states it, because published codes differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.pipelines.evaluation import EvalSettings
    from camtool.pipelines.selection import BlackList

__all__ = ["box_rule_of", "convention"]


def box_rule_of(manifest: Mapping[str, object]) -> str | None:
    """Return the box rule that a run's manifest names, as text; None where it names none."""
    settings = manifest.get("experiment")
    while isinstance(settings, dict):
        rule = settings.get("boxes")
        if isinstance(rule, dict):
            rest = ", ".join(f"{k}={v}" for k, v in rule.items() if k != "name" and v is not None)
            return f"{rule.get('name', 'boxes')} ({rest})" if rest else str(rule.get("name"))
        settings = settings.get("localize")
    return None


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
    rule = f"{box_rule}, fixed before scoring" if box_rule else "unknown: boxes taken as stored"
    return {
        "hit": settings.protocol.hit_rule,
        "pixels": "half-open boxes; inclusive corners were widened by 1, as the official +1 rule",
        "true_boxes": f"any true box of the class; difficult objects are {difficult}",
        "classes": _classes(by_index),
        "guess_box": "each guess has the strongest box of its own class; no box is wrong",
        "frame": "the annotation's; predicted boxes are scaled where the sizes differ",
        "threshold": rule,
        "gt_known": "the box of the true class, for each pair of image and true class",
        "blacklist": _blacklist(blacklist, listed),
        "interval": (
            f"95 % percentile bootstrap over images, {settings.bootstrap.samples:,} resamples, "
            f"seed {settings.bootstrap.seed}"
        ),
    }


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
