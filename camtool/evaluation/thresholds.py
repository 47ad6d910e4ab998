"""The figures of an evaluation under every rule for the threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from camtool.evaluation.sweeping import Sweeper
from camtool.metrics.figures import AtThreshold
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camtool.evaluation.calibration import Calibration
    from camtool.evaluation.scoring import Scoring
    from camtool.metrics.figures import Figures, ThresholdChoice

__all__ = ["with_thresholds"]


def with_thresholds(
    figures: Figures,
    scoring: Scoring,
    sweeper: Sweeper | str | None,
    calibration: Calibration | None,
) -> Figures:
    """Return the figures with what other thresholds would give.

    Args:
        figures: those of the protocol.
        scoring: the images, judged.
        sweeper: what judged their maps at all thresholds, or the reason why nothing did.
        calibration: a threshold that was chosen on images that are not scored.
    """
    if isinstance(sweeper, str):
        return replace(figures, absent=figures.absent | {"other_thresholds": sweeper})
    if sweeper is not None:
        chosen = calibration.chosen if calibration else None
        images = [j.swept for j in scoring.located]
        choices, curves, absent = sweeper.figures(images, figures.metrics, chosen)
        return replace(
            figures,
            absent=figures.absent | absent,
            thresholds=choices,
            curves=figures.curves | curves,
        )
    if calibration is not None and figures.thresholds:
        return replace(figures, thresholds=_calibrated(figures.thresholds, scoring, calibration))
    return figures


def _calibrated(
    choices: Mapping[str, ThresholdChoice], scoring: Scoring, calibration: Calibration
) -> dict[str, ThresholdChoice]:
    """Add the chosen threshold of each IoU to the figures of a map protocol."""
    outcomes: list[Any] = [j.outcome for j in scoring.located]
    accuracy = BoxAccuracy.of(outcome.packed for outcome in outcomes)
    result = dict(choices)
    for iou in IOUS:
        name, at = f"max_box_acc_{iou}", calibration.threshold.at_iou.get(iou)
        if at is None or name not in choices:
            continue
        value = accuracy.compute(np.array([at])).at(at, iou)
        rules = choices[name].rules
        oracle = {"oracle": rules["oracle"]}
        others = {rule: of_rule for rule, of_rule in rules.items() if rule != "oracle"}
        result[name] = replace(
            choices[name],
            rules={**others, calibration.rule: AtThreshold(at, value), **oracle},
            deployable=calibration.rule,
        )
    return result
