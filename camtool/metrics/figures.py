"""What every protocol makes of its images: outcomes in, figures out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.metrics.confidence import Rate
    from camtool.metrics.curves import Curve

__all__ = ["Figures", "ImageOutcome", "ThresholdChoice"]


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
class ThresholdChoice:
    """A figure at the threshold that suits the scored images best, and at a fixed one, in percent.

    Attributes:
        oracle: the best threshold on the scored images.
        oracle_value: the figure there.
        fixed: a threshold that was chosen before.
        fixed_value: the figure there: what one may expect on new images.
    """

    oracle: float
    oracle_value: float
    fixed: float
    fixed_value: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a set of images.

    Attributes:
        metrics: rates by name.
        absent: why the other figures cannot be given, by name.
        thresholds: for figures with a threshold, what it was and what another would give.
        curves: what plots show of the figures, by name.
    """

    metrics: dict[str, Rate]
    absent: dict[str, str]
    thresholds: dict[str, ThresholdChoice] = field(default_factory=dict)
    curves: dict[str, Curve] = field(default_factory=dict)
