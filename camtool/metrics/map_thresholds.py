"""Box accuracy of maps under each rule for the threshold that needs no other images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from camtool.metrics.figures import AtThreshold, ThresholdChoice
from camtool.metrics.level_hits import OWN_RULES
from camtool.metrics.max_box_acc import IOUS

if TYPE_CHECKING:
    from camtool.metrics.max_box_acc import BoxAccuracy, BoxAccuracyCurve

__all__ = ["map_choices"]


def map_choices(
    accuracy: BoxAccuracy, curve: BoxAccuracyCurve, fixed: float, percentile: float
) -> dict[str, ThresholdChoice]:
    """Return the accuracy at each IoU under each rule, by name of the metric.

    Args:
        accuracy: the images.
        curve: their accuracy at every threshold, of which the oracle takes the best.
        fixed: a threshold that was fixed before.
        percentile: percentage of the pixels that are background, by the percentile rule.
    """
    at_fixed = accuracy.compute(np.array([fixed]))
    otsu, share = (accuracy.own(rule) for rule in OWN_RULES)
    return {
        f"max_box_acc_{iou}": ThresholdChoice(
            {
                "fixed": AtThreshold(fixed, at_fixed.at(fixed, iou)),
                "otsu": AtThreshold("each map's", float(otsu[k])),
                "percentile": AtThreshold(f"each map's {percentile:g} %", float(share[k])),
                "oracle": AtThreshold(curve.best(iou).threshold, curve.best(iou).value),
            },
            "fixed",
        )
        for k, iou in enumerate(IOUS)
    }
