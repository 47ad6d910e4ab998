"""Localization of stored boxes under each rule for the threshold, and its curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from camtool.metrics.box_marks import DEPTHS
from camtool.metrics.box_rules import Hit
from camtool.metrics.curves import Curve, Point
from camtool.metrics.figures import AtThreshold, ThresholdChoice
from camtool.metrics.threshold_sweep import IOUS
from camtool.metrics.threshold_table import GT_KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.metrics.box_protocol import BoxProtocol
    from camtool.metrics.confidence import Rate
    from camtool.metrics.threshold_sweep import Sweep
    from camtool.metrics.threshold_table import ThresholdTable

__all__ = ["FIGURES", "Chosen", "threshold_choices", "threshold_curves"]

FIGURES: Final = {"gt_known_error": GT_KNOWN} | {f"top{n}_localization_error": n for n in DEPTHS}
"""The figures that depend on the threshold, and their N."""

_CURVES: Final = {"gt_known": "gt_known_error", "top1_localization": "top1_localization_error"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold that was chosen on other images.

    Attributes:
        rule: `calibrated` or `stored`.
        value: the threshold.
        classes: thresholds of single classes, by name; all others have `value`.
    """

    rule: str
    value: float
    classes: Mapping[str, float] = field(default_factory=dict)


def threshold_choices(
    table: ThresholdTable,
    metrics: Mapping[str, Rate],
    sweep: Sweep,
    run: float | str,
    chosen: Chosen | None,
) -> dict[str, ThresholdChoice]:
    """Return the localization errors under each rule, for those of `metrics` that have maps.

    Args:
        table: the images that count for localization.
        metrics: the figures of the boxes as stored.
        sweep: the settings of the rules.
        run: the threshold that the run's boxes were made with.
        chosen: a threshold that was chosen on other images.
    """
    return {
        name: _choice(table, n, metrics[name].value, sweep, run, chosen)
        for name, n in FIGURES.items()
        if name in metrics and not table.lacking(n)
    }


def _choice(
    table: ThresholdTable,
    n: int,
    stored: float,
    sweep: Sweep,
    run: float | str,
    chosen: Chosen | None,
) -> ThresholdChoice:
    total, right = table.total(n), table.right(n)
    wrong = 100 * (total - right) / total
    shares = table.shares.tolist()
    best = int(right[: len(shares)].argmax())
    rules = {
        "run": AtThreshold(run, stored),
        "fixed": AtThreshold(sweep.fixed, float(wrong[shares.index(sweep.fixed)])),
        "otsu": AtThreshold("each map's", float(wrong[len(shares)])),
        "percentile": AtThreshold(f"each map's {sweep.percentile:g} %", float(wrong[-1])),
    }
    if chosen is not None:
        count = table.right_with(n, chosen.value, chosen.classes)
        own = f", {len(chosen.classes):,} classes their own" if chosen.classes else ""
        at = f"{chosen.value:.3g}{own}" if own else chosen.value
        rules[chosen.rule] = AtThreshold(at, 100 * (total - count) / total)
    rules["oracle"] = AtThreshold(shares[best], float(wrong[best]))
    return ThresholdChoice(rules, "run" if chosen is None else chosen.rule)


def threshold_curves(
    table: ThresholdTable, choices: Mapping[str, ThresholdChoice], protocol: BoxProtocol
) -> dict[str, Curve]:
    """Return the accuracy against the threshold for GT-known and top-1, a line for each IoU.

    The rules' figures are points of the line of the protocol's own IoU, where it has a line. A
    line's label states the protocol's hit rule, which for guesses may be another than for GT-known.
    """
    x = tuple(table.shares.tolist())
    curves = {}
    for curve, name in _CURVES.items():
        if name not in choices:
            continue
        n = FIGURES[name]
        hit = protocol.known_hit if n == GT_KNOWN else protocol.guess_hit
        lines = {
            _label(hit, at): tuple((100 * table.right(n, at)[: len(x)] / table.total(n)).tolist())
            for at in IOUS
        }
        curves[curve] = Curve(
            x,
            lines,
            "threshold of the map, share of its maximum",
            "localization accuracy, %",
            _points(choices[name], hit, protocol.iou_threshold),
        )
    return curves


def _label(hit: Hit, iou: float) -> str:
    return f"IoU {'≥' if hit is Hit.AT_LEAST else '>'} {iou:g}"


def _points(choice: ThresholdChoice, hit: Hit, iou: float) -> tuple[Point, ...]:
    """Return the oracle and what one may expect, where they have a number for a threshold."""
    shown = ((rule, choice.rules[rule]) for rule in (choice.deployable, "oracle"))
    return tuple(
        Point(_label(hit, iou), float(at.threshold), 100 - at.value, rule)
        for rule, at in shown
        if isinstance(at.threshold, int | float) and iou in IOUS
    )
