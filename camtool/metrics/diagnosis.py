"""Kinds of errors counted: over all images, and by size, aspect and number of objects, and class.

Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012, look at the same characteristics.
The object that gives size and aspect is the largest true box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.curves import Bars
from camtool.metrics.error_kinds import Kind
from camtool.metrics.group_titles import aspect_title, instances_title, size_title
from camtool.metrics.resampling import by_stratum

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap, Rate
    from camtool.metrics.error_kinds import DiagnosisSettings

__all__ = ["KINDS", "Diagnosis", "Group", "Objects", "count_classes", "diagnose"]

KINDS: Final = tuple(kind.name.lower() for kind in Kind)
"""Names of the kinds, in the order of `Kind`."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images that are alike in one respect.

    Attributes:
        title: what it is, for human readers.
        low: from where on it goes; None for the first group, and where the value is unknown.
        high: below what it ends; None for the last group, and where the value is unknown.
        counts: number of images of each kind, in the order of `KINDS`.
    """

    title: str
    low: float | None
    high: float | None
    counts: tuple[int, ...]

    @property
    def n(self) -> int:
        """How many images it has."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What kind of error the localizations of a set of images are.

    Attributes:
        kinds: share of each kind in percent, with its interval; `n` are images, or, for boxes of
            true classes, pairs of image and true class.
        counts: number of them of each kind.
        by_size: by the object's share of the image, smallest first; groups without images are left
            out here and below. Last, where a size is unknown, those images.
        by_aspect: by width over height of the object.
        by_instances: by number of true boxes.
        by_class: counts of each kind, in the order of `KINDS`, by true class; an image of several
            true classes counts for each of them.
    """

    kinds: dict[str, Rate]
    counts: dict[str, int]
    by_size: tuple[Group, ...]
    by_aspect: tuple[Group, ...]
    by_instances: tuple[Group, ...]
    by_class: dict[str, tuple[int, ...]]

    def bars(self) -> Bars:
        """Return the shares of all kinds as a plot shows them: of all, then by group."""
        groups = (*self.by_size, *self.by_aspect, *self.by_instances)
        rows = [tuple(self.counts.values()), *(group.counts for group in groups)]
        shares = {
            kind.replace("_", " "): tuple(100 * row[code] / sum(row) for row in rows)
            for code, kind in enumerate(KINDS)
        }
        titles = ("all", *(group.title for group in groups))
        return Bars(titles, shares, tuple(map(sum, rows)))


@dataclass(frozen=True, slots=True)
class Objects:
    """What is annotated, for each image or each pair of image and class.

    Attributes:
        shares: share of the image that the largest true box has, float64; NaN where unknown.
        aspects: its width over its height, float64.
        instances: number of true boxes, int64.
    """

    shares: NDArray[np.float64]
    aspects: NDArray[np.float64]
    instances: NDArray[np.int64]


def diagnose(
    kinds: NDArray[np.uint8],
    images: NDArray[np.int64],
    objects: Objects,
    by_class: dict[str, tuple[int, ...]],
    settings: DiagnosisSettings,
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> Diagnosis:
    """Count kinds.

    Args:
        kinds: `Kind` of each unit, an image or a pair of image and class, shape (units,).
        images: how many units each image has, at least 1, in their order.
        objects: what is annotated, for each unit.
        by_class: see `Diagnosis`.
        settings: where the groups begin.
        bootstrap: how the intervals are drawn; it resamples images.
        strata: stratum of each image; None where all are one.
    """
    counts = np.bincount(kinds, minlength=len(KINDS)).tolist()
    first = np.cumsum(images) - images
    rates = {
        name: bootstrap.rate(
            *by_stratum(_marks(np.add.reduceat(kinds == code, first, dtype=int), images), strata)
        )
        for code, name in enumerate(KINDS)
    }
    return Diagnosis(
        kinds=rates,
        counts=dict(zip(KINDS, counts, strict=True)),
        by_size=_groups(kinds, objects.shares, settings.size_edges, size_title),
        by_aspect=_groups(kinds, objects.aspects, settings.aspect_edges, aspect_title),
        by_instances=_groups(kinds, objects.instances, settings.instance_edges, instances_title),
        by_class=by_class,
    )


def count_classes(
    kinds: NDArray[np.uint8], classes: NDArray[np.int64], names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Return the counts of each kind by class; `classes` are places in `names`, by pair."""
    table = np.zeros((len(names), len(KINDS)), np.int64)
    np.add.at(table, (classes, kinds), 1)
    return {name: tuple(row) for name, row in zip(names, table.tolist(), strict=True)}


def _marks(events: NDArray[np.int64], trials: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    return zip(events.tolist(), trials.tolist(), strict=True)


def _groups(
    kinds: NDArray[np.uint8],
    values: NDArray[np.float64] | NDArray[np.int64],
    edges: Sequence[float],
    title: Callable[[float | None, float | None], str],
) -> tuple[Group, ...]:
    unknown = np.isnan(values)
    places = np.where(unknown, len(edges) + 1, np.searchsorted(edges, values, side="right"))
    bounds = [None, *edges, None]
    found: list[Group] = []
    for place in range(len(edges) + 2):
        inside = kinds[places == place]
        if len(inside):
            low, high = (None, None) if place > len(edges) else bounds[place : place + 2]
            counts = np.bincount(inside, minlength=len(KINDS)).tolist()
            found.append(Group(title(low, high), low, high, tuple(counts)))
    return tuple(found)
