"""What judging one image gives: a row for each of its true classes, in a few bytes.

Whether a box is right is a bit: for each `Criterion` (which overlap is enough) and each of the
`Columns` (which box: the stored one, or that of the map at a threshold).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEVER: Final = int(np.iinfo(np.int32).max)
"""Rank of a class that is not stored, and place of a guess that there is not."""
ABSENT: Final = 255
"""In columns of one byte: the predictions do not say."""
NO_BOX: Final = 2
"""In the column `largest`: the class has no box."""

_HEAD: Final = struct.Struct("<iiBBBBBdd")
_HEAD_TYPE: Final = [
    ("rank", "<i4"), ("place", "<i4"), ("flags", "u1"), ("kind", "u1"), ("largest", "u1"),
    ("pointing", "u1"), ("peak", "u1"), ("iou", "<f8"), ("area", "<f8"),
]  # fmt: skip
_IMAGE: Final = struct.Struct("<iiB?")
IMAGE_TYPE: Final = np.dtype(
    [("ranks", "<i4"), ("guesses", "<i4"), ("top1", "u1"), ("complete", "?")]
)
# In the order of `Trial.packed`.
FLAGS: Final = {"boxed": 1, "predicted": 2, "mapped": 4, "target": 8}


@dataclass(frozen=True, slots=True)
class Criterion:
    """Which intersection over union is enough for a box to be right.

    Example:
        >>> Criterion(0.5).holds(0.5), Criterion(0.5, above=True).holds(0.5)
        (True, False)

    Attributes:
        iou: the threshold on it, in (0, 1].
        above: an overlap of exactly the threshold is not enough.
    """

    iou: float
    above: bool = False

    def holds(self, overlap: Any) -> Any:  # noqa: ANN401 (a number, or an array of them)
        """Return whether an overlap is enough; of an array, each of them."""
        return overlap > self.iou if self.above else overlap >= self.iou

    @property
    def sign(self) -> str:
        """`>` or `>=`."""
        return ">" if self.above else ">="


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Which boxes of an image and class are judged: a column of bits each.

    Attributes:
        thresholds: thresholds on the map, ascending, float64 of shape (n,).
        named: boxes of another origin, behind them: `run` (as stored), `otsu`, `percentile`,
            `fixed`, `calibrated`, `stored`.
        levels: number of levels of a map, where they are fewer than thresholds: then a bit a level
            is kept, and threshold t is read from that of level `int(t · peak)` of its row.
    """

    thresholds: NDArray[np.float64]
    named: tuple[str, ...] = ()
    levels: int = 0

    def __len__(self) -> int:
        """Return how many columns there are."""
        return len(self.thresholds) + len(self.named)

    def place(self, column: str | float) -> int:
        """Return the place of a named column, or of a threshold.

        Raises:
            ValueError: there is no such column.
        """
        if isinstance(column, str) and column in self.named:
            return len(self.thresholds) + self.named.index(column)
        if isinstance(column, str):
            raise ValueError(f"no column {column} among {', '.join(self.named)}")
        place = int(np.searchsorted(self.thresholds, column))
        if place == len(self.thresholds) or self.thresholds[place] != column:
            raise ValueError(f"{column} is none of the thresholds")
        return place

    @property
    def bits(self) -> int:
        """How many bits of a row are kept: those of thresholds or levels, then those by name."""
        return (self.levels or len(self.thresholds)) + len(self.named)

    def of_row(self, peak: int) -> NDArray[np.int64]:
        """Return for each column its bit in the rows whose map has this maximum."""
        if not self.levels:
            return np.arange(len(self))
        named = self.levels + np.arange(len(self.named))
        return np.concatenate(((self.thresholds * peak).astype(np.int64), named))


@dataclass(slots=True)
class Trial:
    """One image and one of its true classes, judged: a row of `Trials`.

    Attributes:
        boxed: the class has true boxes; all else but ranks is of such classes only.
        rank: place of the class in the network's order, 1 = most probable; `NEVER` if not stored.
        place: first place among the image's guesses at which class and box are right; `NEVER`.
        predicted: the predictions say what the box of the class is, or that there is none.
        mapped: the class's map is stored, and the columns of thresholds are filled.
        target: the class is stored because it is true (`camtool localize --labels`).
        kind: `Kind` of the box of the class, or `ABSENT`.
        largest: 1 where the largest box of the class is right, 0 where not, `NO_BOX` or `ABSENT`.
        pointing: bit i is set where the map points at an object within the i-th tolerance.
        peak: maximum of the class's map in 8 bits, where a protocol of maps judged it; 0: flat.
        iou: best intersection over union of the class's box with its true boxes; 0 without a box,
            NaN where the predictions do not say.
        area: pixels of that box, in the frame of the annotation; NaN without one.
        hits: which boxes are right: for each criterion the packed bits of `Columns`.
        name: the class as the network names it; as the annotation does where that is unknown.
    """

    boxed: bool
    rank: int = NEVER
    place: int = NEVER
    predicted: bool = False
    mapped: bool = False
    target: bool = False
    kind: int = ABSENT
    largest: int = ABSENT
    pointing: int = ABSENT
    peak: int = 0
    iou: float = math.nan
    area: float = math.nan
    hits: bytes = b""
    name: str = ""

    def packed(self, hit_bytes: int) -> bytes:
        """Return the row as the bytes of the table, `hit_bytes` of them for hits."""
        flags = self.boxed + 2 * self.predicted + 4 * self.mapped + 8 * self.target
        head = _HEAD.pack(
            self.rank, self.place, flags, self.kind, self.largest, self.pointing, self.peak,
            self.iou, self.area,
        )  # fmt: skip
        return head + (self.hits or bytes(hit_bytes))


@dataclass(slots=True)
class Outcome:
    """One image, judged: its rows, and what concerns the image as a whole.

    Attributes:
        rows: a trial for each true class, in the order of the annotation.
        ranks: how many of the image's best classes are stored without a gap.
        guesses: the same, less a last one that may be stored only because it is true.
        top1: `Kind` of the image's top-1 guess, or `ABSENT`.
        extra: what a protocol wants to find again when it makes its figures.
    """

    rows: list[Trial]
    ranks: int = 0
    guesses: int = 0
    top1: int = ABSENT
    extra: object = None


@dataclass(frozen=True, slots=True)
class Layout:
    """Shape of a table of trials: what is judged of every row.

    Attributes:
        criteria: which overlaps are enough; bits of `hits`, first axis.
        columns: which boxes are judged; bits of `hits`, second axis, packed.
        shown: hits that a table for users shows: name, criterion, column.
    """

    criteria: tuple[Criterion, ...] = ()
    columns: Columns = field(default_factory=lambda: Columns(np.zeros(0)))
    shown: tuple[tuple[str, Criterion, str], ...] = ()

    @property
    def width(self) -> int:
        """Bytes of a row's hits by one criterion."""
        return -(-self.columns.bits // 8)

    @property
    def hit_bytes(self) -> int:
        """Bytes of a row's hits."""
        return len(self.criteria) * self.width

    @property
    def row(self) -> np.dtype[np.void]:
        """The type of a row."""
        return np.dtype([*_HEAD_TYPE, ("hits", "u1", (len(self.criteria), self.width))])


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An `Outcome` in a few bytes, since all images are kept until the figures are made.

    Attributes:
        rows: the rows as bytes of the table.
        image: ranks, guesses, kind of the top-1 guess, and whether every top-n is known exactly, as
            bytes of `IMAGE_TYPE`.
        names: names of the classes; empty where they are the annotation's own.
        extra: as it came.
    """

    rows: bytes
    image: bytes
    names: tuple[str, ...] = ()
    extra: object = None

    @classmethod
    def of(cls, outcome: Outcome, layout: Layout, labels: Sequence[str | int]) -> PackedOutcome:
        """Pack the outcome of an image of these labels."""
        rows = outcome.rows
        own = all(row.name == label for row, label in zip(rows, labels, strict=True))
        names = () if own else tuple([row.name for row in rows])
        complete = all([row.target for row in rows])
        return cls(
            b"".join([row.packed(layout.hit_bytes) for row in rows]),
            _IMAGE.pack(outcome.ranks, outcome.guesses, outcome.top1, complete),
            names,
            outcome.extra,
        )


def packed_hits(hits: NDArray[np.bool_]) -> bytes:
    """Return hits, bool of shape (criteria, bits), as `Trial.hits`."""
    return np.packbits(hits, axis=1).tobytes()
