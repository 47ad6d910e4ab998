"""The result of comparing runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camtool.evaluation.kind_changes import KindChanges
    from camtool.metrics.paired import Difference, McNemar

__all__ = ["Comparison", "PairedMetric", "RunPair"]


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
    """The first run against another one.

    Attributes:
        first: the run that the other is compared to.
        second: the other run.
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
class Comparison:
    """Runs on the same images, the first against each other one.

    Attributes:
        protocol: name of the protocol.
        measure: `error` or `accuracy`: what the metrics are.
        convention: how was scored, by aspect; sentences for human readers.
        pairs: in the order of the runs.
        warnings: what a reader should look at, a sentence each.
    """

    protocol: str
    measure: str
    convention: dict[str, str]
    pairs: tuple[RunPair, ...]
    warnings: tuple[str, ...] = ()
