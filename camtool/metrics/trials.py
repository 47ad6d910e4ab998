"""Trials: what an evaluation knows, as one table with a row for each image and true class.

    predictions × annotations ── judge ──▶ Trials ── reduce ──▶ figures

A protocol *judges* each image once, and everything else reads columns of the table: figures and
their intervals, rules for the threshold, the oracle, calibration, kinds of errors, the comparison
of runs, and baselines, whose constant box or map is judged like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.outcome import FLAGS, IMAGE_TYPE, NEVER, Criterion, Layout, PackedOutcome

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.structures import Annotation

GT_KNOWN: Final = 0
"""Stands for GT-known where a number n means top-n: every row counts, whatever its rank."""

_AT_ONCE: Final = 1024
"""Images whose bits are unpacked together: about a megabyte."""


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """The table of an evaluation: a row an image and true class, neighbours by image.

    Example:
        >>> from camtool import EvalSettings, Experiment, evaluate_files, localize
        >>> run = localize(["examples/images"], Experiment()).folder
        >>> found = evaluate_files(EvalSettings(annotations="examples/val.xml"), run)
        >>> found.trials.table["iou"].round(2)[:3]
        array([0.96, 0.9 , 0.51])

    Attributes:
        layout: criteria and columns.
        table: the rows; see `Trial` for the fields `rank`, `place`, `kind`, `largest`, `pointing`,
            `iou`, `area`, `hits`, and `flag` for the others.
        truths: what of the annotation of each image counts, images in name order.
        images: a row an image: `ranks`, `guesses`, `top1` as in `Outcome`; `complete`: all its true
            classes are stored because they are true, so every top-n is known exactly.
        counting: whether each image counts for localization.
        labels: class of each row, as the annotation writes it.
        names: class of each row, as the network names it.
        numbers: how many rows each image has.
        extra: `Outcome.extra` of each image.
    """

    layout: Layout
    table: NDArray[np.void]
    truths: Sequence[Annotation]
    images: NDArray[np.void]
    counting: NDArray[np.bool_]
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
        rows, images = bytearray(), bytearray()
        truths, counting, numbers = [], [], []
        labels: list[str | int] = []
        names: list[str] = []
        extra: list[object] = []
        while outcomes:
            truth, packed = outcomes.popleft()
            rows += packed.rows
            images += packed.image
            counting.append(located(truth))
            truths.append(truth)
            own = truth.labels
            numbers.append(len(own))
            labels += own
            names += [str(n or i) for n, i in zip(packed.names or own, own, strict=True)]
            extra.append(packed.extra)
        return cls(
            layout,
            np.frombuffer(rows, layout.row),
            truths,
            np.frombuffer(images, IMAGE_TYPE),
            np.array(counting, np.bool_),
            labels,
            names,
            np.array(numbers, np.int64),
            extra,
        )

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
        result: NDArray[np.bool_] = (self.table["flags"] & FLAGS[name]) > 0
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
            counting=self.counting[kept],
            labels=[self.labels[i] for i in places],
            names=[self.names[i] for i in places],
            numbers=numbers.astype(np.int64),
            extra=[self.extra[i] for i in chosen],
        )

    @property
    def located(self) -> Trials:
        """The rows that localization is scored on: classes with boxes, of images that count."""
        return self.of_images(self.counting, boxed=True)

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
        result = np.zeros(len(self), np.bool_)
        for peak, same in self._by_peak(self.table):
            bit = int(self.layout.columns.of_row(peak)[place])
            result[same] = self.table["hits"][same, row, bit >> 3] >> (7 - (bit & 7)) & 1
        return result

    def _by_peak(self, rows: NDArray[np.void]) -> Iterator[tuple[int, NDArray[np.bool_] | slice]]:
        """Yield rows whose columns are read from the same bits, and the maximum of their maps."""
        if not self.layout.columns.levels:
            yield 0, slice(None)
            return
        for peak in np.unique(rows["peak"]):
            same = rows["peak"] == peak
            yield int(peak), slice(None) if same.all() else same

    def _bits(
        self, criterion: Criterion, at_once: int
    ) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Yield some rows, whole images, and their unpacked bits."""
        row = self.layout.criteria.index(criterion)
        ends = np.cumsum(self.numbers)
        for first in range(0, len(ends), at_once):
            last = min(first + at_once, len(ends)) - 1
            rows = slice(int(ends[first] - self.numbers[first]), int(ends[last]))
            hits = self.table["hits"][rows, row]
            yield rows, np.unpackbits(hits, axis=1, count=self.layout.columns.bits)

    def blocks(
        self, criterion: Criterion, places: NDArray[np.int64], at_once: int = _AT_ONCE
    ) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
        """Yield some rows, whole images, and which of their boxes are right.

        Args:
            criterion: when a box is right.
            places: which columns are asked for, int64 of shape (n,).
            at_once: how many images a block has.

        Yields:
            The rows, and 0 or 1 for each of the columns, uint8 of shape (rows, n).
        """
        for rows, bits in self._bits(criterion, at_once):
            hits = np.empty((len(bits), len(places)), np.uint8)
            for peak, same in self._by_peak(self.table[rows]):
                hits[same] = bits[same][:, self.layout.columns.of_row(peak)[places]]
            yield rows, hits

    def counts(self, criterion: Criterion, n: int = GT_KNOWN) -> NDArray[np.int64]:
        """Return how many are right in each column, int64 of shape (columns,).

        Args:
            criterion: when a box is right.
            n: `GT_KNOWN` counts rows; a number n counts images that have a right box of a class
                within the first n ranks (top-n localization).
        """
        columns = self.layout.columns
        result = np.zeros(len(columns), np.int64)
        if n != GT_KNOWN:
            for rows, hits in self.blocks(criterion, np.arange(len(columns))):
                firsts = np.flatnonzero(np.diff(self.image[rows], prepend=-1))
                within = hits * (self.table["rank"][rows] <= n)[:, None]
                if len(within):
                    result += _summed(np.maximum.reduceat(within, firsts))
            return result
        for rows, bits in self._bits(criterion, _AT_ONCE):
            for peak, same in self._by_peak(self.table[rows]):
                result += _summed(bits[same])[columns.of_row(peak)]
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


def _summed(hits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the sum of the rows, each 0 or 1."""
    result = np.zeros(hits.shape[1], np.int64)
    # In bytes, 255 rows at a time: several times as fast as in large numbers.
    for first in range(0, len(hits), 255):
        result += hits[first : first + 255].sum(0, dtype=np.uint8)
    return result


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
