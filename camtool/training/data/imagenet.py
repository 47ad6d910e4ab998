"""ILSVRC 2012: wnid folders to train on, a flat folder to validate on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations import IMAGENET, NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.settings import FilePath
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    by_class_folder,
    finish_sets,
    listed_images,
)

if TYPE_CHECKING:
    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource

_ILSVRC_ID = re.compile(r"[0-9]{1,4}")


@final
class ImageNetData(DataSettings):
    """ILSVRC 2012 (or a part of its classes) as it is given out.

    The classes of the validation images come from `val_labels`, the development kit's
    `ILSVRC2012_validation_ground_truth.txt` (one ILSVRC id a line, images in name order), or from
    the XML of `boxes`.

    Example:
        >>> for name in ("train/n02119789/1.JPEG", "train/n02085620/1.JPEG"):
        ...     Path(name).parent.mkdir(parents=True, exist_ok=True)
        ...     Path(name).touch()
        >>> ImageNetData(train=Path("train"), val_fraction=0).load(seed=0).classes.titles
        ('Chihuahua', 'kit fox')
    """

    summary: ClassVar[str] = "ILSVRC 2012: WNID folders; flat val with its ground-truth list or XML"

    name: Literal["imagenet"] = "imagenet"

    train: FilePath
    """The folder with a folder a wnid."""

    val: FilePath | None = None
    """The folder with the validation images; without it, `val_fraction` of `train`."""

    val_labels: FilePath | None = None
    """`ILSVRC2012_validation_ground_truth.txt` of the development kit."""

    boxes: FilePath | None = None
    """XML of the validation images' boxes: a folder, .tar, .tgz or .zip."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        found = by_class_folder(self.train)
        classes = NetworkClasses.named(found)
        indices = classes.by_name
        train = [Example(s, (indices[n],)) for n, sources in found.items() for s in sources]
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        if self.val is None:
            train, val, held = self.set_apart(train, seed)
            return finish_sets(ExampleSets(classes, train, val, boxes, held=held), self.train)
        sources = [source for _, source in listed_images(self.val)]
        labels = self._val_labels(sources, boxes)
        examples = [
            Example(s, tuple(_index(n, indices, s) for n in labels[s.image_id]))
            for s in sources
            if s.image_id in labels
        ]
        notes = []
        if len(examples) < len(sources):
            notes.append(f"{self.val}: {len(sources) - len(examples):,} images have no class")
        held = f"the images of {self.val}"
        sets = ExampleSets(classes, train, examples, boxes, notes, held=held)
        return finish_sets(sets, self.train)

    def _val_labels(
        self, sources: list[ImageSource], boxes: AnnotationSet | None
    ) -> dict[str, tuple[str, ...]]:
        """The wnids of the validation images by their ids."""
        if self.val_labels is not None:
            return _ground_truth(self.val_labels, sources)
        if boxes is None:
            raise DataError(
                f"{self.val}: nothing says the classes of these images: give data.val_labels"
                " (ILSVRC2012_validation_ground_truth.txt) or data.boxes (XML)"
            )
        stems = {s.image_id: boxes.annotations.get(s.image_id.rpartition("/")[2]) for s in sources}
        return {i: tuple(map(str, a.labels)) for i, a in stems.items() if a and a.labels}


def _ground_truth(path: Path, sources: list[ImageSource]) -> dict[str, tuple[str, ...]]:
    try:
        ids = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(ids) != len(sources):
        raise DataError(
            f"{path}: {len(ids):,} lines for {len(sources):,} images; the list is in the order of"
            " the names of all images"
        )
    labels: dict[str, tuple[str, ...]] = {}
    ordered = sorted(s.image_id for s in sources)
    for line, (image_id, text) in enumerate(zip(ordered, ids, strict=True), start=1):
        known = IMAGENET.by_ilsvrc_id(int(text)) if _ILSVRC_ID.fullmatch(text) else None
        if known is None:
            raise DataError(f"{path}:{line}: '{shorten(text)}' is no ILSVRC id (1 to 1000)")
        labels[image_id] = (known.wnid,)
    return labels


def _index(name: str, indices: dict[str, int], source: ImageSource) -> int:
    if name not in indices:
        raise DataError(
            f"{shorten(source.path, 400)}: its class {shorten(name)} is not in the class map: no"
            " folder of train"
        )
    return indices[name]
