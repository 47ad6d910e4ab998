"""What every protocol makes of its images: outcomes in, figures out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.metrics.confidence import Rate
    from camtool.metrics.curves import Curve

__all__ = ["AtThreshold", "Figures", "ImageOutcome", "ThresholdChoice"]


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """How the guesses of one image fare against its annotation.

    Attributes:
        class_rank: rank of the first guess of a true class; None where there is none.
        box_rank: rank of the first guess whose class and box are right; None where there is none.
        known: for each true class that has a box: whether the box predicted for this class is
            right; None where the predictions say nothing of this class.
        ranks: how many of the image's best classes are stored without a gap.
        guesses: the same, less a last one that may be stored only because it is true.
        complete: all true classes are stored because they are true, with the rank that the network
            gives them: every top-N is known exactly.
    """

    class_rank: int | None
    box_rank: int | None
    known: tuple[bool | None, ...]
    ranks: int
    guesses: int
    complete: bool


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """A figure, and the threshold that it was had at.

    Attributes:
        threshold: a number, or words where each map or class has its own.
        value: the figure in percent, in the protocol's measure.
    """

    threshold: float | str
    value: float


@dataclass(frozen=True, slots=True)
class ThresholdChoice:
    """A figure under several rules for the threshold.

    Attributes:
        rules: the figure by the name of the rule: `run` (boxes as stored), `fixed`, `otsu`,
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
        """The figure at the oracle's threshold."""
        return self.rules["oracle"].value

    @property
    def deployable_value(self) -> float:
        """The figure that one may expect on new images."""
        return self.rules[self.deployable].value

    @property
    def gap(self) -> float:
        """What the deployable rule loses against the oracle, in percentage points."""
        return abs(self.oracle_value - self.deployable_value)


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a set of images.

    Attributes:
        metrics: rates by name.
        absent: why the other figures cannot be given, by name.
        thresholds: for figures with a threshold, what it was and what another would give.
        curves: what plots show of the figures, by name.
        map_baselines: the same figures of maps that need no network, where they come with the
            figures; by baseline, then by metric.
        warnings: what a reader should look at, a sentence each.
    """

    metrics: dict[str, Rate]
    absent: dict[str, str]
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
    map_baselines: dict[str, dict[str, Rate]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
