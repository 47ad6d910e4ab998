"""Box accuracy at the best threshold: intervals that choose it anew, and the curve it lies on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.baselines import best_centred
from camtool.metrics.curves import Curve, Level, Point
from camtool.metrics.max_box_acc import IOUS, BoxAccuracyCurve
from camtool.metrics.resampling import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap, Rate
    from camtool.metrics.figures import ThresholdChoice
    from camtool.metrics.max_box_acc import BoxAccuracy

__all__ = [
    "BOX_ACCURACY",
    "GAUSSIAN",
    "ImageDraws",
    "accuracy_curve",
    "oracle_intervals",
    "with_levels",
]

GAUSSIAN: Final = "centred_gaussian"
"""Name of the baseline that scores a centred Gaussian map."""

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

    def weights(self) -> Iterator[NDArray[np.int32]]:
        """Yield how often each class of each image counts, int32 of shape (some, classes)."""
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
    steps = _steps(accuracy, at)
    drawn: dict[str, list[float]] = {}
    for weights in draws.weights():
        for of_resample in weights:
            right = steps.right(of_resample)
            curve = BoxAccuracyCurve(at, right, int(of_resample.sum(dtype=np.int64)))
            for name, value in values(curve).items():
                drawn.setdefault(name, []).append(value)
    return {
        name: tuple(np.percentile(numbers, (2.5, 97.5)).tolist()) for name, numbers in drawn.items()
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Where images turn right and wrong as the threshold rises: some ten places an image.

    Attributes:
        images: image of each step, int32 of shape (steps,).
        signs: 1 where it turns right and -1 where it turns wrong, int8 likewise.
        columns: the IoUs and thresholds, counted as one, at which there are steps; in order.
        starts: where the steps of each of these columns begin; steps are sorted by column.
        thresholds: number of thresholds.
    """

    images: NDArray[np.int32]
    signs: NDArray[np.int8]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    thresholds: int

    def right(self, weights: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return how many are right, each image counted `weights` times, int64 (3, thresholds)."""
        sums = np.zeros((len(IOUS), self.thresholds), np.int64)
        if len(self.columns):
            steps = weights[self.images]
            steps *= self.signs
            np.put(sums, self.columns, np.add.reduceat(steps, self.starts))
        return sums.cumsum(axis=1)


def _steps(accuracy: BoxAccuracy, at: NDArray[np.float64]) -> _Steps:
    """Sort all steps by column in two passes, so that only one block of images is ever unsorted."""
    numbers = np.zeros(len(IOUS) * len(at), np.int64)
    for _, _, columns in _changes(accuracy, at):
        numbers += np.bincount(columns, minlength=len(numbers))
    starts = numbers.cumsum() - numbers
    images, signs = np.empty(numbers.sum(), np.int32), np.empty(numbers.sum(), np.int8)
    free = starts.copy()
    for of_block, signs_of_block, columns in _changes(accuracy, at):
        order = np.argsort(columns, kind="stable")
        present, first, times = np.unique(columns[order], return_index=True, return_counts=True)
        places = np.repeat(free[present] - first, times) + np.arange(len(order))
        images[places], signs[places] = of_block[order], signs_of_block[order]
        free[present] += times
    (present,) = np.nonzero(numbers)
    return _Steps(images, signs, present, starts[present], len(at))


def _changes(
    accuracy: BoxAccuracy, at: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]]]:
    """Yield image, sign and column of the steps of some images after the other."""
    for images, hits in accuracy.blocks(at):
        change = hits.astype(np.int8)
        change[:, :, 1:] -= hits[:, :, :-1].view(np.int8)
        image, iou, place = np.nonzero(change)
        yield image + images.start, change[image, iou, place], iou * len(at) + place


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
    """Return the curves with what the baselines reach that know nothing of the images."""
    levels: list[Level] = []
    for iou in IOUS:
        name, line = f"max_box_acc_{iou}", line_label(iou)
        values = {b: rates[name].value for b, rates in baselines.items() if name in rates}
        if GAUSSIAN in values:
            levels.append(Level(line, values[GAUSSIAN], "centred Gaussian map, oracle"))
        if best := best_centred(values):
            levels.append(Level(line, values[best], "best centred box"))
    return {
        name: replace(curve, levels=tuple(levels)) if name == BOX_ACCURACY else curve
        for name, curve in curves.items()
    }


def line_label(iou: int) -> str:
    """Return the label of the line of an intersection over union in percent."""
    return f"IoU ≥ {iou / 100:g}"
