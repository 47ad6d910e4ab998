"""Reads annotations of any format; the format is recognised by content."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from camtool.annotations.coco import Coco
from camtool.annotations.csv_files import CsvBoxes, CsvLabels
from camtool.annotations.cub import Cub
from camtool.annotations.cvat import Cvat
from camtool.annotations.kaggle import Kaggle
from camtool.annotations.reader import FileProbe, Reader, bulk_creation
from camtool.annotations.tiny_imagenet import TinyImageNet
from camtool.annotations.voc_xml import VocXml
from camtool.annotations.wsol_lists import WsolLists
from camtool.errors import AnnotationError, shorten
from camtool.settings import members

if TYPE_CHECKING:
    from camtool.annotations.reader import AnnotationSet

# In the order in which they are asked: the surest first. `CsvLabels` has no boxes, and is asked by
# `read_labels` alone.
AnnotationReader = Annotated[
    Cub | WsolLists | TinyImageNet | Kaggle | CsvBoxes | Coco | Cvat | VocXml | CsvLabels,
    Field(discriminator="name"),
]
"""Every format of annotations, told apart by `name`."""


def read_annotations(path: str | Path, reader: Reader | None = None) -> AnnotationSet:
    """Read the annotations of a file, folder or archive.

    Example:
        >>> found = read_annotations("examples/val.xml")
        >>> found.format, len(found.annotations), found.annotations["cat"].size
        ('voc-xml', 7, (451, 300))

    Args:
        path: as the user wrote it.
        reader: the format with its settings; None recognises it by content.

    Raises:
        AnnotationError: not there, empty, of no known format, or nothing in it can be used.
    """
    probe = FileProbe.of(Path(path))
    if reader is None:
        reader = _recognised(
            probe, tuple(r for r in members(AnnotationReader, Reader) if r is not CsvLabels)
        )
    with bulk_creation():
        return reader.read(Path(path))


def read_labels(path: str | Path) -> AnnotationSet:
    """Read the classes of images, with or without boxes (objects may have `box=None`).

    Example:
        >>> found = read_labels("examples/labels.csv")
        >>> found.format, found.annotations["cat"].labels
        ('csv-labels', ('n02123045',))

    Raises:
        AnnotationError: as `read_annotations`.
    """
    probe = FileProbe.of(Path(path))
    with bulk_creation():
        return _recognised(probe, members(AnnotationReader, Reader)).read(Path(path))


def _recognised(probe: FileProbe, candidates: tuple[type[Reader], ...]) -> Reader:
    found = next((r for r in candidates if r.recognises(probe)), None)
    if found is not None:
        return found()
    if probe.folder:
        reason = (
            "no annotations known in this folder (XML files, or lists of CUB, WSOL, Tiny ImageNet)"
        )
    else:
        reason = f"an unknown format; it begins with {shorten(probe.first_line, 60)!r}"
        if CsvLabels.recognises(probe):
            reason += "; a list of classes without boxes goes with --labels"
    raise AnnotationError(str(probe.path), f"{reason}; `camtool formats` lists what can be read")
