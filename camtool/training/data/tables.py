"""A table of images and their classes: `path,label` or `path,label;label`."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, final

from camtool.annotations import NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.images.sources import FileSource
from camtool.settings import FilePath, Settings
from camtool.tables import SPLITS, Columns, columns_of, data_lines, table_rows
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    finish_sets,
)


class TableColumns(Settings):
    """Which columns of a table are what, by their names in its header."""

    path: str
    """The column of the image's path."""

    label: str
    """The column of its class or classes."""

    split: str | None = None
    """The column that says what an image is for: train, val or test. Null: none."""


@final
class CsvData(DataSettings):
    r"""Rows `path,label`, or `path,label;label` for images of several classes.

    Paths are relative to `root`. A header says by name which columns are path and class, in any
    order, and perhaps which images validate (`split`); without one, the rows are `path,label`. An
    image with several rows is one example of all their classes. Images of several classes need the
    multi-label loss (`train.loss: {name: logistic}`).

    Example:
        >>> _ = Path("train.csv").write_text("a.jpg,cat\nb.jpg,dog\nc.jpg,cat;dog\n")
        >>> sets = CsvData(train=Path("train.csv"), val_fraction=0).load(seed=0)
        >>> [example.labels for example in sets.train]
        [(0,), (1,), (0, 1)]
    """

    summary: ClassVar[str] = "a table: path,label or path,label;label"

    name: Literal["csv"] = "csv"

    train: FilePath
    """The table to train on."""

    val: FilePath | None = None
    """The table to validate on; without it, `val_fraction` of `train`."""

    root: FilePath | None = None
    """The folder that paths are relative to; that of the table by default."""

    classes: FilePath | None = None
    """The class map, a name a line, in the order of the outputs; by default the labels of `train`,
    sorted."""

    boxes: FilePath | None = None
    """Annotations with boxes of the validation images."""

    columns: TableColumns | None = None
    """Which columns are what, where the names of the header do not say so."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        notes: list[str] = []
        rows = self._rows(self.train, notes)
        parts = {row.split for row in rows} - {None, "train"}
        if parts and self.val is not None:
            raise DataError(
                f"{self.train}: a column says which images validate, and data.val names a table:"
                " leave one of the two out"
            )
        chosen = "val" if "val" in parts else None
        if chosen is None and "test" in parts and self.validate_on == "test":
            chosen = "test"
        learned = [row for row in rows if row.split in (None, "train")]
        classes = self._class_map(learned)
        train = _examples(learned, classes)
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        sets = ExampleSets(classes, train, [], boxes, notes, truth=self.boxes)
        if self.val is not None:
            sets.val = _examples(self._rows(self.val, notes), classes)
            sets.held = f"the images of {self.val}"
        elif chosen is not None:
            sets.val = _examples([row for row in rows if row.split == chosen], classes)
            sets.held = f"the images of {self.train} whose split is {chosen}"
            sets.on_test = chosen == "test"
        else:
            sets.train, sets.val, sets.held = self.set_apart(train, seed)
        if "test" in parts and not sets.on_test:
            sets.test = _examples([row for row in rows if row.split == "test"], classes)
        if parts:
            left = f", {len(sets.test):,} (test) left alone" if sets.test else ""
            notes.append(
                f"{self.train}: by its column of splits {len(sets.train):,} images to train on,"
                f" {len(sets.val):,} to validate on{left}"
            )
        return finish_sets(sets, self.train)

    def _class_map(self, rows: list[_Row]) -> NetworkClasses:
        if self.classes is None:
            return NetworkClasses.named(sorted({label for row in rows for label in row.labels}))
        names = [line.strip() for _, line in data_lines(self.classes)]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise DataError(f"{self.classes}: the class '{shorten(twice)}' is listed twice")
        return NetworkClasses.named(names)

    def _rows(self, path: Path, notes: list[str]) -> list[_Row]:
        rows: dict[str, _Row] = {}
        columns: Columns | None = None
        repeats = 0
        for line, cells in table_rows(path):
            place = f"{path}:{line}"
            if columns is None:
                columns = self._columns(cells, place)
                if columns.header:
                    continue
            row = _row(place, cells, columns, self.root or path.parent)
            key = os.path.normpath(row.source.path)
            if key in rows:
                repeats += 1
                row = _joined(rows[key], row)
            rows[key] = row
        if not rows:
            raise DataError(f"{path}: empty: it lists no image")
        if repeats:
            notes.append(f"{path}: {repeats:,} rows repeat an image, which is one example")
        return list(rows.values())

    def _columns(self, cells: list[str], place: str) -> Columns:
        if self.columns is None:
            remedy = ", or say data.columns: {path: …, label: …}"
            found = columns_of(cells, place, remedy)
            if not found.classes:
                raise DataError(
                    f"{place}: no column of classes: found {shorten(', '.join(cells), 200)}; call"
                    f" it label{remedy}"
                )
            return found
        places = {cell: i for i, cell in reversed(list(enumerate(cells)))}
        asked = (self.columns.path, self.columns.label, self.columns.split)
        for name in asked:
            if name is not None and name not in places:
                raise DataError(
                    f"{place}: data.columns: no column '{shorten(name)}' among"
                    f" {shorten(', '.join(cells), 200)}"
                )
        image, label, split = (None if name is None else places[name] for name in asked)
        return Columns(image or 0, (label or 0,), split, header=True)


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    source: FileSource
    labels: tuple[str, ...]
    split: str | None = None


def _row(place: str, cells: list[str], columns: Columns, root: Path) -> _Row:
    name = cells[columns.image] if len(cells) > columns.image else ""
    text = next((cells[i] for i in columns.classes if i < len(cells) and cells[i]), "")
    kept = tuple(dict.fromkeys(filter(None, (t.strip() for t in text.split(";")))))
    if not name or not kept:
        raise DataError(f"{place}: no {'class' if name else 'path'} in this row; path,label needed")
    split = None
    if columns.split is not None:
        given = cells[columns.split] if len(cells) > columns.split else ""
        split = SPLITS.get(given.lower())
        if split is None:
            raise DataError(
                f"{place}: '{shorten(given)}' in the column of splits is none of"
                f" {', '.join(SPLITS)}"
            )
    return _Row(place, FileSource(name, str(root / name)), kept, split)


def _joined(first: _Row, other: _Row) -> _Row:
    """Two rows of one image as one example of all their classes."""
    if first.split != other.split:
        raise DataError(
            f"{other.place}: {shorten(first.source.path)} is for {other.split} here, and for"
            f" {first.split} at {first.place}; keep one of the two"
        )
    return replace(first, labels=tuple(dict.fromkeys((*first.labels, *other.labels))))


def _examples(rows: list[_Row], classes: NetworkClasses) -> list[Example]:
    indices = classes.by_name
    examples = []
    for row in rows:
        if unknown := [label for label in row.labels if label not in indices]:
            raise DataError(
                f"{row.place}: the label '{shorten(unknown[0])}' is not in the class map"
                f" ({len(classes)} classes)"
            )
        examples.append(Example(row.source, tuple(indices[label] for label in row.labels)))
    return examples
