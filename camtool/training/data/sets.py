"""What every data set becomes: examples to train on, examples to validate on, and their classes."""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from camtool.errors import DataError, shorten
from camtool.images import find_images
from camtool.settings import Settings
from camtool.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource


Placed = list[tuple[tuple[str, ...], "ImageSource"]]
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One image to learn from, or to validate on.

    Example:
        >>> from camtool.images.sources import FileSource
        >>> Example(FileSource("cat", "photos/cat.jpg"), labels=(0,)).source.path
        'photos/cat.jpg'

    Attributes:
        source: the encoded image.
        labels: its true classes, as indices into the class map; at least one.
    """

    source: ImageSource
    labels: tuple[int, ...]


@dataclass(slots=True)
class ExampleSets:
    """A data set, ready for training.

    Example:
        >>> from camtool.annotations import NetworkClasses
        >>> from camtool.images.sources import FileSource
        >>> cat, dog = (Example(FileSource(n, f"{n}.jpg"), (i,)) for i, n in enumerate("ab"))
        >>> len(ExampleSets(NetworkClasses.named(["cat", "dog"]), [cat, dog], val=[]).train)
        2

    Attributes:
        classes: the class map.
        train: the examples to train on, in an order that is the same every time.
        val: the examples to validate on; empty where there is none.
        boxes: annotations of `val` with boxes, joined by image id; None where there is none.
        notes: what a reader of the log should know: how the set was split, degenerate boxes.
        shards: sizes of the pieces of `train` that are read from front to back; empty where any
            image can be read at any time.
    """

    classes: NetworkClasses
    train: list[Example]
    val: list[Example]
    boxes: AnnotationSet | None = None
    notes: list[str] = field(default_factory=list)
    shards: tuple[int, ...] = ()


class DataSettings(Settings):
    """Base of the data sets: a member of the union is a setting and the reader itself.

    Example:
        >>> from camtool.settings import members
        >>> from camtool.training.data import Data
        >>> [data.model_fields["name"].default for data in members(Data, DataSettings)][:2]
        ['folder', 'tiny-imagenet']
    """

    summary: ClassVar[str]
    """What the data set looks like on the disk, in one line."""

    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of each class's training images that becomes the validation set, drawn by `run.seed`,
    where the data set has none of its own; 0: no validation."""

    cache_mb: Annotated[int, Field(ge=0)] = 0
    """Memory for decoded images, in megabytes: shared by all workers of a process, filled as images
    come, never exceeded. 0: every image is decoded each time."""

    @abstractmethod
    def load(self, seed: int) -> ExampleSets:
        """List all examples; no image is decoded.

        Args:
            seed: of the split into training and validation, where the data set has none.

        Raises:
            DataError: files are missing or say something impossible, a class has no image, a
                label is outside the class map.
        """


def finish_sets(sets: ExampleSets, place: object) -> ExampleSets:
    """Check a data set: images to train on, and some of every class.

    Raises:
        DataError: the training set is empty, or a class has no image in it.
    """
    if not sets.train:
        raise DataError(f"{place}: no image to train on")
    present = {label for example in sets.train for label in example.labels}
    lacking = [name for i, name in enumerate(sets.classes.names) if i not in present]
    if lacking:
        raise empty_classes(place, lacking)
    if len(sets.classes) < 2:
        raise DataError(f"{place}: one class only ('{sets.classes.names[0]}'); training needs two")
    return sets


def empty_classes(place: object, names: Sequence[str]) -> DataError:
    """Return the error for classes without a training image."""
    more = f" and {len(names) - _MOST_NAMED:,} more" if len(names) > _MOST_NAMED else ""
    listed = ", ".join(f"'{shorten(n, 40)}'" for n in names[:_MOST_NAMED])
    kind = "class without an image" if len(names) == 1 else f"{len(names):,} classes without image"
    return DataError(f"{place}: {kind} to train on: {listed}{more}; add images or remove the class")


def split_by_class(
    examples: Iterable[Example], fraction: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Split examples into training and validation, the same share of every class.

    A class keeps at least one image to train on. An image of several classes goes by its first,
    unless it is the only one of another.
    The outcome depends on the seed and the examples alone.

    Returns:
        Training and validation examples, each in the order given.
    """
    every = list(examples)
    by_class: dict[int, list[int]] = {}
    for place, example in enumerate(every):
        by_class.setdefault(example.labels[0], []).append(place)
    chosen: set[int] = set()
    for label, places in sorted(by_class.items()):
        count = min(round(fraction * len(places)), len(places) - 1)
        chosen.update(random.Random(derive_seed(seed, "split", label)).sample(places, count))
    present = {label for i, e in enumerate(every) if i not in chosen for label in e.labels}
    for place in sorted(chosen):
        if not present.issuperset(every[place].labels):
            present.update(every[place].labels)
            chosen.discard(place)
    train = [e for place, e in enumerate(every) if place not in chosen]
    return train, [e for place, e in enumerate(every) if place in chosen]


def listed_images(root: Path) -> Placed:
    """Return the images under a folder or in a tar file, each with its path there in parts.

    Raises:
        DataError: it is not there, cannot be read, or holds no image.
    """
    if not root.exists():
        raise DataError(f"{root}: no such file or folder; check the section data")
    return [(PurePosixPath(s.image_id).parts, s) for s in find_images([str(root)]).sources]


def by_class_folder(root: Path) -> dict[str, list[ImageSource]]:
    """Return the images of each class folder of `root`, classes and images in name order.

    Raises:
        DataError: as `listed_images`; images outside any class folder; a folder without image.
    """
    found: dict[str, list[ImageSource]] = {}
    for parts, source in listed_images(root):
        if len(parts) < 2:
            raise DataError(
                f"{source.path}: not in a class folder; the folders in {root} are the classes"
            )
        found.setdefault(parts[0], []).append(source)
    if root.is_dir():
        folders = (p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if lacking := sorted(set(folders) - set(found)):
            raise empty_classes(root, lacking)
    return dict(sorted(found.items()))
