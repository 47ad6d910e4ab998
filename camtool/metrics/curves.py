"""What plots and scripts get of an evaluation: a few numbers a line, without any drawing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a line that is named.

    Attributes:
        line: label of the line, as in `Curve.y`.
        x: where the point is.
        y: its value.
        label: what it is, such as `oracle`.
    """

    line: str
    x: float
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Level:
    """A value to hold against a line, the same at every place, such as that of a baseline.

    Attributes:
        line: label of the line, as in `Curve.y`.
        y: the value.
        label: what it is.
    """

    line: str
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Curve:
    """Lines over common places, such as localization accuracy against the threshold.

    Attributes:
        x: places, in increasing order.
        y: values at these places, by the label of the line.
        x_label: what the places are.
        y_label: what the values are, with their unit.
        points: named points.
        levels: what the lines are held against.
    """

    x: tuple[float, ...]
    y: Mapping[str, tuple[float, ...]]
    x_label: str
    y_label: str
    points: tuple[Point, ...] = ()
    levels: tuple[Level, ...] = ()

    def __post_init__(self) -> None:
        """Check that each line has as many values as there are places.

        Raises:
            ValueError: it has not.
        """
        for label, values in self.y.items():
            if len(values) != len(self.x):
                raise ValueError(f"line {label}: {len(values)} values for {len(self.x)} places")


@dataclass(frozen=True, slots=True)
class Bars:
    """Parts of a whole, group by group, such as the kinds of error overall and by class.

    Attributes:
        groups: names of the groups, the whole set first; a bar each.
        shares: for each kind, in the order in which they are stacked, its share in percent of each
            group.
        counts: number of images of each group.
        label: what the shares are of.
    """

    groups: tuple[str, ...]
    shares: Mapping[str, tuple[float, ...]]
    counts: tuple[int, ...]
    label: str = "images, %"

    def __post_init__(self) -> None:
        """Check that everything is given for each group.

        Raises:
            ValueError: it is not.
        """
        for label, values in (*self.shares.items(), ("counts", self.counts)):
            if len(values) != len(self.groups):
                raise ValueError(f"{label}: {len(values)} values for {len(self.groups)} groups")


@dataclass(frozen=True, slots=True)
class Histogram:
    """Numbers of images by the value of something, such as intersection over union.

    Attributes:
        edges: of the bins, in increasing order; one more than there are bins.
        counts: number of images in each bin.
        x_label: what the value is.
        limits: values that matter, by label, such as the IoU from which on a box is right.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    x_label: str
    limits: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that there is one edge more than there are bins.

        Raises:
            ValueError: there is not.
        """
        _check_edges(self.edges, self.counts)


def _check_edges(edges: Sequence[float], counts: Sequence[int]) -> None:
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} bins have {len(counts) + 1} edges, not {len(edges)}")
