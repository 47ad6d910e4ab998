"""Results: of an evaluation, of an evaluation by every protocol, and of a comparison of runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from camtool.metrics.baselines import SIDES, best_centred

if TYPE_CHECKING:
    from camtool.evaluation.details import Details
    from camtool.metrics.baselines import Baseline
    from camtool.metrics.curves import Curve
    from camtool.metrics.intervals import Difference, McNemar, Rate
    from camtool.metrics.thresholds import ThresholdChoice
    from camtool.metrics.trials import Trials

_ASPECTS: Final = ("hit", "true_boxes", "guess_box", "top_n", "pixels", "frame", "threshold")
"""What of a convention tells the protocols apart; the rest is the same for all."""

KindChanges = dict[str, dict[str, int]]
"""Number of images, or pairs of image and class, by kind in the first run, then in the second."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was scored.

    Attributes:
        annotated: usable annotations, in the range of images.
        predicted: predictions read, those with an error included.
        scored: images that count for at least one figure.
        left_out: number of annotations, predictions or images left out, by reason.
    """

    annotated: int
    predicted: int
    scored: int
    left_out: dict[str, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of an evaluation: figures, and all that a reader needs to compare them.

    Example:
        >>> from pathlib import Path
        >>> from camtool import EvalSettings, evaluate_files
        >>> boxes = Path("examples/val.xml")
        >>> result = evaluate_files(EvalSettings(annotations=boxes, baselines_only=True))
        >>> result.best_centred()[:2]
        ('centred_0.7', 0.7)

    Attributes:
        protocol: name of the protocol.
        convention: how was scored, by aspect; sentences for human readers.
        counts: what was scored.
        metrics: rates by name, in percent; errors or accuracies, see `measure`.
        absent: why the other figures of the protocol are not given, by name.
        baselines: whole image and centred boxes on the images of the GT-known error; empty where
            no image has both a size and a true box.
        join: number of predictions joined to annotated images, by the way their ids agreed.
        warnings: what a reader should look at, a sentence each.
        measure: `error` or `accuracy`: what the metrics are.
        thresholds: metrics under several rules for the threshold: fixed ones, the oracle, …
        map_baselines: where maps are scored, the same metrics of a centred Gaussian map and of
            centred boxes: by baseline, then by metric.
        curves: what plots show, by name.
        details: kinds of errors and further figures; None where none were asked for.
        verdict: GT-known accuracy of the best centred box (`first`) and of these boxes (`second`),
            paired, on the same images; None where either is missing.
        trials: the table that all of it was read from; None where only baselines were scored.
    """

    protocol: str
    convention: dict[str, str]
    counts: Counts
    metrics: dict[str, Rate]
    absent: dict[str, str]
    baselines: dict[str, Baseline]
    join: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    measure: str = "error"
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    map_baselines: dict[str, dict[str, Rate]] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    details: Details | None = None
    verdict: Difference | None = None
    trials: Trials | None = field(default=None, compare=False, repr=False)

    @property
    def all_absent(self) -> dict[str, str]:
        """Why figures are not given, those of `details` among them, by name."""
        return self.absent | (self.details.absent if self.details else {})

    @property
    def convention_in_short(self) -> str:
        """What tells its protocol from others, in a paragraph."""
        said = [aspect for aspect in _ASPECTS if aspect in self.convention]
        # Mostly the hit rule says which true boxes count.
        if self.convention["true_boxes"].split(";")[0] in self.convention["hit"]:
            said.remove("true_boxes")
        return "; ".join(f"{a.replace('_', ' ')}: {self.convention[a]}" for a in said)

    def best_centred(self, metric: str = "gt_known_error") -> tuple[str, float, float] | None:
        """Return name, side and figure of the best centred box; None where there are no boxes.

        Args:
            metric: its figure stands in the unit of the metrics of map protocols, else as accuracy
                in percent; with top-1 localization the network's first guess has that box.
        """
        rates: dict[str, Rate | None] = {
            name: found[metric] for name, found in self.map_baselines.items() if metric in found
        }
        if metric == "gt_known_error":
            rates = {name: baseline.rate for name, baseline in self.baselines.items()}
        if metric == "top1_localization_error":
            rates = {name: baseline.top1 for name, baseline in self.baselines.items()}
        values = {name: rate.value for name, rate in rates.items() if rate is not None}
        best = best_centred(values)
        return None if best is None else (best, SIDES[best], values[best])


@dataclass(frozen=True, slots=True)
class EvaluationOfAll:
    """The results of every protocol.

    Attributes:
        protocols: by name, those that the data allow; at least one.
        absent: why the others cannot be given, by name.
    """

    protocols: dict[str, Evaluation]
    absent: dict[str, str]

    @property
    def main(self) -> Evaluation:
        """The evaluation that speaks for all where one must: the first, `ilsvrc` if it is there."""
        return next(iter(self.protocols.values()))

    @property
    def warnings(self) -> list[str]:
        """Each warning once, whichever protocols give it."""
        return list(dict.fromkeys(w for e in self.protocols.values() for w in e.warnings))

    @property
    def common_convention(self) -> dict[str, str]:
        """The aspects that all protocols state alike."""
        first, *others = (e.convention for e in self.protocols.values())
        return {
            aspect: rule
            for aspect, rule in first.items()
            if aspect not in _ASPECTS and all(other.get(aspect) == rule for other in others)
        }


@dataclass(frozen=True, slots=True)
class PairedMetric:
    """One metric of two runs on the same images.

    An image is better where the second run makes less of its errors, or more of its boxes right;
    with one outcome an image, these are the images that changed side.

    Attributes:
        difference: both rates, their difference and its interval.
        test: McNemar's test of `better` against `worse`.
        better: number of images that are better in the second run.
        worse: number of images that are worse there.
        better_ids: a few of them, the first in name order.
        worse_ids: likewise.
    """

    difference: Difference
    test: McNemar
    better: int
    worse: int
    better_ids: tuple[str, ...]
    worse_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunPair:
    """The first run against another one, or a group of runs against another one.

    Attributes:
        first: the run that the other is compared to; of several the name of their group.
        second: the other run, or group.
        images: how many images are compared.
        left_out: images left out because they count in one run only.
        metrics: by name; those that both runs allow.
        absent: why the others are not given, by name.
        kinds: what became of each kind of error, of the top-1 guess (`top1`) and the true class's
            box (`gt_known`), where both runs allow it.
    """

    first: str
    second: str
    images: int
    left_out: int
    metrics: dict[str, PairedMetric]
    absent: dict[str, str]
    kinds: dict[str, KindChanges] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that count as one: a run, or repetitions of an experiment with several seeds.

    Example:
        >>> RunGroup("runs/cam", ("runs/cam",), {"gt_known_error": (36.8,)}).mean("gt_known_error")
        36.8

    Attributes:
        name: of a single run its path.
        runs: their paths.
        rates: each metric of each run, in percent, on all images that count in that run.
    """

    name: str
    runs: tuple[str, ...]
    rates: dict[str, tuple[float, ...]]

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the runs, in percent."""
        return sum(self.rates[metric]) / len(self.rates[metric])

    def sd(self, metric: str) -> float | None:
        """Return the standard deviation over the runs, of a sample; None for a single run."""
        values, mean = self.rates[metric], self.mean(metric)
        if len(values) < 2:
            return None
        return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs on the same images, the first against each other one.

    Example:
        >>> stated = {"hit": "IoU >= 0.5", "threshold": "boxes as stored"}
        >>> Comparison("ilsvrc", "error", stated, pairs=()).measure
        'error'

    Attributes:
        protocol: name of the protocol.
        measure: `error` or `accuracy`: what the metrics are.
        convention: how was scored, by aspect; sentences for human readers.
        pairs: in the order of the runs.
        warnings: what a reader should look at, a sentence each.
        groups: each run, or group of runs, by itself, the first first.
    """

    protocol: str
    measure: str
    convention: dict[str, str]
    pairs: tuple[RunPair, ...]
    warnings: tuple[str, ...] = ()
    groups: tuple[RunGroup, ...] = ()
