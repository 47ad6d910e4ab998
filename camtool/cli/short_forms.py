"""Options that stand for settings: `--method grad-cam` is `--set localize.cam=grad-cam`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from camtool.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")

_TEXTS: Final = {
    "method": ("localize.cam", "NAME", "How maps are made, see `camtool methods` [cam]."),
    "boxes_rule": ("localize.boxes", "NAME", "How a map becomes boxes [paper]."),
    "threshold": ("localize.boxes.threshold", "T", "Share of a map's maximum, or otsu [0.2]."),
    "backbone": ("model.backbone", "NAME", "The network, see `camtool models`."),
    "draw": ("localize.overlays.draw", "WHAT", "Overlays of top-1, top-k, or all classes [top-1]."),
}
"""Setting, placeholder and help of each option whose value is that of its setting."""


def short_forms(command: F) -> F:
    """Add the options; their values arrive by keyword."""
    added = [
        click.option(f"--{name.replace('_', '-')}", metavar=metavar, help=text)
        for name, (_, metavar, text) in _TEXTS.items()
    ]
    added += [
        click.option("--top-k", type=int, metavar="K", help="The K most probable classes [5]."),
        click.option("--min-score", type=float, metavar="P", help="No less probable class [0]."),
        click.option("--classes", metavar="A,B", help="These classes in every image."),
    ]
    for option in reversed(added):
        command = option(command)
    return command


def short_overrides(given: Mapping[str, Any]) -> list[str]:
    """Return the given options as overrides, in the order in which parts and their settings go.

    Example:
        >>> short_overrides({"method": "grad-cam", "threshold": ".3", "top_k": None})
        ['localize.cam=grad-cam', 'localize.boxes.threshold=.3']

    Args:
        given: values by the name of the option; None for those not given.

    Raises:
        SettingsError: classes are listed, and counted or limited too.
    """
    found = [
        f"{key}={given[name]}" for name, (key, *_) in _TEXTS.items() if given.get(name) is not None
    ]
    counted = {"k": given.get("top_k"), "min_score": given.get("min_score")}
    counted = {key: value for key, value in counted.items() if value is not None}
    if (classes := given.get("classes")) is not None:
        if counted:
            raise SettingsError(
                "--classes names all classes that get a map: leave out --top-k and --min-score"
            )
        names = [name.strip() for name in classes.split(",") if name.strip()]
        found.append(f"localize.classes={json.dumps({'name': 'list', 'classes': names})}")
    elif counted:
        found.append("localize.classes.name=top-k")
        found += [f"localize.classes.{key}={value}" for key, value in counted.items()]
    return found
