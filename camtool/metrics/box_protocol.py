"""Scoring stored boxes: what all protocols of boxes share, and what a published one declares.

A guess (class and box) is right when its class is a class of the image and its box overlaps the
true boxes of that class. Published codes differ in which overlap is enough, which true boxes count,
in which frame boxes are compared, and what a top-N hit is: a protocol is one choice of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from pydantic import Field

from camtool.errors import EvaluationError, shorten
from camtool.geometry import iou
from camtool.metrics.box_frames import BoxComparison, BoxFrame, OriginalFrame, TopN, TrueBoxes
from camtool.metrics.curves import Curve, Point
from camtool.metrics.diagnosis import Kind, wrong_kind
from camtool.metrics.intervals import Tally
from camtool.metrics.outcome import (
    ABSENT,
    NEVER,
    NO_BOX,
    Columns,
    Criterion,
    Layout,
    Outcome,
    Trial,
    packed_hits,
)
from camtool.metrics.protocol import (
    Figures,
    Figuring,
    Material,
    ScoringProtocol,
    Tallies,
    carried,
    matches,
)
from camtool.metrics.thresholds import (
    AtThreshold,
    Sweep,
    Swept,
    ThresholdChoice,
    accuracy_curve,
    best_plateau,
    line_label,
    shown_thresholds,
)
from camtool.metrics.trials import GT_KNOWN, Trials, stored_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Rate
    from camtool.metrics.thresholds import Chosen
    from camtool.structures import Annotation, Box, ClassPrediction, Prediction

DEPTHS: Final = (1, 2, 3, 4, 5)
"""The N of the reported top-N errors."""
CURVE_IOUS: Final = (0.3, 0.5, 0.7)
"""Intersections over union of the curves."""
SWEPT: Final = {"gt_known_error": GT_KNOWN} | {f"top{n}_localization_error": n for n in DEPTHS}
"""The figures that depend on the threshold, and their N."""
_CURVES: Final = {"gt_known": "gt_known_error", "top1_localization": "top1_localization_error"}


class BoxProtocol(ScoringProtocol):
    """Top-1 to top-5 classification and localization error, and GT-known error, of stored boxes."""

    threshold_metric: ClassVar[str | None] = "GT-known localization"
    guess_above: ClassVar[bool] = False
    """A guess whose overlap is exactly the threshold is wrong."""
    known_above: ClassVar[bool] = False
    """The same of the box of the true class (GT-known)."""
    true_boxes: ClassVar[TrueBoxes] = TrueBoxes.ANY
    """Which true boxes count."""
    top_n: ClassVar[TopN] = TopN.OWN_BOX
    """What makes an image right at N."""

    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    """Intersection over union from which on a box is right."""

    @property
    def box_frame(self) -> BoxFrame:
        """The frame in which boxes are compared."""
        return OriginalFrame()

    @property
    def comparison(self) -> BoxComparison:
        """How boxes are compared."""
        return BoxComparison(self.true_boxes, self.box_frame)

    @property
    def guess(self) -> Criterion:
        """When a guess is right."""
        return Criterion(self.iou_threshold, self.guess_above)

    @property
    def known(self) -> Criterion:
        """When the box of the true class is right (GT-known)."""
        return Criterion(self.iou_threshold, self.known_above)

    def layout(self, sweep: Sweep | None, chosen: Chosen | None = None) -> Layout:
        """Return what is judged; see `ScoringProtocol`."""
        further = (
            Criterion(at, above)
            for above in (self.guess_above, self.known_above)
            for at in CURVE_IOUS
        )
        criteria = tuple(dict.fromkeys((self.guess, self.known, *further)))
        columns = sweep.columns(chosen) if sweep else Columns(np.zeros(0), ("run",))
        return Layout(criteria, columns, (("right", self.known, "run"),))

    @property
    def hit_rule(self) -> str:
        """When a guess is right, for the reader of a report."""
        rule = (
            f"class right and IoU {self.guess.sign} {self.iou_threshold:g} with "
            f"{self.true_boxes.value}"
        )
        if self.known_above is self.guess_above:
            return rule
        return f"{rule}; GT-known: IoU {self.known.sign} {self.iou_threshold:g}"

    def aspects(self, box_rule: str | None) -> dict[str, str]:
        """Return the convention by aspect, for the reader of a report."""
        fixed = f"{box_rule}, fixed before scoring" if box_rule else None
        return {
            "hit": self.hit_rule,
            "pixels": "half-open boxes; inclusive corners widened by 1, as the official +1 rule",
            "true_boxes": self.true_boxes.value,
            "guess_box": "each guess has the strongest box of its own class, unless the box rule"
            " enters another; no box is wrong",
            "top_n": self.top_n.value,
            "frame": self.box_frame.describe(),
            "threshold": fixed or "unknown: boxes taken as stored",
            "gt_known": "the box of the true class, for each pair of image and true class",
        }

    def judge(self, truth: Annotation, prediction: Prediction, by: Material) -> Outcome:
        """Return how `prediction` fares; see `ScoringProtocol`.

        The box of a guess is the strongest box of its own class, unless the boxes say which guess
        they are (`ScoredBox.guess`); a guess without a box is wrong.
        """
        size = truth.size or prediction.size
        if size is None and self.box_frame.needs_size:
            raise EvaluationError(
                f"{shorten(truth.image_id)}: neither annotation nor prediction gives the image's"
                f" size, which the frame of this protocol needs: {self.box_frame.describe()}"
            )
        guesses = sorted(prediction.classes, key=lambda guess: guess.rank)
        rows = []
        for label in truth.labels:
            found = [guess for guess in guesses if matches(label, guess)]
            rows.append(self._trial(truth, prediction, label, found, size, by))
        told = by.diagnosis.enabled and any(row.boxed for row in rows)
        top1 = _top1_kind(truth, guesses, rows, by) if told else ABSENT
        return Outcome(rows, *carried(guesses), top1)

    def _trial(
        self,
        truth: Annotation,
        prediction: Prediction,
        label: str | int,
        found: Sequence[ClassPrediction],
        size: tuple[int, int] | None,
        by: Material,
    ) -> Trial:
        """Judge one true class; `found` are its guesses, best first."""
        true_boxes = truth.boxes(label)
        trial = Trial(boxed=bool(true_boxes), target=any(guess.target for guess in found))
        trial.name = found[0].name if found else str(label)
        if found:
            trial.rank = found[0].rank
        if not true_boxes:
            return trial
        overlaps = [
            self.comparison.overlap(guess.boxes[0].box, true_boxes, size) if guess.boxes else None
            for guess in found
        ]
        trial.place = min(self._right_places(found, overlaps, true_boxes, size), default=NEVER)
        if found:
            self._describe(trial, found[0], overlaps[0], truth, label, size, by)
        reached = -1.0 if not overlaps or overlaps[0] is None else overlaps[0]
        if by.swept is None:
            # A single column is the first bit of a byte, which needs no array.
            trial.hits = bytes(128 * c.holds(reached) for c in by.layout.criteria)
            return trial
        swept = by.swept.boxes(prediction, label, trial.name)
        trial.mapped = swept is not None
        at_columns = np.full(len(by.layout.columns), -1.0)
        at_columns[-1] = reached
        if swept is not None:
            at_columns[:-1] = self._of_columns(*swept, true_boxes, truth.size or swept[1])
        trial.hits = packed_hits(np.array([c.holds(at_columns) for c in by.layout.criteria]))
        return trial

    def _describe(
        self,
        trial: Trial,
        guess: ClassPrediction,
        overlap: float | None,
        truth: Annotation,
        label: str | int,
        size: tuple[int, int] | None,
        by: Material,
    ) -> None:
        """Fill in what is told of the box of a true class: overlap, area, kind of error."""
        trial.predicted, trial.iou = True, 0.0
        kind, largest = int(Kind.OTHER), NO_BOX
        if guess.boxes and overlap is not None:
            box, true_boxes = guess.boxes[0].box, truth.boxes(label)
            trial.area, trial.iou = box.area, max(iou(box, true) for true in true_boxes)
            right = bool(self.known.holds(overlap))
            kind, largest = int(Kind.RIGHT), int(right)
            if by.diagnosis.enabled and not right:
                kind = wrong_kind(box, true_boxes, _every_box(truth), by.diagnosis)
            if by.diagnosis.enabled and len(guess.boxes) > 1:
                # Among equals the strongest one.
                most = max(guess.boxes, key=lambda scored: scored.box.area).box
                largest = int(self.known.holds(self.comparison.overlap(most, true_boxes, size)))
        if by.diagnosis.enabled:
            trial.kind, trial.largest = kind, largest

    def _of_columns(
        self,
        boxes: NDArray[np.float64],
        source: tuple[int, int],
        true_boxes: Sequence[Box],
        size: tuple[int, int],
    ) -> NDArray[np.float64]:
        """Return the overlap of the box in each column; they are in a frame of size `source`."""
        if source != size:
            boxes = boxes * np.tile(np.array(size) / np.array(source), 2)
        return self.comparison.overlaps(boxes, true_boxes, size)

    def _right_places(
        self,
        found: Sequence[ClassPrediction],
        overlaps: Sequence[float | None],
        true_boxes: Sequence[Box],
        size: tuple[int, int] | None,
    ) -> list[int]:
        """Return the places of the guesses of one true class that make the image right."""
        if self.top_n is TopN.TRUE_CLASS_BOX:
            # That box is the one of the first guess: more than one has only a guess file.
            return [guess.rank for guess in found[:1] if self._right(overlaps[0])]
        return [
            place
            for guess, overlap in zip(found, overlaps, strict=True)
            for place, each in self._entered(guess, overlap, true_boxes, size)
            if self._right(each)
        ]

    def _right(self, overlap: float | None) -> bool:
        return overlap is not None and bool(self.guess.holds(overlap))

    def _entered(
        self,
        guess: ClassPrediction,
        overlap: float | None,
        true_boxes: Sequence[Box],
        size: tuple[int, int] | None,
    ) -> list[tuple[int, float | None]]:
        """Return place and overlap of each box of a class that is a guess of the image."""
        if not guess.boxes or guess.boxes[0].guess is None:
            return [(guess.rank, overlap)]
        placed = ((scored.guess, scored.box) for scored in guess.boxes)
        return [
            (place, self.comparison.overlap(box, true_boxes, size))
            for place, box in placed
            if place
        ]

    def tallies(self, trials: Trials, network_classes: int | None) -> Tallies:
        """Return the errors of each image; see `ScoringProtocol`.

        An image is one trial, but for GT-known: there each true class with a box is one.
        """
        return self._tallies(trials, trials.located, network_classes)

    def _tallies(self, trials: Trials, located: Trials, network_classes: int | None) -> Tallies:
        tallies = Tallies()
        for name, of_trials, column, kept, empty in (
            ("classification", trials, "rank", tallies.classification, "no image is scored"),
            ("localization", located, "place", tallies.localization, _WITHOUT_BOXES),
        ):
            first = of_trials.first_rank(column)
            for n in DEPTHS:
                metric = f"top{n}_{name}_error"
                lacking = _lacking_guesses(n, of_trials, network_classes)
                if lacking or not len(first):
                    tallies.absent[metric] = lacking or empty
                else:
                    kept[metric] = Tally(
                        (first > n).astype(np.int64), np.ones(len(first), np.int64)
                    )
        if lacking := _lacking_boxes(located):
            tallies.absent["gt_known_error"] = lacking
        else:
            wrong = ~located.right(self.known, "run")
            errors = np.add.reduceat(wrong, located.firsts, dtype=np.int64)
            tallies.localization["gt_known_error"] = Tally(errors, located.numbers)
        return tallies

    def reduce(self, trials: Trials, by: Figuring) -> Figures:
        """Return all figures; see `ScoringProtocol`."""
        located = trials.located
        tallies = self._tallies(trials, located, by.network_classes)
        kept = (tallies.classification, trials), (tallies.localization, located)
        metrics = {
            name: by.bootstrap.rate(tally, by.bootstrap.strata(of_trials.truths))
            for of_name, of_trials in kept
            for name, tally in of_name.items()
        }
        if by.sweep is None:
            return Figures(metrics, tallies.absent)
        choices = self._choices(located, metrics, by)
        lacking = located.without_map()
        if lacking and "gt_known_error" not in choices:
            images = len(located.truths)
            tallies.absent["other_thresholds"] = stored_for("map", images - lacking, images)
        return Figures(metrics, tallies.absent, choices, self._curves(located, choices))

    def _choices(
        self, located: Trials, metrics: Mapping[str, Rate], by: Figuring
    ) -> dict[str, ThresholdChoice]:
        """Return the localization errors under each rule, for those that have all their maps."""
        sweep = by.sweep or Sweep()
        shown = shown_thresholds(sweep.fixed, sweep.percentile, by.chosen)
        deployable = by.chosen.rule if by.chosen else "run"
        return {
            name: Swept(located, self._criterion(n), n, error=True).choice(
                shown, deployable, AtThreshold(by.run_threshold, metrics[name].value)
            )
            for name, n in SWEPT.items()
            if name in metrics and not located.without_map(n)
        }

    def _criterion(self, n: int) -> Criterion:
        return self.known if n == GT_KNOWN else self.guess

    def _curves(self, located: Trials, choices: Mapping[str, ThresholdChoice]) -> dict[str, Curve]:
        """Return the accuracy against the threshold for GT-known and top-1, a line for each IoU.

        The rules' figures are points of the line of the protocol's own IoU, where it has a line.
        """
        curves = {}
        for curve, name in _CURVES.items():
            if name not in choices:
                continue
            n = SWEPT[name]
            own, choice = self._criterion(n), choices[name]
            lines = {
                line_label(c): Swept(located, c, n)
                for c in (Criterion(at, own.above) for at in CURVE_IOUS)
            }
            points = (
                Point(line_label(own), float(at.threshold), 100 - at.value, rule)
                for rule in (choice.deployable, "oracle")
                if isinstance((at := choice.rules[rule]).threshold, int | float)
            )
            curves[curve] = accuracy_curve(
                lines,
                "localization accuracy, %",
                tuple(points) if own.iou in CURVE_IOUS else (),
            )
        return curves

    def choose(self, trials: Trials) -> tuple[float, dict[int, float], float]:
        """Return the best threshold by GT-known localization; see `ScoringProtocol`."""
        thresholds = trials.layout.columns.thresholds
        right = trials.counts(self.known)[: len(thresholds)]
        place = best_plateau(right)
        return float(thresholds[place]), {}, 100 * int(right[place]) / len(trials)


_WITHOUT_BOXES: Final = "no scored image has a true box"


def _every_box(truth: Annotation) -> list[Box]:
    return [o.box for o in truth.objects if o.box is not None]


def _top1_kind(
    truth: Annotation, guesses: Sequence[ClassPrediction], rows: Sequence[Trial], by: Material
) -> int:
    """Return the kind of the top-1 guess; of several true classes its own has the true boxes."""
    if min(row.rank for row in rows) != 1:
        return Kind.WRONG_CLASS
    if min(row.place for row in rows) == 1:
        return Kind.RIGHT
    guess = next(g for g in guesses if g.rank == 1)
    own = [box for label in truth.labels if matches(label, guess) for box in truth.boxes(label)]
    box = guess.boxes[0].box if guess.boxes else None
    return wrong_kind(box, own, _every_box(truth), by.diagnosis)


def _lacking_guesses(n: int, trials: Trials, network_classes: int | None) -> str | None:
    """Return why a top-n error cannot be given; None where it can.

    An image may carry fewer guesses than another one (ragged guess files): then it has no further
    guess. What must not be scored as top-5 is a set in which no image has five.
    """
    images = trials.images
    needed = n if network_classes is None else min(n, network_classes)
    carried = int(images["guesses"].max(initial=0)) if len(images) else n
    if needed <= carried or (images["complete"] | (images["ranks"] >= needed)).all():
        return None
    guesses = "1 guess" if carried == 1 else f"{carried} guesses"
    return (
        f"the predictions carry {guesses} an image, not {needed}; "
        f"`camtool localize --set localize.classes.k={needed}` stores them"
    )


def _lacking_boxes(located: Trials) -> str | None:
    """Return why the GT-known error cannot be given; None where it can."""
    images = len(located.truths)
    if not images:
        return _WITHOUT_BOXES
    lacking = len(np.unique(located.image[~located.flag("predicted")]))
    return stored_for("box", images - lacking, images) if lacking else None
