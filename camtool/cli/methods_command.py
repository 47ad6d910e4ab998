"""camtool methods."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

import click

from camtool.cli.options import format_rows, setting_lines, terminal_width
from camtool.cli.terminal import say
from camtool.errors import SettingsError, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.settings import Settings

    Kind = tuple[str, tuple[tuple[str, str], ...], Sequence[type[Settings]]]


@click.command("methods")
@click.argument("name", default="")
def command(name: str) -> None:
    """List the ways from pictures to input, maps and boxes, of scoring and of training.

    With NAME, tell what one of them does, and its settings.
    """
    if name:
        say("\n\n".join(_page(name)))
        return
    from camtool.cam.method import PASSES_NOTE

    for setting, columns, parts in kinds():
        head = (setting, *(title for title, _ in columns))
        rows = [(part_name(part), *(getattr(part, key) for _, key in columns)) for part in parts]
        say(("" if setting == "localize.cam" else "\n") + format_rows([head, *rows]))
        if setting == "localize.cam":
            say(PASSES_NOTE)


def kinds() -> list[Kind]:
    """Return every kind of part: its setting, titles and attributes of columns, its members."""
    from camtool.boxes import BoxRule, Rule
    from camtool.boxes.thresholds import FoundThreshold, ThresholdRule
    from camtool.cam import CAMS
    from camtool.images import BasePreprocess, BaseViews, Preprocess, Views
    from camtool.metrics import PROTOCOLS
    from camtool.models import POOLINGS
    from camtool.pipelines.experiment import BaseClassChoice, ClassChoice
    from camtool.settings import members
    from camtool.training.augment import Augmentation, BaseAugmentation
    from camtool.training.data import Data, DataSettings
    from camtool.training.losses import BaseLoss, Loss
    from camtool.training.methods import Method, TrainingMethod
    from camtool.training.optimizer import (
        BaseOptimizer,
        BaseSchedule,
        OptimizerSettings,
        Schedule,
    )

    paper, passes = ("paper", "paper"), ("passes", "passes")
    does, what = ("what it does", "summary"), (("what it is", "summary"),)
    return [
        ("localize.cam", (paper, ("needs", "needs"), passes), CAMS),
        ("localize.boxes", (("rule", "summary"), paper), members(BoxRule, Rule)),
        ("localize.boxes.threshold", what, members(FoundThreshold, ThresholdRule)),
        ("localize.preprocess", (does,), members(Preprocess, BasePreprocess)),
        ("localize.views", (does, passes, paper), members(Views, BaseViews)),
        (
            "localize.classes",
            (("which classes get a map", "summary"),),
            members(ClassChoice, BaseClassChoice),
        ),
        ("eval.protocol", (("measures", "measure"), paper), PROTOCOLS),
        ("model.pooling", (does, paper), POOLINGS),
        ("train.method", (does, paper), members(Method, TrainingMethod)),
        ("train.loss", what, members(Loss, BaseLoss)),
        ("data", what, members(Data, DataSettings)),
        ("train.augment", what, members(Augmentation, BaseAugmentation)),
        ("train.optimizer", what, members(OptimizerSettings, BaseOptimizer)),
        ("train.schedule", what, members(Schedule, BaseSchedule)),
    ]


def _page(name: str) -> list[str]:
    """Return what is said of the parts of a name; more than one kind may have it."""
    every = [(setting, part) for setting, _, parts in kinds() for part in parts]
    found = [(setting, part) for setting, part in every if part_name(part) == name]
    if not found:
        from camtool.settings.written import similar

        near = similar(name, [part_name(part) for _, part in every])
        hint = f"did you mean '{near}'?" if near else "`camtool methods` lists them"
        raise SettingsError(f"no method is called '{shorten(name, 60)}'; {hint}")
    return ["\n\n".join(_told(setting, part)) for setting, part in found]


def _told(setting: str, part: type[Settings]) -> list[str]:
    from camtool.settings import describe

    width = terminal_width() or 100
    told = (inspect.getdoc(part) or "").partition("Example:")[0]
    paragraphs = [p for p in told.split("\n\n") if p.strip()]
    lines = [line for row in describe(part) for line in setting_lines(row)]
    return [
        f"{setting}: {part_name(part)}",
        *(textwrap.fill(" ".join(p.split()), width) for p in paragraphs),
        "\n".join(lines) or "no settings",
    ]


def part_name(part: type[Any]) -> str:
    """Return the name by which settings choose a part."""
    default: str = part.model_fields["name"].default
    return default
