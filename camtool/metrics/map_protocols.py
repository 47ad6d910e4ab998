"""MaxBoxAcc and MaxBoxAccV2, the protocols of the WSOL benchmark on score maps.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437. Everything happens in a 224×224 frame
(`camtool.metrics.wsol_frame`), on the map of the true class. At threshold t the foreground is

    map > int(t · max(map))          of the 8-bit map, floor(255 · map)

so 256 masks answer for any number of thresholds. The best one is chosen on the scored images: an
oracle. Beside it stands a threshold that was fixed before.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, NamedTuple, final

import cv2
import numpy as np
from pydantic import Field

from camtool.boxes.thresholds import otsu_bin, percentile_bin
from camtool.errors import EvaluationError, shorten
from camtool.kernels import Contours, all_contours, largest_contours, levels_with_overlap
from camtool.metrics.baselines import GAUSSIAN, SIDES, best_centred, centred_box
from camtool.metrics.curves import Curve, Level, Point
from camtool.metrics.intervals import MOST_RESAMPLES, Rate, Tally
from camtool.metrics.outcome import Columns, Criterion, Layout, Outcome, Trial, packed_hits
from camtool.metrics.protocol import (
    Figures,
    Figuring,
    Material,
    ScoringProtocol,
    Tallies,
    matches,
)
from camtool.metrics.thresholds import (
    EACH_MAPS_OWN,
    Swept,
    ThresholdChoice,
    accuracy_curve,
    best_plateau,
    line_label,
    oracle_intervals,
    shown_thresholds,
)
from camtool.metrics.trials import Trials, maps_missing
from camtool.metrics.wsol_frame import (
    FRAME,
    SIGMA,
    boxes_to_frame,
    centred_gaussian,
    eight_bit,
    frame_ious,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Bootstrap
    from camtool.metrics.thresholds import Chosen, Sweep
    from camtool.structures import Annotation, Prediction

IOUS: Final = (30, 50, 70)
"""Thresholds on the intersection over union, in percent."""
BOX_ACCURACY: Final = "box_accuracy"
"""Name of the curve of box accuracy against the threshold."""

_CRITERIA: Final = tuple(Criterion(iou / 100) for iou in IOUS)
_SHARES: Final = np.array([criterion.iou for criterion in _CRITERIA])


class LevelBoxes(NamedTuple):
    """The boxes of an 8-bit map at all levels; level n is the mask `map > n`.

    Attributes:
        boxes: inclusive corners, int32 of shape (n, 4).
        levels: first and last level of each, int32 of shape (n, 2).
        named: level of the fixed threshold, and of each of the map's own rules.
        peak: the map's maximum.
    """

    boxes: NDArray[np.int32]
    levels: NDArray[np.int32]
    named: list[int]
    peak: int


class MapProtocol(ScoringProtocol):
    """What both protocols share: the frame, the thresholds, the figures of a curve."""

    needs_maps: ClassVar[bool] = True
    measure: ClassVar[str] = "accuracy"
    threshold_metric: ClassVar[str | None] = "box accuracy"
    guess_box: ClassVar[str]
    """Which box of a map counts, for the reader of a report."""
    whole: ClassVar[str]
    """Name of the protocol's own metric."""
    whole_ious: ClassVar[list[int]]
    """Which of `IOUS` it is the mean over, by place."""

    interval: Annotated[float, Field(ge=0.0005, le=0.5)] = 0.001
    """Step from threshold to threshold."""

    fixed: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Threshold whose accuracy stands beside that of the oracle; a multiple of the interval."""

    percentile: Annotated[float, Field(gt=0, lt=100)] = 80.0
    """Percentage of the pixels that are background, for the percentile rule."""

    @abstractmethod
    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return the contours of an 8-bit map whose boxes count."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, the protocol's own first."""
        return (self.whole, *(f"max_box_acc_{iou}" for iou in IOUS))

    @property
    def paired_threshold(self) -> str | None:
        """The threshold at which runs are compared: the oracle would suit each its own."""
        return f"fixed at {self.fixed:g} in every run, not chosen on these images"

    def layout(self, sweep: Sweep | None, chosen: Chosen | None = None) -> Layout:
        """Return what is judged; see `ScoringProtocol`."""
        del sweep
        columns = ("fixed", *EACH_MAPS_OWN, *([chosen.rule] if chosen else []))
        shown = tuple((f"right_{iou}", c, "fixed") for iou, c in zip(IOUS, _CRITERIA, strict=True))
        return Layout(_CRITERIA, Columns(np.arange(0, 1, self.interval), columns, 256), shown)

    def judge(self, truth: Annotation, prediction: Prediction, by: Material) -> Outcome:
        """Return at which thresholds the maps of an image's true classes are right."""
        size = truth.size or prediction.size
        if size is None:
            raise EvaluationError(
                f"{shorten(truth.image_id)}: neither annotation nor prediction gives the image's"
                " size, which the 224×224 frame needs"
            )
        rows = []
        for label in truth.labels:
            found = [guess for guess in prediction.classes if matches(label, guess)]
            best = min(found, key=lambda guess: guess.rank, default=None)
            boxes = [box.to_inclusive() for box in truth.boxes(label)]
            trial = Trial(boxed=bool(boxes))
            if best is not None:
                trial.name, trial.rank = best.name, best.rank
            unit = by.maps.load(prediction, label) if by.maps and boxes else None
            if unit is not None:
                values = eight_bit(unit)
                true = boxes_to_frame(boxes, size)
                self.fill(trial, self.boxes_of(values), true, by)
            rows.append(trial)
        return Outcome(rows)

    def fill(
        self, trial: Trial, found: LevelBoxes, true_boxes: NDArray[np.int64], by: Material
    ) -> None:
        """Judge a map in all columns.

        Args:
            trial: where the result goes.
            found: the boxes of the map, from `boxes_of`.
            true_boxes: inclusive corners in the frame, int64 of shape (n, 4).
            by: a threshold that was chosen before.
        """
        hits = levels_with_overlap(found.boxes, found.levels, true_boxes, _SHARES)
        bits = np.concatenate((hits, hits[:, found.named]), axis=1)
        if by.chosen is not None:
            at = [by.chosen.at_iou.get(iou) for iou in IOUS]
            levels = [None if t is None else int(t * found.peak) for t in at]
            chosen = [level is not None and hits[k, level] for k, level in enumerate(levels)]
            bits = np.column_stack((bits, chosen))
        trial.mapped, trial.peak, trial.hits = True, found.peak, packed_hits(bits)

    def boxes_of(self, values: NDArray[np.uint8]) -> LevelBoxes:
        """Return the boxes of an 8-bit map (224, 224) at all levels, and the rules' own levels."""
        boxes, levels = self.contour_boxes(values)
        peak = int(values.max())
        # A float holds these counts exactly; np.bincount would take five times as long.
        counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(np.int64)
        own = otsu_bin(counts), percentile_bin(counts, self.percentile)
        return LevelBoxes(boxes, levels, [int(self.fixed * peak), *own], peak)

    def contour_boxes(
        self, values: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the boxes and levels of `LevelBoxes`, as the benchmark has them.

        The box of a contour is (x, y, min(x + w, width - 1), min(y + h, height - 1)), taken as
        inclusive: a pixel too large on two sides unless at the border. At a level without contours
        there is one box, (0, 0, 0, 0).

        Args:
            values: 8-bit map, shape (224, 224).
        """
        found = self.contours(values)
        height, width = values.shape
        boxes = np.zeros((len(found.boxes) + 1, 4), np.int32)
        np.minimum(found.boxes, (width, height, width - 1, height - 1), out=boxes[:-1])
        levels = np.empty((len(boxes), 2), np.int32)
        # From the map's maximum on no pixel is above the level: there is no contour.
        levels[:-1], levels[-1] = found.levels, (values.max(), 255)
        return boxes, levels

    def values(self, right: NDArray[np.int64], rows: int) -> dict[str, float]:
        """Return the metrics at their best thresholds, in percent by name.

        Args:
            right: number of right rows by `IOUS` and threshold, int64 of shape (3, n).
            rows: number of rows.
        """
        best = [100 * int(row.max()) / rows for row in right]
        whole = [best[k] for k in self.whole_ious]
        by_iou = {f"max_box_acc_{iou}": value for iou, value in zip(IOUS, best, strict=True)}
        return {self.whole: sum(whole) / len(whole), **by_iou}

    def rates(
        self, trials: Trials, bootstrap: Bootstrap, counts: Sequence[NDArray[np.int64]] = ()
    ) -> dict[str, Rate]:
        """Return the metrics at their best thresholds; each resample chooses them anew.

        Args:
            trials: rows that count for localization.
            bootstrap: how intervals are drawn.
            counts: what `Trials.counts` gives for each IoU, where it is known already.
        """
        thresholds = len(trials.layout.columns.thresholds)
        right = np.stack(counts or [trials.counts(c) for c in _CRITERIA])[:, :thresholds]
        values, strata = self.values(right, len(trials)), bootstrap.strata(trials.truths)
        ends = oracle_intervals(trials, distinct(trials), self.values, bootstrap, strata)
        return {name: Rate(value, ends[name], len(trials)) for name, value in values.items()}

    def reduce(self, trials: Trials, by: Figuring) -> Figures:
        """Return the figures; absent where a map is missing. See `ScoringProtocol`."""
        located = trials.located
        if reason := maps_missing(located):
            return Figures({}, dict.fromkeys(self.metrics, reason))
        swept = {iou: Swept(located, c) for iou, c in zip(IOUS, _CRITERIA, strict=True)}
        choices = {
            f"max_box_acc_{iou}": self._choice(of_iou, iou, by.chosen)
            for iou, of_iou in swept.items()
        }
        baselines = self.baselines(located, by.bootstrap)
        return Figures(
            self.rates(located, by.bootstrap, [of_iou.right for of_iou in swept.values()]),
            {},
            choices,
            {BOX_ACCURACY: self._curve(located, swept, choices, baselines)},
            baselines,
            _flat(located),
        )

    def _choice(self, swept: Swept, iou: int, chosen: Chosen | None) -> ThresholdChoice:
        """Return the accuracy at an intersection over union under each rule."""
        own = None
        if chosen is not None and iou in chosen.at_iou:
            own = replace(chosen, value=chosen.at_iou[iou])
        shown = shown_thresholds(self.fixed, self.percentile, own)
        return swept.choice(shown, own.rule if own else "fixed")

    def _curve(
        self,
        located: Trials,
        swept: Mapping[int, Swept],
        choices: Mapping[str, ThresholdChoice],
        baselines: Mapping[str, Mapping[str, Rate]],
    ) -> Curve:
        """Return the accuracy at each threshold that makes masks of its own."""
        points: list[Point] = []
        levels: list[Level] = []
        for iou, of_iou in swept.items():
            line, name = line_label(of_iou.criterion), f"max_box_acc_{iou}"
            choice = choices[name]
            fixed = choice.rules["fixed"]
            points.append(Point(line, choice.oracle, choice.oracle_value, "oracle"))
            points.append(Point(line, float(fixed.threshold), fixed.value, "fixed"))
            values = {b: rates[name].value for b, rates in baselines.items()}
            levels.append(Level(line, values[GAUSSIAN], "centred Gaussian map, oracle"))
            levels.append(Level(line, values[best_centred(values) or ""], "best centred box"))
        lines = {line_label(s.criterion): s for s in swept.values()}
        curve = accuracy_curve(lines, "box accuracy, %", points, distinct(located))
        return replace(curve, levels=tuple(levels))

    def tallies(self, trials: Trials, network_classes: int | None) -> Tallies:
        """Return the right boxes of each image at the fixed threshold; see `ScoringProtocol`.

        Each true class with boxes is a trial; for a mean over IoUs, one at each of them.
        """
        del network_classes
        located = trials.located
        if reason := maps_missing(located):
            return Tallies(absent=dict.fromkeys(self.metrics, reason))
        right = np.stack([located.right(c, "fixed") for c in _CRITERIA], axis=1)
        return Tallies(localization=self._tallies(right, located))

    def _tallies(self, right: NDArray[np.bool_], located: Trials) -> dict[str, Tally]:
        """Return the tally of each metric; `right` has a row a trial, a column for each IoU."""
        places = {f"max_box_acc_{iou}": [k] for k, iou in enumerate(IOUS)}
        places[self.whole] = self.whole_ious
        tallies = {}
        for name in self.metrics:
            events = right[:, places[name]].sum(1, dtype=np.int64)
            of_images = np.add.reduceat(events, located.firsts)
            tallies[name] = Tally(of_images, located.numbers * len(places[name]))
        return tallies

    def baselines(self, located: Trials, bootstrap: Bootstrap) -> dict[str, dict[str, Rate]]:
        """Return the metrics of a map and of boxes that are the same for all images.

        The Gaussian is scored like a method whose map it is: at the best threshold. Centred boxes
        have no threshold; they are right by the protocol's own rule.
        """
        true_boxes = _true_boxes(located.truths)
        rates = {GAUSSIAN: self.rates(self._gaussian(located, true_boxes), bootstrap)}
        strata = bootstrap.strata(located.truths)
        every = np.concatenate(true_boxes)
        owners = np.array([len(boxes) for boxes in true_boxes], np.int64)
        first = np.cumsum(owners) - owners
        for name, side in SIDES.items():
            inclusive = centred_box((FRAME, FRAME), side).to_inclusive()
            box = boxes_to_frame([inclusive], (FRAME, FRAME))
            best = np.maximum.reduceat(frame_ious(box, every), first)
            tallies = self._tallies(best[:, None] >= _SHARES, located)
            rates[name] = {metric: bootstrap.rate(t, strata) for metric, t in tallies.items()}
        return rates

    def _gaussian(self, located: Trials, true_boxes: Sequence[NDArray[np.int64]]) -> Trials:
        """Return the trials of the centred Gaussian map, whose contours are found once."""
        by = Material(self.layout(None))
        found = self.boxes_of(eight_bit(centred_gaussian()))
        rows = bytearray()
        for boxes in true_boxes:
            trial = Trial(boxed=True)
            self.fill(trial, found, boxes, by)
            rows += trial.packed(by.layout.hit_bytes)
        return replace(located, layout=by.layout, table=np.frombuffer(rows, by.layout.row))

    def choose(self, trials: Trials) -> tuple[float, dict[int, float], float]:
        """Return the best threshold for each intersection over union; see `ScoringProtocol`."""
        thresholds = trials.layout.columns.thresholds
        right = {
            iou: trials.counts(c)[: len(thresholds)] for iou, c in zip(IOUS, _CRITERIA, strict=True)
        }
        places = {iou: best_plateau(counts) for iou, counts in right.items()}
        at_iou = {iou: float(thresholds[place]) for iou, place in places.items()}
        return at_iou[50], at_iou, 100 * int(right[50][places[50]]) / len(trials)

    def costly_resamples(self, bootstrap: Bootstrap) -> int:
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


def distinct(trials: Trials) -> NDArray[np.int64]:
    """Return the places of those thresholds that give masks of their own in some map."""
    thresholds = trials.layout.columns.thresholds
    peaks = np.unique(trials.table["peak"]).astype(np.int64)
    levels = (thresholds * peaks[:, None]).astype(np.int64)
    _, first = np.unique(levels, axis=1, return_index=True)
    return np.sort(first)


def _true_boxes(truths: Sequence[Annotation]) -> list[NDArray[np.int64]]:
    """Return the true boxes of each class that has any, image after image, in the frame."""
    return [
        boxes_to_frame([box.to_inclusive() for box in boxes], truth.size or (FRAME, FRAME))
        for truth in truths
        for label in truth.labels
        if (boxes := truth.boxes(label))
    ]


def _flat(located: Trials) -> tuple[str, ...]:
    """Return a sentence where maps tell nothing, which is scored and easily overlooked."""
    flat = int((located.table["peak"] == 0).sum())
    if not flat:
        return ()
    return (
        f"{flat:,} of {len(located):,} maps are flat or hold NaN: they count as zeros, "
        "whose only box is (0, 0, 0, 0)",
    )


@final
class MaxBoxAcc(MapProtocol):
    """Best accuracy over thresholds of the box of the largest contour, at IoU 0.5.

    Example:
        >>> MaxBoxAcc().metrics
        ('max_box_acc', 'max_box_acc_30', 'max_box_acc_50', 'max_box_acc_70')
    """

    paper: ClassVar[str] = "Choe et al., CVPR 2020"
    guess_box: ClassVar[str] = "the contour of largest contour area of the true class's map"
    whole: ClassVar[str] = "max_box_acc"
    whole_ious: ClassVar[list[int]] = [IOUS.index(50)]

    name: Literal["maxboxacc"] = "maxboxacc"

    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return the largest contour at each level; see `MapProtocol`."""
        return largest_contours(values)


@final
class MaxBoxAccV2(MapProtocol):
    """Best accuracy over thresholds of any contour's box, mean over IoU 0.3, 0.5 and 0.7.

    Holes have contours too. The best threshold is chosen for each IoU by itself.

    Example:
        >>> MaxBoxAccV2().whole
        'max_box_acc_v2'
    """

    paper: ClassVar[str] = "Choe et al., CVPR 2020 (extended version)"
    guess_box: ClassVar[str] = "any contour of the true class's map"
    whole: ClassVar[str] = "max_box_acc_v2"
    whole_ious: ClassVar[list[int]] = list(range(len(IOUS)))

    name: Literal["maxboxacc-v2"] = "maxboxacc-v2"

    def contours(self, values: NDArray[np.uint8]) -> Contours:
        """Return all contours at all levels; see `MapProtocol`."""
        return all_contours(values)
