"""camtool methods."""

from __future__ import annotations

import click

from camtool.cli.options import format_rows
from camtool.cli.terminal import say


@click.command("methods")
def command() -> None:
    """List the ways from pictures to input, maps and boxes, of scoring and of training."""
    from camtool.boxes import BoxRule, Rule
    from camtool.boxes.thresholds import FoundThreshold, ThresholdRule
    from camtool.cam import CAMS
    from camtool.cam.method import PASSES_NOTE
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

    cams = [(_name(c), c.paper, c.needs, c.passes) for c in CAMS]
    rules = [(_name(r), r.summary, r.paper) for r in members(BoxRule, Rule)]
    thresholds = [(_name(t), t.summary) for t in members(FoundThreshold, ThresholdRule)]
    fits = [(_name(p), p.summary) for p in members(Preprocess, BasePreprocess)]
    views = [(_name(v), v.summary, v.passes, v.paper) for v in members(Views, BaseViews)]
    protocols = [(_name(p), p.measure, p.paper) for p in PROTOCOLS]
    choices = [(_name(c), c.summary) for c in members(ClassChoice, BaseClassChoice)]
    poolings = [(_name(p), p.summary, p.paper) for p in POOLINGS]
    methods = [(_name(m), m.summary, m.paper) for m in members(Method, TrainingMethod)]
    losses = [(_name(one), one.summary) for one in members(Loss, BaseLoss)]
    say(format_rows([("localize.cam", "paper", "needs", "passes"), *cams]))
    say(PASSES_NOTE)
    say("\n" + format_rows([("localize.boxes", "rule", "paper"), *rules]))
    say("\n" + format_rows([("localize.boxes.threshold", "what it is"), *thresholds]))
    say("\n" + format_rows([("localize.preprocess", "what it does"), *fits]))
    say("\n" + format_rows([("localize.views", "what it does", "passes", "paper"), *views]))
    say("\n" + format_rows([("localize.classes", "which classes get a map"), *choices]))
    say("\n" + format_rows([("eval.protocol", "measures", "paper"), *protocols]))
    say("\n" + format_rows([("model.pooling", "what it does", "paper"), *poolings]))
    say("\n" + format_rows([("train.method", "what it does", "paper"), *methods]))
    say("\n" + format_rows([("train.loss", "what it is"), *losses]))
    for title, parts in (
        ("data", members(Data, DataSettings)),
        ("train.augment", members(Augmentation, BaseAugmentation)),
        ("train.optimizer", members(OptimizerSettings, BaseOptimizer)),
        ("train.schedule", members(Schedule, BaseSchedule)),
    ):
        rows = [(_name(part), part.summary) for part in parts]
        say("\n" + format_rows([(title, "what it is"), *rows]))


def _name(part: type) -> str:
    default: str = part.model_fields["name"].default  # type: ignore[attr-defined]
    return default
