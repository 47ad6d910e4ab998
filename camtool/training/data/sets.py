"""What every data set becomes: examples to train on, examples to validate on, and their classes."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import os
import random
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from camtool.errors import DataError, shorten
from camtool.images import find_images
from camtool.images.find import is_left_out
from camtool.images.sources import FileSource
from camtool.paths import is_file, is_folder, is_there
from camtool.settings import FilePath, Settings
from camtool.tables import SPLITS, data_lines, image_stem
from camtool.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource


Placed = list[tuple[tuple[str, ...], "ImageSource"]]
_MOST_NAMED = 5
_MOST_COMPARED = 50_000


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
        held: what `val` is, in words.
        test: the examples of the data set's own test part, which training never looks at; empty
            where it has none, or where it is `val`.
        on_test: whether `val` is that test part, so that the best epoch is chosen on it.
        truth: annotations of `test` with boxes; None where there is none.
    """

    classes: NetworkClasses
    train: list[Example]
    val: list[Example]
    boxes: AnnotationSet | None = None
    notes: list[str] = field(default_factory=list)
    shards: tuple[int, ...] = ()
    held: str = "the validation images of the data set"
    test: list[Example] = field(default_factory=list)
    on_test: bool = False
    truth: Path | None = None


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

    val_list: FilePath | None = None
    """A list of training images that become the validation set instead: a path or id a line."""

    validate_on: Literal["apart", "test"] = "apart"
    """Where a data set has a test part and no validation part: training images that are set apart,
    or the test images. Then the best epoch is chosen on what is to be reported, and it is said."""

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

    def set_apart(
        self, examples: Iterable[Example], seed: int
    ) -> tuple[list[Example], list[Example], str]:
        """Split training examples by `val_list`, or by `val_fraction` of each class.

        Returns:
            Those to train on, those to validate on, and in words what the latter are.

        Raises:
            DataError: the list names an image that is not there, or several.
        """
        if self.val_list is None:
            train, val = split_by_class(examples, self.val_fraction, seed)
            share = f"{100 * self.val_fraction:g} % of the training images"
            return train, val, f"{share}, drawn class by class with seed {seed}"
        listed = list(examples)
        chosen = _listed(listed, self.val_list)
        train = [example for place, example in enumerate(listed) if place not in chosen]
        return train, [listed[place] for place in sorted(chosen)], f"the images of {self.val_list}"


def _listed(examples: Sequence[Example], path: Path) -> set[int]:
    """Return the places of the examples that a list names, by as much of a path as it gives."""
    ids = [example.source.image_id for example in examples]
    by_name: dict[str, list[int]] = {}
    for place, image_id in enumerate(ids):
        by_name.setdefault(image_id.rpartition("/")[2], []).append(place)
    chosen: set[int] = set()
    for line, text in data_lines(path):
        wanted = image_stem(text.strip().split(",")[0].split("\t")[0].strip())
        fits = [
            place
            for place in by_name.get(wanted.rpartition("/")[2], ())
            if f"/{ids[place]}".endswith(f"/{wanted}") or f"/{wanted}".endswith(f"/{ids[place]}")
        ]
        if len(fits) != 1:
            how = "not among the training images" if not fits else f"{len(fits)} training images"
            raise DataError(
                f"{path}:{line}: {shorten(wanted)}: {how}; write its path below the root"
            )
        chosen.add(fits[0])
    return chosen


def finish_sets(sets: ExampleSets, place: object) -> ExampleSets:
    """Check a data set: images to train on, and some of every class.

    Raises:
        DataError: the training set is empty, or a class has no image in it.
    """
    _part_from_validation(sets, place)
    if not sets.train:
        raise DataError(f"{place}: no image to train on")
    present = {label for example in sets.train for label in example.labels}
    lacking = [name for i, name in enumerate(sets.classes.names) if i not in present]
    if lacking:
        raise empty_classes(place, lacking)
    if len(sets.classes) < 2:
        raise DataError(
            f"{place}: one class only ('{shorten(sets.classes.names[0])}'); training needs two"
        )
    return sets


def _part_from_validation(sets: ExampleSets, place: object) -> None:
    """Take out of the training set what is held out too, by name or by content.

    Contents are compared where files are on this machine and few enough to look at their sizes.
    """
    held_out = [*sets.val, *sets.test]
    held = {os.path.normpath(example.source.path) for example in held_out}
    copies = _copies(sets.train, held_out)
    kept, shards = [], list(sets.shards)
    ends = list(itertools.accumulate(shards))
    for number, example in enumerate(sets.train):
        path = os.path.normpath(example.source.path)
        if path in held or path in copies:
            if ends:
                shards[bisect.bisect_right(ends, number)] -= 1
        else:
            kept.append(example)
    if (moved := len(sets.train) - len(kept)) > 0:
        sets.train[:] = kept
        sets.shards = tuple(size for size in shards if size)
        sets.notes.append(
            f"{place}: {moved:,} images to train on are in the validation"
            f" {'or test ' if sets.test else ''}set too, by name or content, and were left out of"
            " training"
        )


def _copies(train: Sequence[Example], val: Sequence[Example]) -> set[str]:
    """Return the paths of training files that hold the same bytes as a validation file."""
    if len(train) + len(val) > _MOST_COMPARED:
        return set()
    by_size: dict[int, list[str]] = {}
    for path in _files(val):
        by_size.setdefault(Path(path).stat().st_size, []).append(path)
    found, digests = set(), {}
    for path in _files(train) if by_size else ():
        others = by_size.get(Path(path).stat().st_size, [])
        for each in (path, *others) if others else ():
            if each not in digests:
                digests[each] = hashlib.sha256(Path(each).read_bytes()).digest()
        if any(digests[other] == digests[path] for other in others):
            found.add(path)
    return found


def _files(examples: Iterable[Example]) -> Iterator[str]:
    for example in examples:
        path = os.path.normpath(example.source.path)
        if isinstance(example.source, FileSource) and is_file(path):
            yield path


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
    if not is_there(root):
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
    if is_folder(root):
        if lacking := sorted({path.name for path in class_folders(root)} - set(found)):
            raise empty_classes(root, lacking)
    return dict(sorted(found.items()))


def class_folders(root: Path) -> list[Path]:
    """Return the folders in a folder, but those that are hidden, foreign or runs of camtool."""
    inside = (path for path in root.iterdir() if path.is_dir())
    return sorted(path for path in inside if not is_left_out(path))


def split_folders(root: Path) -> dict[str, Path]:
    """Return the folders of a data set's parts by what they are: `train`, `val`, `test`.

    Empty where not every folder in `root` is called like one.

    Raises:
        DataError: two folders are the same part.
    """
    parts: dict[str, Path] = {}
    for path in class_folders(root):
        part = SPLITS.get(path.name.lower())
        if part is None:
            return {}
        if part in parts:
            raise DataError(
                f"{root}: {parts[part].name} and {path.name} are both for {part}: name the folders"
                " by data.root and data.val"
            )
        parts[part] = path
    return parts


def refuse_parts(root: Path, found: Mapping[str, Sequence[ImageSource]]) -> None:
    """Refuse "classes" that all hold the same folders, which are then the classes.

    Raises:
        DataError: they do.
    """
    inside = [
        {PurePosixPath(s.image_id).parts[1] for s in sources if s.image_id.count("/") > 1}
        for sources in found.values()
    ]
    direct = any(s.image_id.count("/") < 2 for sources in found.values() for s in sources)
    if (
        len(inside) > 1
        and not direct
        and len(inside[0]) > 1
        and all(i == inside[0] for i in inside)
    ):
        names, classes = list(found), ", ".join(sorted(inside[0])[:_MOST_NAMED])
        raise DataError(
            f"{root}: every folder in it holds the same folders ({classes}), so these seem to be"
            f" the classes and {', '.join(names[:_MOST_NAMED])} parts of the data: name one by"
            " data.root and another by data.val"
        )
