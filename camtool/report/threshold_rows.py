"""The tables of an evaluation under several rules for the threshold, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from camtool.report.rows import metric_title

if TYPE_CHECKING:
    from camtool.evaluation.result import Evaluation
    from camtool.metrics.thresholds import AtThreshold, ThresholdChoice

__all__ = ["SUMMARY", "threshold_summary", "threshold_tables"]

_FURTHER: Final = frozenset(f"top{n}_localization_error" for n in (2, 3, 4, 5))
"""Figures that only the JSON gives under each rule."""

SUMMARY: Final = ("deployable threshold", "oracle threshold", "gap")
"""Head of what `threshold_summary` returns, behind the title."""

_RULES: Final = {
    "run": "boxes as stored",
    "fixed": "fixed",
    "otsu": "Otsu",
    "percentile": "percentile",
    "calibrated": "calibrated on other images",
    "stored": "calibrated before",
    "oracle": "oracle: best on these images",
}

Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def threshold_tables(evaluation: Evaluation) -> list[Table]:
    """Return head and rows of two tables; none where no figure has a threshold.

    The first holds, for each of the main figures, what one may expect on new images against the
    best threshold on these, and the gap; the second the same figures under each rule.
    """
    shown = _shown(evaluation)
    if not shown:
        return []
    measure = f"{evaluation.measure} %"
    rules = dict.fromkeys(rule for choice in shown.values() for rule in choice.rules)
    return [
        ((measure, *SUMMARY), threshold_summary(evaluation)),
        (
            (f"threshold, {measure}", *(metric_title(name) for name in shown)),
            [
                (_RULES[rule], *(_cell(choice.rules.get(rule)) for choice in shown.values()))
                for rule in rules
            ],
        ),
    ]


def threshold_summary(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return title, deployable figure, oracle and gap of each main figure with a threshold."""
    return [_summary(name, choice) for name, choice in _shown(evaluation).items()]


def _shown(evaluation: Evaluation) -> dict[str, ThresholdChoice]:
    return {n: c for n, c in evaluation.thresholds.items() if n not in _FURTHER}


def _summary(name: str, choice: ThresholdChoice) -> tuple[str, ...]:
    deployable = _cell(choice.rules[choice.deployable])
    return (
        metric_title(name),
        f"{deployable}, {choice.deployable}",
        _cell(choice.rules["oracle"]),
        f"{choice.gap:.2f}",
    )


def _cell(at: AtThreshold | None) -> str:
    if at is None:
        return ""
    where = at.threshold if isinstance(at.threshold, str) else f"{at.threshold:.3g}"
    return f"{at.value:.2f} at {where}"
