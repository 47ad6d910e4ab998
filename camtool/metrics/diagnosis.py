"""What kind of error each localization is, and how the kinds are spread over the images.

Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object
Localization", ICCV 2021, https://arxiv.org/abs/2103.14862, sort the top-1 guess of an image; their
program tries the rules in the order below, and so does `wrong_kind`. With P the predicted box,
G_1 … G_n the true boxes of its class, and G* the one with the best intersection over union (among
equals the first):

    IoG(G) = area(P ∩ G) / area(G)        share of the true box that is covered
    IoP(G) = area(P ∩ G) / area(P)        share of the predicted box that lies on the true one

1. `right`: as the protocol has it, so that the share of `right` is its accuracy exactly (Gao et al.
   ask for IoU > 0.5).
2. `wrong_class`: the class of the guess is none of the image's, whatever its box.
3. `several_instances`: IoG(G_i) > 0.3 for two or more i (their "multi-instance error", M-Ins).
4. `part`: IoP(G*) > 0.5 ("localization part error").
5. `too_large`: IoG(G*) >= 0.7 ("localization more error"; the paper writes >, the program >=).
6. `background`: IoU < 0.1 with every true box of the image, of any class.
7. `other`: what is left, a guess without a box among them.

Kinds 6 and 7 together are the "other error" of Gao et al. What of it lies on the background is told
apart by Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012, who call detections of an
overlap below 0.1 with every object background, and those between 0.1 and 0.5 mislocalized; TIDE
(Bolya et al., ECCV 2020, https://arxiv.org/abs/2008.08115) has the same 0.1. It comes late on
purpose: a small box inside a large object has an IoU below 0.1 too, and is a part of it.

Kinds are counted over all images, and by size, aspect and number of objects, and class: Hoiem et
al. look at the same characteristics. The object that gives size and aspect is the largest true box.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Final, final

import numpy as np
from pydantic import Field, model_validator

from camtool.geometry import iou
from camtool.metrics.curves import Bars
from camtool.metrics.intervals import Tally
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from camtool.metrics.intervals import Bootstrap, Rate
    from camtool.structures import Box

_Share = Annotated[float, Field(ge=0, le=1)]
# YAML and the command line give lists.
_Edges = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1, max_length=20)
]


class Kind(IntEnum):
    """What a localization is; its name in lower case is that of the figures."""

    RIGHT = 0
    WRONG_CLASS = 1
    PART = 2
    TOO_LARGE = 3
    SEVERAL_INSTANCES = 4
    BACKGROUND = 5
    OTHER = 6


KINDS: Final = tuple(kind.name.lower() for kind in Kind)
"""Names of the kinds, in the order of `Kind`."""


@final
class DiagnosisSettings(Settings):
    """What kind of error each image is, and further figures of boxes and maps."""

    enabled: bool = True
    """Tell the kinds of errors, and score CorLoc, mean IoU, the largest box and the pointing game.
    """
    pointing: bool = True
    """Score the pointing game, which reads the stored map of each true class."""
    several_iog: _Share = 0.3
    """Share of a true box that must be exceeded for the box to count as one of several merged."""
    part_iop: _Share = 0.5
    """Share of the predicted box, on the true box, above which it is a part of the object."""
    large_iog: _Share = 0.7
    """Share of the true box from which on the predicted box is too large."""
    background_iou: _Share = 0.1
    """Intersection over union, with every object, below which a box lies on the background."""
    size_edges: _Edges = (0.2, 0.4, 0.67)
    """Shares of the image at which groups of object size begin: by default the quartiles of the
    largest true box of the ILSVRC validation images, rounded."""
    aspect_edges: _Edges = (0.5, 0.8, 1.25, 2.0)
    """Width over height of the object at which groups of aspect begin."""
    instance_edges: _Edges = (2, 3, 5)
    """Numbers of true boxes at which groups begin."""

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        for name in ("size_edges", "aspect_edges", "instance_edges"):
            edges = getattr(self, name)
            if list(edges) != sorted(set(edges)):
                raise ValueError(f"{name} must rise: {', '.join(f'{edge:g}' for edge in edges)}")
        return self


def wrong_kind(
    box: Box | None,
    true_boxes: Sequence[Box],
    every_box: Sequence[Box],
    settings: DiagnosisSettings,
) -> Kind:
    """Return the kind of a guess whose class is right and whose box is not.

    Args:
        box: the box of the guess; None where it has none.
        true_boxes: the true boxes of its class.
        every_box: the true boxes of all classes of the image.
        settings: the thresholds.
    """
    if box is None:
        return Kind.OTHER
    common = [_common(box, true) for true in true_boxes]
    if sum(c / t.area > settings.several_iog for c, t in zip(common, true_boxes, strict=True)) > 1:
        return Kind.SEVERAL_INSTANCES
    if true_boxes:
        overlaps = [iou(box, true) for true in true_boxes]
        best = overlaps.index(max(overlaps))
        if common[best] / box.area > settings.part_iop:
            return Kind.PART
        if common[best] / true_boxes[best].area >= settings.large_iog:
            return Kind.TOO_LARGE
    if all(iou(box, true) < settings.background_iou for true in every_box):
        return Kind.BACKGROUND
    return Kind.OTHER


def _common(a: Box, b: Box) -> float:
    """Return the number of pixels that two boxes share."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0


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
            Tally(np.add.reduceat(kinds == code, first, dtype=np.int64), images), strata
        )
        for code, name in enumerate(KINDS)
    }
    return Diagnosis(
        kinds=rates,
        counts=dict(zip(KINDS, counts, strict=True)),
        by_size=_groups(kinds, objects.shares, settings.size_edges, _size_title),
        by_aspect=_groups(kinds, objects.aspects, settings.aspect_edges, _aspect_title),
        by_instances=_groups(kinds, objects.instances, settings.instance_edges, _instances_title),
        by_class=by_class,
    )


def count_classes(
    kinds: NDArray[np.uint8], classes: NDArray[np.int64], names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Return the counts of each kind by class; `classes` are places in `names`, by pair."""
    table = np.zeros((len(names), len(KINDS)), np.int64)
    np.add.at(table, (classes, kinds), 1)
    return {name: tuple(row) for name, row in zip(names, table.tolist(), strict=True)}


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


def _size_title(low: float | None, high: float | None) -> str:
    """Return the name of the objects that have this share of the image; both None: unknown."""
    if low is None and high is None:
        return "size of the image unknown"
    percent = (None if edge is None else 100 * edge for edge in (low, high))
    return f"size {_between(*percent)} % of the image"


def _aspect_title(low: float | None, high: float | None) -> str:
    """Return the name of the objects of this width over height."""
    return f"width/height {_between(low, high)}"


def _instances_title(low: float | None, high: float | None) -> str:
    """Return the name of the images that have so many true boxes, from `low` to below `high`."""
    first = 1 if low is None else low
    if high is None:
        return f"{first:g} or more objects"
    if first + 1 == high:
        return "1 object" if first == 1 else f"{first:g} objects"
    return f"{first:g} to {high - 1:g} objects"


def _between(low: float | None, high: float | None) -> str:
    if low is None:
        return f"under {high:g}"
    return f"from {low:g}" if high is None else f"{low:g} to {high:g}"
