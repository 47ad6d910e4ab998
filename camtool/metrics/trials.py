"""Trials: what an evaluation knows, as one table with a row for each image and true class.

    predictions × annotations ── judge ──▶ Trials ── reduce ──▶ figures

A protocol *judges* each image once, and everything else reads columns of the table: figures and
their intervals, rules for the threshold, the oracle, calibration, kinds of errors, the comparison
of runs, and baselines, whose constant box or map is judged like any other.

Whether a box is right is a bit: for each `Criterion` (which overlap is enough) and each of the
`Columns` (which box: the stored one, or that of the map at a threshold); some 90 bytes a row.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.structures import Annotation

NEVER: Final = int(np.iinfo(np.int32).max)
"""Rank of a class that is not stored, and place of a guess that there is not."""
ABSENT: Final = 255
"""In columns of one byte: the predictions do not say."""
NO_BOX: Final = 2
"""In the column `largest`: the class has no box."""

GT_KNOWN: Final = 0
"""Stands for GT-known where a number n means top-n: every row counts, whatever its rank."""
_HEAD: Final = struct.Struct("<iiBBBBBdd")
_HEAD_TYPE: Final = [
    ("rank", "<i4"), ("place", "<i4"), ("flags", "u1"), ("kind", "u1"), ("largest", "u1"),
    ("pointing", "u1"), ("peak", "u1"), ("iou", "<f8"), ("area", "<f8"),
]  # fmt: skip
_FLAGS: Final = {"boxed": 1, "predicted": 2, "mapped": 4, "target": 8}
_AT_ONCE: Final = 1024
"""Images whose bits are unpacked together: some megabytes."""


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
    """

    thresholds: NDArray[np.float64]
    named: tuple[str, ...] = ()

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
        hits: which boxes are right: for each criterion the packed bits of all columns.
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
        flags = sum(bit for name, bit in _FLAGS.items() if getattr(self, name))
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
        return -(-len(self.columns) // 8)

    @property
    def hit_bytes(self) -> int:
        """Bytes of a row's hits."""
        return len(self.criteria) * self.width

    @property
    def row(self) -> np.dtype[np.void]:
        """The type of a row."""
        return np.dtype([*_HEAD_TYPE, ("hits", "u1", (len(self.criteria), self.width))])


_IMAGE_TYPE: Final = np.dtype(
    [("ranks", "<i4"), ("guesses", "<i4"), ("top1", "u1"), ("complete", "?"), ("located", "?")]
)


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """The table of an evaluation: a row an image and true class, neighbours by image.

    Example:
        >>> from camtool import EvalSettings, Experiment, evaluate_files, localize
        >>> run = localize(["examples/images"], Experiment()).folder
        >>> found = evaluate_files(EvalSettings(annotations="examples/val.xml"), run)
        >>> found.trials.table["iou"].round(2)[:3]
        array([0.75, 0.98, 0.4 ])

    Attributes:
        layout: criteria and columns.
        table: the rows; see `Trial` for the fields `rank`, `place`, `kind`, `largest`, `pointing`,
            `iou`, `area`, `hits`, and `flag` for the others.
        truths: what of the annotation of each image counts, images in name order.
        images: a row an image: `ranks`, `guesses`, `top1` as in `Outcome`; `complete`: all its true
            classes are stored because they are true, so every top-n is known exactly; `located`:
            it counts for localization.
        labels: class of each row, as the annotation writes it.
        names: class of each row, as the network names it.
        numbers: how many rows each image has.
        extra: `Outcome.extra` of each image.
    """

    layout: Layout
    table: NDArray[np.void]
    truths: Sequence[Annotation]
    images: NDArray[np.void]
    labels: Sequence[str | int]
    names: Sequence[str]
    numbers: NDArray[np.int64]
    extra: Sequence[object] = ()

    @classmethod
    def of(
        cls,
        layout: Layout,
        outcomes: deque[tuple[Annotation, PackedOutcome]],
        located: Callable[[Annotation], bool],
    ) -> Trials:
        """Build the table; what it is built of is used up, which halves the memory.

        Args:
            layout: criteria and columns.
            outcomes: annotation and packed outcome of each image; empty afterwards.
            located: tells whether an image counts for localization.
        """
        rows, images, truths = bytearray(), [], []
        labels: list[str | int] = []
        names: list[str] = []
        extra: list[object] = []
        while outcomes:
            truth, packed = outcomes.popleft()
            rows += packed.rows
            images.append((*packed.image, located(truth)))
            truths.append(truth)
            labels += truth.labels
            names += packed.names or map(str, truth.labels)
            extra.append(packed.extra)
        numbers = np.array([len(truth.labels) for truth in truths], np.int64)
        table = np.frombuffer(rows, layout.row)
        per_image = np.array(images, _IMAGE_TYPE)
        return cls(layout, table, truths, per_image, labels, names, numbers, extra)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.table)

    @property
    def image(self) -> NDArray[np.int64]:
        """Place of each row's image in `truths`."""
        return np.repeat(np.arange(len(self.numbers)), self.numbers)

    @property
    def firsts(self) -> NDArray[np.int64]:
        """Place of each image's first row."""
        firsts: NDArray[np.int64] = np.cumsum(self.numbers) - self.numbers
        return firsts

    def flag(self, name: str) -> NDArray[np.bool_]:
        """Return one of `boxed`, `predicted`, `mapped`, `target`, of each row."""
        result: NDArray[np.bool_] = (self.table["flags"] & _FLAGS[name]) > 0
        return result

    def of_images(self, kept: NDArray[np.bool_], *, boxed: bool = False) -> Trials:
        """Return the table of some images; with `boxed` without rows of classes without true boxes.

        Args:
            kept: whether an image is kept, bool of shape (images,).
            boxed: see above.
        """
        rows = np.repeat(kept, self.numbers)
        if boxed:
            rows &= self.flag("boxed")
        if rows.all() and kept.all():
            return self
        numbers = np.bincount(self.image[rows], minlength=len(kept))[kept]
        places = np.flatnonzero(rows).tolist()
        chosen = np.flatnonzero(kept).tolist()
        return replace(
            self,
            table=self.table[rows],
            truths=[self.truths[i] for i in chosen],
            images=self.images[kept],
            labels=[self.labels[i] for i in places],
            names=[self.names[i] for i in places],
            numbers=numbers.astype(np.int64),
            extra=[self.extra[i] for i in chosen],
        )

    @property
    def located(self) -> Trials:
        """The rows that localization is scored on: classes with boxes, of images that count."""
        return self.of_images(self.images["located"], boxed=True)

    def first_rank(self, column: str) -> NDArray[np.int32]:
        """Return the smallest `rank` or `place` of each image; `NEVER` if there is none."""
        result = np.full(len(self.numbers), NEVER, np.int32)
        if len(self):
            some = self.numbers > 0
            result[some] = np.minimum.reduceat(self.table[column], self.firsts[some])
        return result

    def right(self, criterion: Criterion, column: str | float) -> NDArray[np.bool_]:
        """Return whether the box of one column is right, bool of shape (rows,)."""
        place = self.layout.columns.place(column)
        row = self.layout.criteria.index(criterion)
        bits = self.table["hits"][:, row, place >> 3] >> (7 - (place & 7)) & 1
        result: NDArray[np.bool_] = bits.astype(np.bool_)
        return result

    def blocks(
        self, criterion: Criterion, at_once: int = _AT_ONCE
    ) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Yield some rows, whole images, and which of their boxes are right.

        Yields:
            The rows, and 0 or 1 for each of their columns, uint8 of shape (rows, columns).
        """
        row = self.layout.criteria.index(criterion)
        ends = np.cumsum(self.numbers)
        for first in range(0, len(ends), at_once):
            last = min(first + at_once, len(ends)) - 1
            rows = slice(int(ends[first] - self.numbers[first]), int(ends[last]))
            yield (
                rows,
                np.unpackbits(
                    self.table["hits"][rows, row], axis=1, count=len(self.layout.columns)
                ),
            )

    def counts(self, criterion: Criterion, n: int = GT_KNOWN) -> NDArray[np.int64]:
        """Return how many are right in each column, int64 of shape (columns,).

        Args:
            criterion: when a box is right.
            n: `GT_KNOWN` counts rows; a number n counts images that have a right box of a class
                within the first n ranks (top-n localization).
        """
        result = np.zeros(len(self.layout.columns), np.int64)
        for rows, hits in self.blocks(criterion):
            if n != GT_KNOWN and len(hits):
                owners = self.image[rows]
                firsts = np.flatnonzero(np.diff(owners, prepend=-1))
                within = self.table["rank"][rows] <= n
                hits = np.maximum.reduceat(hits * within[:, None], firsts)
            # In bytes, 255 rows at a time: several times as fast as in large numbers.
            for first in range(0, len(hits), 255):
                result += hits[first : first + 255].sum(0, dtype=np.uint8)
        return result

    def total(self, n: int = GT_KNOWN) -> int:
        """Return what a figure is a share of: rows for GT-known, else images."""
        return len(self) if n == GT_KNOWN else len(self.truths)

    def without_map(self, n: int = GT_KNOWN) -> int:
        """Return for how many images a map is not stored that top-n, or GT-known, needs."""
        lacking = ~self.flag("mapped")
        if n != GT_KNOWN:
            lacking &= self.table["rank"] <= n
        return len(np.unique(self.image[lacking]))

    def classes(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return the true classes by name, sorted, and the place of each row's class among them."""
        names = sorted(set(self.labels), key=str)
        places = {label: place for place, label in enumerate(names)}
        return [str(name) for name in names], np.array([places[i] for i in self.labels], np.int64)


@dataclass(frozen=True, slots=True)
class PackedOutcome:
    """An `Outcome` in a few bytes, since all images are kept until the figures are made.

    Attributes:
        rows: the rows as bytes of the table.
        image: ranks, guesses, kind of the top-1 guess, and whether every top-n is known exactly.
        names: names of the classes; empty where they are the annotation's own.
        extra: as it came.
    """

    rows: bytes
    image: tuple[int, int, int, bool]
    names: tuple[str, ...] = ()
    extra: object = None

    @classmethod
    def of(cls, outcome: Outcome, layout: Layout, labels: Sequence[str | int]) -> PackedOutcome:
        """Pack the outcome of an image of these labels."""
        rows = outcome.rows
        names = tuple(row.name or str(label) for row, label in zip(rows, labels, strict=True))
        complete = all(row.target for row in rows)
        return cls(
            b"".join([row.packed(layout.hit_bytes) for row in rows]),
            (outcome.ranks, outcome.guesses, outcome.top1, complete),
            () if names == tuple(map(str, labels)) else names,
            outcome.extra,
        )


def maps_missing(located: Trials) -> str | None:
    """Return why figures that need the true classes' maps are absent; None where all are stored."""
    if not len(located.truths):
        return "no scored image has a true box"
    lacking = located.without_map()
    if not lacking:
        return None
    return stored_for("map", len(located.truths) - lacking, len(located.truths))


def stored_for(what: str, stored: int, images: int) -> str:
    """Return the sentence that says for how many images something of the true class is stored."""
    return (
        f"the true class's {what} is stored for {stored:,} of {images:,} images;"
        " `camtool localize --labels` stores it for all"
    )


def packed_hits(hits: NDArray[np.bool_]) -> bytes:
    """Return hits, bool of shape (criteria, columns), as `Trial.hits`."""
    return np.packbits(hits, axis=1).tobytes()
