"""The protocols of the WSOL benchmark as settings: what is judged of a map, and which figures come.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437. The threshold is chosen on the scored images: an oracle. Beside it
stands the accuracy at a threshold that was fixed before, and the gap between the two.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.errors import EvaluationError, shorten
from camtool.kernels import Contours, all_contours, largest_contours
from camtool.metrics.centred_gaussian import SIGMA
from camtool.metrics.confidence import Rate
from camtool.metrics.figures import Figures
from camtool.metrics.level_hits import (
    LevelHits,
    level_hits,
    own_levels,
)
from camtool.metrics.map_outcome import MapOutcome, flat, lacking
from camtool.metrics.map_thresholds import map_choices
from camtool.metrics.marks import Mark, Marks, image_marks
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy, BoxAccuracyCurve, thresholds
from camtool.metrics.oracle import BOX_ACCURACY, ImageDraws, accuracy_curve, oracle_intervals
from camtool.metrics.resampling import ONE_STRATUM, Strata
from camtool.metrics.unit_frame import boxes_to_frame, eight_bit
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap
    from camtool.metrics.sources import MapSource
    from camtool.structures import Annotation, Prediction

__all__ = ["MapProtocol", "MaxBoxAcc", "MaxBoxAccV2"]

MOST_RESAMPLES = 1000
"""Resamples of a figure that is no plain share cost a pass over all images each."""

_SHARES = tuple(iou / 100 for iou in IOUS)


class MapProtocol(Settings, ABC):
    """What both protocols share: the frame, the thresholds, the figures of a curve."""

    paper: ClassVar[str]
    needs_boxes: ClassVar[bool] = True
    needs_maps: ClassVar[bool] = True
    measure: ClassVar[str] = "accuracy"

    interval: Annotated[float, Field(ge=0.0005, le=0.5)] = 0.001
    """Step from threshold to threshold."""

    fixed: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Threshold whose accuracy stands beside that of the oracle; a multiple of the interval."""

    percentile: Annotated[float, Field(gt=0, lt=100)] = 80.0
    """Percentage of the pixels that are background, for the percentile rule."""

    @abstractmethod
    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return the contours of an 8-bit map whose boxes count; see `level_hits`."""

    def level_hits(
        self,
        values: NDArray[np.uint8],
        truths: NDArray[np.int64],
        *,
        found: Contours | None = None,
    ) -> LevelHits:
        """Tell at which levels of a map a box is right.

        Args:
            values: 8-bit map of the true class, shape (height, width).
            truths: true boxes in the map's pixels, inclusive corners, int64 of shape (n, 4).
            found: the map's contours, where they are known already.
        """
        found = self.contours(values) if found is None else found
        return level_hits(found, values, truths, _SHARES)

    @abstractmethod
    def values(self, curve: BoxAccuracyCurve) -> dict[str, float]:
        """Return the metrics in percent, by name."""

    def judge(
        self, truth: Annotation, prediction: Prediction, maps: MapSource | None = None
    ) -> MapOutcome:
        """Return at which levels the maps of an image's true classes are right.

        Raises:
            EvaluationError: nobody gives the size of the image, or a map cannot be scored.
        """
        size = truth.size or prediction.size
        if size is None:
            raise EvaluationError(
                f"{shorten(truth.image_id)}: neither annotation nor prediction gives the image's"
                " size, which the 224×224 frame needs"
            )
        hits: list[LevelHits | None] = []
        for label in truth.labels:
            boxes = [box.to_inclusive() for box in truth.boxes(label)]
            values = maps.load(prediction, label) if maps and boxes else None
            if boxes:
                hits.append(None if values is None else self._hits(values, boxes, size))
        return MapOutcome.of(hits)

    def _hits(
        self,
        values: NDArray[np.float32],
        boxes: list[tuple[float, float, float, float]],
        size: tuple[int, int],
    ) -> LevelHits:
        truths = boxes_to_frame(boxes, size)
        bits = eight_bit(values)
        hits = self.level_hits(bits, truths)
        return hits._replace(own=own_levels(bits, self.percentile))

    def figures(
        self,
        classified: Sequence[MapOutcome],
        located: Sequence[MapOutcome],
        *,
        network_classes: int | None,
        bootstrap: Bootstrap,
        strata: Strata = ONE_STRATUM,
    ) -> Figures:
        """Return the figures; absent where a map is missing. See `BoxProtocol.figures`."""
        del classified, network_classes
        if reason := lacking(located):
            return Figures({}, dict.fromkeys(self.metrics, reason))
        accuracy = BoxAccuracy.of(outcome.packed for outcome in located)
        classes = [outcome.classes for outcome in located]
        curve = accuracy.compute(thresholds(self.interval))
        choices = map_choices(accuracy, curve, self.fixed, self.percentile)
        return Figures(
            self.rates(accuracy, classes, bootstrap, strata.located),
            {},
            choices,
            {BOX_ACCURACY: accuracy_curve(accuracy, curve, choices)},
            warnings=flat(accuracy),
        )

    def rates(
        self,
        accuracy: BoxAccuracy,
        classes: Sequence[int],
        bootstrap: Bootstrap,
        strata: Sequence[Hashable] | None = None,
    ) -> dict[str, Rate]:
        """Return the metrics at their best thresholds; each resample chooses them anew.

        Args:
            accuracy: image after image, each of its true classes that has boxes.
            classes: how many these are, of each image.
            bootstrap: how the intervals are drawn.
            strata: stratum of each image; None for one stratum of all.
        """
        steps = thresholds(self.interval)
        values = self.values(accuracy.compute(steps))
        draws = ImageDraws(bootstrap, self.resamples(bootstrap), classes, strata)
        intervals = oracle_intervals(accuracy, accuracy.distinct(steps), self.values, draws)
        return {name: Rate(value, intervals[name], len(accuracy)) for name, value in values.items()}

    def marks(
        self,
        classified: Sequence[MapOutcome],
        located: Sequence[MapOutcome],
        *,
        network_classes: int | None,
    ) -> Marks:
        """Return the right boxes of each image at the fixed threshold; see `BoxProtocol.marks`.

        Each true class with boxes is a trial; for a mean over IoUs, one at each of them.
        """
        del classified, network_classes
        if reason := lacking(located):
            return Marks(absent=dict.fromkeys(self.metrics, reason))
        accuracy = BoxAccuracy.of(outcome.packed for outcome in located)
        classes = [outcome.classes for outcome in located]
        return Marks(localization=self.marks_of(accuracy.hits(self.fixed), classes))

    def marks_of(self, right: NDArray[np.bool_], classes: Sequence[int]) -> dict[str, list[Mark]]:
        """Return the mark of each image, by metric.

        Args:
            right: image after image, of each true class that has boxes whether a box is right at
                each of the `IOUS`; bool of shape (classes of all images, 3).
            classes: how many classes these are, of each image.
        """
        places = {f"max_box_acc_{iou}": [k] for k, iou in enumerate(IOUS)}
        places[self.whole] = self.whole_ious
        return {name: image_marks(right[:, places[name]], classes) for name in self.metrics}

    def paired_threshold(self) -> str | None:
        """Return the threshold at which runs are compared: the oracle would suit each its own."""
        return f"fixed at {self.fixed:g} in every run, not chosen on these images"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the protocol's own first."""
        return (self.whole, *(f"max_box_acc_{iou}" for iou in IOUS))

    def resamples(self, bootstrap: Bootstrap) -> int:
        """Return how many resamples an interval rests on; each chooses its thresholds anew."""
        return min(bootstrap.samples, MOST_RESAMPLES)

    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""
        del box_rule
        return {
            "hit": "IoU >= 0.3, 0.5, 0.7 with any true box of the class",
            "pixels": "inclusive corners, +1; a contour's box is a pixel too large (as published)",
            "true_boxes": "any true box of the class",
            "guess_box": self.guess_box,
            "frame": (
                "224×224: maps resized (bicubic) and scaled to [0, 1], zeros where flat or NaN;"
                " true boxes truncated"
            ),
            "threshold": (
                f"oracle: best of 0, {self.interval:g}, … on the scored images, for each IoU;"
                f" beside it fixed at {self.fixed:g}"
            ),
            "no_network": (
                f"centred Gaussian map, sigma {SIGMA:g} of the frame's side (Choe et al. 2020), at"
                " its best threshold; centred boxes in the frame by the same hit rule"
            ),
        }

    guess_box: ClassVar[str] = ""
    whole: ClassVar[str] = ""
    """Name of the protocol's own metric."""
    whole_ious: ClassVar[list[int]] = []
    """Which of `IOUS` it is the mean over, by place."""


@final
class MaxBoxAcc(MapProtocol):
    """Best accuracy over thresholds of the box of the largest contour, at IoU 0.5."""

    paper: ClassVar[str] = "Choe et al., CVPR 2020"
    guess_box: ClassVar[str] = "the contour of largest contour area of the true class's map"
    whole: ClassVar[str] = "max_box_acc"
    whole_ious: ClassVar[list[int]] = [IOUS.index(50)]

    name: Literal["maxboxacc"] = "maxboxacc"

    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return the largest contour at each level; see `MapProtocol`."""
        return largest_contours(values)

    def values(self, curve: BoxAccuracyCurve) -> dict[str, float]:
        """Return the metrics in percent, by name."""
        by_iou = {f"max_box_acc_{iou}": curve.best(iou).value for iou in IOUS}
        return {"max_box_acc": curve.best(50).value, **by_iou}


@final
class MaxBoxAccV2(MapProtocol):
    """Best accuracy over thresholds of any contour's box, mean over IoU 0.3, 0.5 and 0.7.

    Holes have contours too. The best threshold is chosen for each IoU by itself.
    """

    paper: ClassVar[str] = "Choe et al., CVPR 2020 (extended version)"
    guess_box: ClassVar[str] = "any contour of the true class's map"
    whole: ClassVar[str] = "max_box_acc_v2"
    whole_ious: ClassVar[list[int]] = list(range(len(IOUS)))

    name: Literal["maxboxacc-v2"] = "maxboxacc-v2"

    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return all contours at all levels; see `MapProtocol`."""
        return all_contours(values)

    def values(self, curve: BoxAccuracyCurve) -> dict[str, float]:
        """Return the metrics in percent, by name."""
        by_iou = {f"max_box_acc_{iou}": curve.best(iou).value for iou in IOUS}
        return {"max_box_acc_v2": sum(by_iou.values()) / len(IOUS), **by_iou}
