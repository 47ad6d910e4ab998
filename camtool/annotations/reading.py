"""Reads annotations of any format; the format is recognised by content."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from camtool.annotations.bulk import bulk_creation
from camtool.annotations.coco import Coco
from camtool.annotations.csv_boxes import CsvBoxes
from camtool.annotations.csv_labels import CsvLabels
from camtool.annotations.cub import Cub
from camtool.annotations.kaggle import Kaggle
from camtool.annotations.reader import Reader, Sight
from camtool.annotations.tiny_imagenet import TinyImageNet
from camtool.annotations.voc_xml import VocXml
from camtool.annotations.wsol_lists import WsolLists
from camtool.errors import AnnotationError, shorten

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.annotations.collection import AnnotationSet

__all__ = ["AnnotationReader", "read_annotations", "read_labels"]

# In the order in which they are asked: the surest first. `CsvLabels` has no boxes, and is asked by
# `read_labels` alone.
AnnotationReader = Annotated[
    Cub | WsolLists | TinyImageNet | Kaggle | CsvBoxes | Coco | VocXml | CsvLabels,
    Field(discriminator="name"),
]


def readers() -> tuple[type[Reader], ...]:
    """Return the members of the union."""
    return typing.get_args(typing.get_args(AnnotationReader)[0])


def read_annotations(path: Path, reader: AnnotationReader | None = None) -> AnnotationSet:
    """Read the annotations of a file, folder or archive.

    Args:
        path: as the user wrote it.
        reader: the format with its settings; None recognises it by content.

    Raises:
        AnnotationError: not there, empty, of no known format, or nothing in it can be used.
    """
    sight = Sight.of(path)
    if reader is None:
        reader = _recognised(sight, tuple(r for r in readers() if r is not CsvLabels))
    with bulk_creation():
        return reader.read(path)


def read_labels(path: Path) -> AnnotationSet:
    """Read the classes of images, with or without boxes (objects may have `box=None`).

    Raises:
        AnnotationError: as `read_annotations`.
    """
    sight = Sight.of(path)
    with bulk_creation():
        return _recognised(sight, readers()).read(path)


def _recognised(sight: Sight, candidates: tuple[type[Reader], ...]) -> AnnotationReader:
    found = next((r for r in candidates if r.recognises(sight)), None)
    if found is not None:
        return typing.cast("AnnotationReader", found())
    if sight.folder:
        reason = (
            "no annotations known in this folder (XML files, or lists of CUB, WSOL, Tiny ImageNet)"
        )
    else:
        reason = f"an unknown format; it begins with {shorten(sight.first_line, 60)!r}"
        if CsvLabels.recognises(sight):
            reason += "; a list of classes without boxes goes with --labels"
    raise AnnotationError(str(sight.path), f"{reason}; `camtool formats` lists what can be read")
