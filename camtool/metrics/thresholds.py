"""Rules for the threshold of a map, and what each of them gives: figures, curves, the oracle.

A threshold that was chosen on the scored images is an oracle. So beside it stands what can be had
without them: a fixed one, each map's own, one chosen on other images. All are columns of `Trials`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Final, final

import numpy as np
from pydantic import Field

from camtool.boxes.thresholds import Share
from camtool.metrics.curves import Curve, Point
from camtool.metrics.intervals import numbered
from camtool.metrics.outcome import Columns, Criterion
from camtool.metrics.trials import GT_KNOWN, Trials
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Bootstrap

EACH_MAPS_OWN: Final = ("otsu", "percentile")
"""Rules that give each map a threshold of its own."""

_BLOCK: Final = 512
"""Images whose bits are unpacked together while an oracle's steps are sorted."""


@final
class Sweep(Settings):
    """Scoring the stored maps at many thresholds, beside the boxes as stored."""

    step: Annotated[float, Field(ge=0.001, le=0.5)] = 0.01
    """Step from threshold to threshold, from 0 on."""
    fixed: Share = 0.2
    """The threshold of the CAM paper, beside the others."""
    percentile: Annotated[float, Field(gt=0, lt=100)] = 80.0
    """Percentage of a map's pixels that are background, for the percentile rule."""

    def thresholds(self, *more: float) -> NDArray[np.float64]:
        """Return all thresholds, the fixed one and `more` among them, ascending, shape (n,)."""
        steps = np.arange(round(1 / self.step) + 1) * self.step
        # As written: 0.07, not the product 7 * 0.01 that lies beside it.
        grid = {round(float(x), 6) for x in steps if round(float(x), 6) < 1}
        return np.array(sorted(grid | {self.fixed, *more}), np.float64)

    def columns(self, chosen: Chosen | None = None) -> Columns:
        """Return what is judged of each map: all thresholds, and the rules by name."""
        if chosen is None:
            return Columns(self.thresholds(), ("fixed", *EACH_MAPS_OWN, "run"))
        thresholds = self.thresholds(chosen.value, *chosen.classes.values())
        return Columns(thresholds, ("fixed", *EACH_MAPS_OWN, chosen.rule, "run"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A threshold that was chosen on other images.

    Attributes:
        rule: `calibrated` (now) or `stored` (before).
        value: the threshold.
        classes: thresholds of single classes, by name; all others have `value`.
        at_iou: for the map protocols, the threshold by intersection over union in percent.
    """

    rule: str
    value: float
    classes: Mapping[str, float] = field(default_factory=dict)
    at_iou: Mapping[int, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Return the threshold of a class."""
        return self.classes.get(name, self.value)

    @property
    def shown(self) -> float | str:
        """The threshold for the reader of a report."""
        if not self.classes:
            return self.value
        return f"{self.value:.3g}, {len(self.classes):,} classes their own"


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """A metric's value at one threshold.

    Attributes:
        threshold: a number, or words where each map or class has its own.
        value: the metric in percent, in the protocol's measure.
    """

    threshold: float | str
    value: float


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A metric under several rules for the threshold.

    Attributes:
        rules: the metric by the name of the rule: `run` (boxes as stored), `fixed`, `otsu`,
            `percentile`, `calibrated` (chosen on other images now), `stored` (the same, before),
            and `oracle`, the best on the scored images.
        deployable: the rule that one would use on new images.
    """

    rules: dict[str, AtThreshold]
    deployable: str

    @property
    def oracle(self) -> float:
        """The threshold that suits the scored images best."""
        return float(self.rules["oracle"].threshold)

    @property
    def oracle_value(self) -> float:
        """The metric at the oracle's threshold."""
        return self.rules["oracle"].value

    @property
    def deployable_value(self) -> float:
        """The metric that one may expect on new images."""
        return self.rules[self.deployable].value

    @property
    def gap(self) -> float:
        """What the deployable rule loses against the oracle, in percentage points."""
        return abs(self.oracle_value - self.deployable_value)


def shown_thresholds(
    fixed: float, percentile: float, chosen: Chosen | None
) -> dict[str, float | str]:
    """Return the threshold of each column but `run` for the reader, by name of the column."""
    own = {"otsu": "each map's", "percentile": f"each map's {percentile:g} %"}
    return {"fixed": fixed, **own, **({chosen.rule: chosen.shown} if chosen else {})}


@dataclass(frozen=True)
class Swept:
    """One metric of a table of trials, to be read at all columns.

    Attributes:
        trials: rows that count for localization, all with a map.
        criterion: when a box is right.
        n: top-n, or `GT_KNOWN`.
        error: the metric counts what is wrong, not what is right.
    """

    trials: Trials
    criterion: Criterion
    n: int = GT_KNOWN
    error: bool = False

    @cached_property
    def right(self) -> NDArray[np.int64]:
        """How many are right in each column; see `Trials.counts`."""
        return self.trials.counts(self.criterion, self.n)

    @property
    def percent(self) -> NDArray[np.float64]:
        """The metric in each column, in percent."""
        total = self.trials.total(self.n)
        result: NDArray[np.float64] = (
            100 * (total - self.right if self.error else self.right) / total
        )
        return result

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """What is right in each column, in percent."""
        result: NDArray[np.float64] = 100 * self.right / self.trials.total(self.n)
        return result

    def choice(
        self, shown: Mapping[str, float | str], deployable: str, run: AtThreshold | None = None
    ) -> ThresholdChoice:
        """Return the metric under each rule and at the oracle, the lowest of equally good ones.

        Args:
            shown: for the name of each column to be read, its threshold for the reader.
            deployable: see `ThresholdChoice`.
            run: the metric of the boxes as stored, where there are such.
        """
        percent, columns = self.percent, self.trials.layout.columns
        swept = percent[: len(columns.thresholds)]
        best = int((swept.argmin if self.error else swept.argmax)())
        rules = {} if run is None else {"run": run}
        for name, threshold in shown.items():
            rules[name] = AtThreshold(threshold, float(percent[columns.place(name)]))
        rules["oracle"] = AtThreshold(float(columns.thresholds[best]), float(percent[best]))
        return ThresholdChoice(rules, deployable)


def accuracy_curve(
    lines: Mapping[str, Swept],
    y_label: str,
    points: Sequence[Point],
    places: NDArray[np.int64] | None = None,
) -> Curve:
    """Return accuracy against the threshold.

    Args:
        lines: what is read for each line, by its label.
        y_label: what the values are.
        points: named points of the lines.
        places: which of the thresholds are shown; all when not given.
    """
    first = next(iter(lines.values()))
    at = first.trials.layout.columns.thresholds
    shown = np.arange(len(at)) if places is None else places
    return Curve(
        tuple(at[shown].tolist()),
        {label: tuple(line.accuracy[shown].tolist()) for label, line in lines.items()},
        "threshold of the map, share of its maximum",
        y_label,
        tuple(points),
    )


def line_label(criterion: Criterion) -> str:
    """Return the label of the line of a criterion."""
    return f"IoU {'>' if criterion.above else '≥'} {criterion.iou:g}"


def best_plateau(right: NDArray[np.int64]) -> int:
    """Return the place of the best threshold: the middle of the widest run of equally good ones.

    Of runs of equal width the one of lower thresholds, of two middles the lower one: on other
    images the middle of a plateau is safer than its edge.

    Example:
        >>> best_plateau(np.array([1, 5, 5, 5, 2]))
        2
    """
    best = np.flatnonzero(right == right.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(runs, key=len)
    return int(widest[(len(widest) - 1) // 2])


def oracle_intervals(
    trials: Trials,
    places: NDArray[np.int64],
    values: Callable[[NDArray[np.int64], int], dict[str, float]],
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of metrics at their best thresholds, which each resample picks anew.

    Args:
        trials: the table; each image is drawn with all its rows.
        places: the thresholds to choose from, as places of columns.
        values: the metrics in percent, by name, of the number of right rows, int64 of shape
            (criteria, places), and the number of rows.
        bootstrap: how resamples are drawn.
        strata: stratum of each image; None for one stratum of all.
    """
    steps = _Steps.of(trials, places)
    drawn: dict[str, list[float]] = {}
    for weights in _row_weights(trials, bootstrap, strata):
        for of_resample in weights:
            rows = int(of_resample.sum(dtype=np.int64))
            for name, value in values(steps.right(of_resample), rows).items():
                drawn.setdefault(name, []).append(value)
    return {
        name: tuple(np.percentile(numbers, (2.5, 97.5)).tolist()) for name, numbers in drawn.items()
    }


def _row_weights(
    trials: Trials, bootstrap: Bootstrap, strata: Sequence[Hashable] | None
) -> Iterator[NDArray[np.int32]]:
    """Yield how often each row counts in each resample of images, int32 of shape (some, rows)."""
    images, numbers = len(trials.numbers), None if strata is None else numbered(strata)
    for weights in bootstrap.weights(images, bootstrap.costly_samples(), numbers):
        single = (trials.numbers == 1).all()
        yield weights if single else np.repeat(weights, trials.numbers, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Where rows turn right and wrong as the threshold rises: some ten places a row.

    Attributes:
        rows: row of each step, int32 of shape (steps,).
        signs: 1 where it turns right and -1 where it turns wrong, int8 likewise.
        columns: the criteria and thresholds, counted as one, at which there are steps; in order.
        starts: where the steps of each of these columns begin; steps are sorted by column.
        shape: number of criteria and of thresholds.
    """

    rows: NDArray[np.int32]
    signs: NDArray[np.int8]
    columns: NDArray[np.int64]
    starts: NDArray[np.int64]
    shape: tuple[int, int]

    @classmethod
    def of(cls, trials: Trials, places: NDArray[np.int64]) -> _Steps:
        """Sort all steps by column in two passes: only one block of rows is ever unsorted."""
        shape = len(trials.layout.criteria), len(places)
        numbers = np.zeros(shape[0] * shape[1], np.int64)
        for _, _, columns in _changes(trials, places):
            numbers += np.bincount(columns, minlength=len(numbers))
        starts = numbers.cumsum() - numbers
        rows, signs = np.empty(numbers.sum(), np.int32), np.empty(numbers.sum(), np.int8)
        free = starts.copy()
        for of_block, signs_of_block, columns in _changes(trials, places):
            order = np.argsort(columns, kind="stable")
            present, first, times = np.unique(columns[order], return_index=True, return_counts=True)
            where = np.repeat(free[present] - first, times) + np.arange(len(order))
            rows[where], signs[where] = of_block[order], signs_of_block[order]
            free[present] += times
        (present,) = np.nonzero(numbers)
        return cls(rows, signs, present, starts[present], shape)

    def right(self, weights: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return how many are right, each row counted `weights` times, int64 of `shape`."""
        sums = np.zeros(self.shape, np.int64)
        if len(self.columns):
            steps = weights[self.rows]
            steps *= self.signs
            np.put(sums, self.columns, np.add.reduceat(steps, self.starts))
        return sums.cumsum(axis=1)


def _changes(
    trials: Trials, places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.int64]]]:
    """Yield row, sign and column of the steps of some rows after the other."""
    for k, criterion in enumerate(trials.layout.criteria):
        for rows, hits in trials.blocks(criterion, places, _BLOCK):
            change = hits.astype(np.int8)
            change[:, 1:] -= hits[:, :-1].view(np.int8)
            row, place = np.nonzero(change)
            yield row + rows.start, change[row, place], k * len(places) + place
