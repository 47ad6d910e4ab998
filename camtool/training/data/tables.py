"""A table of images and their classes: `path,label` or `path,label;label`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

from camtool.annotations import NetworkClasses, read_annotations
from camtool.annotations.rows import csv_rows, data_lines
from camtool.errors import DataError, shorten
from camtool.images.sources import FileSource
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    finish_sets,
    split_by_class,
)

_PATH_HEADS = ("path", "file", "filename", "file_name", "filepath", "image", "image_path")
_LABEL_HEADS = ("label", "labels", "class", "classes", "category")


@final
class CsvData(DataSettings):
    r"""Rows `path,label`, or `path,label;label` for images of several classes.

    Paths are relative to `root`. A first row such as `path,label` is a header. Images of several
    classes need the multi-label loss (`train.loss: {name: logistic}`).

    Example:
        >>> _ = Path("train.csv").write_text("a.jpg,cat\nb.jpg,dog\nc.jpg,cat;dog\n")
        >>> sets = CsvData(train=Path("train.csv"), val_fraction=0).load(seed=0)
        >>> [example.labels for example in sets.train]
        [(0,), (1,), (0, 1)]
    """

    summary: ClassVar[str] = "a table: path,label or path,label;label"

    name: Literal["csv"] = "csv"

    train: Path
    """The table to train on."""

    val: Path | None = None
    """The table to validate on; without it, `val_fraction` of `train`."""

    root: Path | None = None
    """The folder that paths are relative to; that of the table by default."""

    classes: Path | None = None
    """The class map, a name a line, in the order of the outputs; by default the labels of `train`,
    sorted."""

    boxes: Path | None = None
    """Annotations with boxes of the validation images."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        rows = self._rows(self.train)
        classes = self._class_map(rows)
        train = _examples(rows, classes)
        if self.val is not None:
            val = _examples(self._rows(self.val), classes)
        else:
            train, val = split_by_class(train, self.val_fraction, seed)
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        return finish_sets(ExampleSets(classes, train, val, boxes), self.train)

    def _class_map(self, rows: list[_Row]) -> NetworkClasses:
        if self.classes is None:
            return NetworkClasses.named(sorted({label for row in rows for label in row.labels}))
        names = [line.strip() for _, line in data_lines(self.classes)]
        if len(set(names)) < len(names):
            twice = next(n for n in names if names.count(n) > 1)
            raise DataError(f"{self.classes}: the class '{shorten(twice)}' is listed twice")
        return NetworkClasses.named(names)

    def _rows(self, path: Path) -> list[_Row]:
        rows: list[_Row] = []
        for line, cells in csv_rows(path):
            if not rows and _is_header(f"{path}:{line}", cells):
                continue
            rows.append(_row(f"{path}:{line}", cells, self.root or path.parent))
        if not rows:
            raise DataError(f"{path}: empty: it lists no image")
        return rows


@dataclass(frozen=True, slots=True)
class _Row:
    place: str
    source: FileSource
    labels: tuple[str, ...]


def _is_header(place: str, cells: list[str]) -> bool:
    names = [cell.strip().lower() for cell in cells[:2]]
    if names and names[0] in _LABEL_HEADS and names[-1] in _PATH_HEADS:
        raise DataError(f"{place}: its columns are in the other order; path,label needed")
    return bool(names) and (names[0] in _PATH_HEADS or names[-1] in _LABEL_HEADS)


def _row(place: str, cells: list[str], root: Path) -> _Row:
    name = cells[0].strip() if cells else ""
    labels = [t.strip() for t in cells[1].split(";")] if len(cells) > 1 else []
    kept = tuple(dict.fromkeys(filter(None, labels)))
    if not name or not kept:
        raise DataError(f"{place}: no {'class' if name else 'path'} in this row; path,label needed")
    return _Row(place, FileSource(name, str(root / name)), kept)


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
