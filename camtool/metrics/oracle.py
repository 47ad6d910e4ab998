"""Box accuracy at the best threshold: intervals that choose it anew, and the curve it lies on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.curves import Curve, Level, Point
from camtool.metrics.max_box_acc import IOUS, BoxAccuracyCurve
from camtool.metrics.resampling import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap, Rate
    from camtool.metrics.figures import ThresholdChoice
    from camtool.metrics.max_box_acc import BoxAccuracy

__all__ = ["BOX_ACCURACY", "ImageDraws", "accuracy_curve", "oracle_intervals", "with_levels"]

BOX_ACCURACY: Final = "box_accuracy"
"""Name of the curve of box accuracy against the threshold."""


@dataclass(frozen=True, slots=True)
class ImageDraws:
    """Resamples of images, of which each may have several true classes to be found.

    Attributes:
        bootstrap: seed of the resamples.
        resamples: how many there are.
        classes: number of classes with boxes of each image.
        strata: stratum of each image; None for one stratum of all.
    """

    bootstrap: Bootstrap
    resamples: int
    classes: Sequence[int]
    strata: Sequence[Hashable] | None = None

    def weights(self) -> Iterator[NDArray[np.float32]]:
        """Yield how often each class of each image counts, float32 of shape (some, classes)."""
        classes = np.array(self.classes, np.int64)
        strata = None if self.strata is None else numbered(self.strata)
        for weights in self.bootstrap.weights(len(classes), self.resamples, strata):
            yield weights if (classes == 1).all() else np.repeat(weights, classes, axis=1)


def oracle_intervals(
    accuracy: BoxAccuracy,
    at: NDArray[np.float64],
    values: Callable[[BoxAccuracyCurve], dict[str, float]],
    draws: ImageDraws,
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile intervals; every resample of images chooses its thresholds anew.

    Args:
        accuracy: image after image, each of its classes.
        at: the thresholds to choose from, float64 of shape (n,).
        values: the metrics of a curve, in percent by name.
        draws: the resamples.
    """
    drawn: dict[str, list[float]] = {}
    for weights in draws.weights():
        right = np.zeros((len(weights), len(IOUS) * len(at)), np.float32)
        # Block by block, so that memory does not grow; exact, because all numbers are whole and
        # small enough for single precision.
        for images, hits in accuracy.blocks(at):
            right += weights[:, images] @ hits.reshape(len(hits), -1).astype(np.float32)
        counts = right.astype(np.int64).reshape(len(weights), len(IOUS), len(at))
        trials = weights.sum(1, dtype=np.float64).astype(np.int64)
        for of_resample, n in zip(counts, trials.tolist(), strict=True):
            for name, value in values(BoxAccuracyCurve(at, of_resample, n)).items():
                drawn.setdefault(name, []).append(value)
    return {
        name: tuple(np.percentile(numbers, (2.5, 97.5)).tolist()) for name, numbers in drawn.items()
    }


def accuracy_curve(
    accuracy: BoxAccuracy, curve: BoxAccuracyCurve, choices: Mapping[str, ThresholdChoice]
) -> Curve:
    """Return the accuracy at each threshold that makes masks of its own, with the chosen points."""
    at = accuracy.distinct(curve.thresholds)
    shown = accuracy.compute(at)
    points = []
    for iou in IOUS:
        choice = choices[f"max_box_acc_{iou}"]
        fixed = choice.rules["fixed"]
        points.append(Point(line_label(iou), choice.oracle, choice.oracle_value, "oracle"))
        points.append(Point(line_label(iou), float(fixed.threshold), fixed.value, "fixed"))
    return Curve(
        tuple(at.tolist()),
        {
            line_label(iou): tuple((100 * row / shown.images).tolist())
            for iou, row in zip(IOUS, shown.right, strict=True)
        },
        "threshold of the map, share of its maximum",
        "box accuracy, %",
        tuple(points),
    )


def with_levels(
    curves: Mapping[str, Curve], baselines: Mapping[str, Mapping[str, Rate]]
) -> dict[str, Curve]:
    """Return the curves with what each baseline reaches: its best threshold, or its only box."""
    levels = tuple(
        Level(line_label(iou), rates[name].value, baseline)
        for iou in IOUS
        for baseline, rates in baselines.items()
        if (name := f"max_box_acc_{iou}") in rates
    )
    return {
        name: replace(curve, levels=levels) if name == BOX_ACCURACY else curve
        for name, curve in curves.items()
    }


def line_label(iou: int) -> str:
    """Return the label of the line of an intersection over union in percent."""
    return f"IoU ≥ {iou / 100:g}"
