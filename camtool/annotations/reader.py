"""What the readers of annotation formats have in common, and what they return.

An entry (a file, an archive's member, an image of a list) is either used whole or left out with
its reason: an image of whose true boxes only some could be read would be scored against too few.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import math
import sys
from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Self

from camtool.annotations.archives import archive_kind, archive_names, walk
from camtool.errors import AnnotationError, os_reason, shorten
from camtool.settings import Settings
from camtool.structures import AnnotatedObject, Annotation
from camtool.tables import cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from camtool.annotations.classes import NetworkClasses
    from camtool.structures import Box

NO_CLASS = ""
"""The label of an object whose source gives a box and no class."""

_WARNINGS_PER_KIND = 20
_MANY_CLASSES = 10
# Boxes of pictures that all keep to the left upper corner: then they are no pixels.
_FEWEST_FOR_PERCENT = 10
_SMALLEST_FOR_PERCENT = 150
_LONGEST_NAME = 4096
_LONGEST_DETAIL = 500


class EntryError(Exception):
    """Why one entry cannot be used; the reader that knows the place makes it a problem."""


@dataclass(slots=True)
class AnnotationSet:
    """The annotations of one source, and what was odd about it.

    Attributes:
        source: path as the user wrote it.
        format: name of the format, e.g. `voc-xml`.
        annotations: by image id, in the order of the source.
        problems: entries that could not be used; each names its place.
        warnings: what was done to entries that were used (boxes clipped, duplicates dropped);
            at most 20 texts of a kind, then their number.
        class_names: what the source calls the classes that it counts from 0, where it says it.

    Example:
        >>> from pathlib import Path
        >>> from camtool.annotations import read_annotations
        >>> found = read_annotations(Path("examples/val.xml"))
        >>> found.format, list(found.annotations)[:2], found.problems
        ('voc-xml', ['bucket', 'cat'], [])
    """

    source: str
    format: str
    annotations: dict[str, Annotation]
    problems: list[AnnotationError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    class_names: dict[int, str] = field(default_factory=dict)

    def named_for(self, known: NetworkClasses) -> AnnotationSet:
        """Return the annotations with classes as a network calls them, where they are numbers.

        A name that the source gives goes before a number, and so does a class of the network that
        is called by the number. As an index a number is taken only where no number lies beyond the
        network's classes, and the source has no other number of them; else it is unknown.
        """
        labels = {o.label for a in self.annotations.values() for o in a.objects}
        counted = {label for label in labels if isinstance(label, int)}
        if not counted:
            return self
        if any(name in known.by_name for name in self.class_names.values()):
            return self._renamed({n: self.class_names.get(n, str(n)) for n in counted})
        if known.named_by_numbers:
            return self
        others = len(self.class_names) not in (0, len(known))
        if max(counted) >= len(known) or others:
            self.warnings.append(
                f"{self.source}: its classes are numbers up to {max(counted):,}, and the network"
                f" has {len(known):,} classes: they are no indices of it"
            )
            return self._renamed({n: str(n) for n in counted})
        if _MANY_CLASSES <= len(counted) == max(counted) + 1 < len(known):
            self.warnings.append(
                f"{self.source}: its classes, the numbers 0 to {max(counted):,}, are taken for the"
                f" first of the network's {len(known):,}"
            )
        return self

    def _renamed(self, names: Mapping[int, str]) -> AnnotationSet:
        def named(found: Annotation) -> Annotation:
            objects = tuple(
                replace(o, label=names[o.label]) if isinstance(o.label, int) else o
                for o in found.objects
            )
            return replace(found, objects=objects)

        return replace(self, annotations={k: named(v) for k, v in self.annotations.items()})


class WarningLog:
    """Warnings by kind, bounded: the first 20 of a kind are kept, all are counted."""

    def __init__(self) -> None:
        """Start without warnings."""
        self._counts: Counter[str] = Counter()
        self._texts: dict[str, list[str]] = {}
        self._seen: set[tuple[str, str]] = set()

    def once(self, kind: str, place: str, detail: str) -> None:
        """Note `kind` at the first place where it happens with this `detail`."""
        if (kind, detail) not in self._seen:
            self._seen.add((kind, detail))
            self.add(kind, place, detail)

    def add(self, kind: str, place: str, detail: str = "") -> None:
        """Note that `kind` happened at `place`."""
        self._counts[kind] += 1
        texts = self._texts.setdefault(kind, [])
        if len(texts) < _WARNINGS_PER_KIND:
            more = f": {shorten(detail, _LONGEST_DETAIL)}" if detail else ""
            texts.append(f"{shorten(place, 400)}: {kind}{more}")

    def texts(self) -> list[str]:
        """Return the warnings, and for each long kind the number of those not shown."""
        lines: list[str] = []
        for kind, texts in self._texts.items():
            lines += texts
            more = self._counts[kind] - len(texts)
            if more:
                lines.append(f"{more:,} more: {kind} ({self._counts[kind]:,} in all)")
        return lines


class Collector:
    """Gathers the entries of one source; every reader ends with `finish`."""

    def __init__(self, source: str, format_name: str, *, by_file: bool = False) -> None:
        """Start empty.

        Args:
            source: the path as the user wrote it.
            format_name: of the format.
            by_file: images are named by the files that annotate them.
        """
        self._by_file = by_file
        self.source = source
        self.warnings = WarningLog()
        self.problems: list[AnnotationError] = []
        self._format = format_name
        self._annotations: dict[str, Annotation] = {}
        self._places: dict[str, str] = {}
        self._largest, self._smallest_side, self._measured = 0.0, math.inf, 0

    def measure(self, xyxy: Sequence[float], size: tuple[int, int] | None) -> None:
        """Note how large coordinates get, and in how large images: percent shows by that."""
        if size is not None:
            self._largest = max(self._largest, *xyxy)
            self._smallest_side = min(self._smallest_side, *size)
            self._measured += 1

    def _refuse_percent(self) -> None:
        few = self._measured < _FEWEST_FOR_PERCENT
        if few or not 80 < self._largest <= 100 or self._smallest_side < _SMALLEST_FOR_PERCENT:
            return
        raise AnnotationError(
            self.source,
            f"none of {self._measured:,} boxes reaches beyond 100, in images of at least"
            f" {self._smallest_side:g} pixels: are these percent? Say so by the format's units"
            f" (eval.format: {{name: {self._format}, units: percent}}, or pixels)",
        )

    def add(self, annotation: Annotation, place: str) -> None:
        """Take an annotation; of several with one image id the first is kept."""
        image_id = annotation.image_id
        if len(image_id) > _LONGEST_NAME:
            self.problem(place, f"an image name of {len(image_id):,} characters")
            return
        longest = max((len(str(o.label)) for o in annotation.objects), default=0)
        if longest > _LONGEST_NAME:
            self.problem(place, f"the name of a class of {longest:,} characters")
            return
        first = self._annotations.setdefault(image_id, annotation)
        if first is annotation:
            self._places[image_id] = place
            return
        name, seen = shorten(image_id), shorten(self._places[image_id], 400)
        if first == annotation:
            self.warnings.add("annotated twice alike, counted once", place, f"{name}, also {seen}")
        else:
            self.problem(place, f"another annotation of {name}, which {seen} annotates differently")

    def problem(self, place: str, reason: str) -> None:
        """Note an entry that is left out."""
        self.problems.append(AnnotationError(place, reason))

    def finish(self) -> AnnotationSet:
        """Return what was gathered.

        Raises:
            AnnotationError: no entry could be used.
        """
        if not self._annotations:
            raise self._nothing()
        self._refuse_percent()
        return AnnotationSet(
            self.source, self._format, self._in_one_folder(), self.problems, self.warnings.texts()
        )

    def _in_one_folder(self) -> dict[str, Annotation]:
        """Return the annotations, without the folder where all of them lie in one alone."""
        folders = {image_id.rpartition("/")[0] for image_id in self._annotations}
        if not self._by_file or len(folders) != 1 or folders == {""}:
            return self._annotations
        (folder,) = folders
        cut = len(folder) + 1
        return {
            image_id[cut:]: replace(found, image_id=image_id[cut:])
            for image_id, found in self._annotations.items()
        }

    def _nothing(self) -> AnnotationError:
        if not self.problems:
            return AnnotationError(self.source, "empty: it annotates no image")
        if len(self.problems) == 1:
            return self.problems[0]
        return AnnotationError(
            self.source,
            f"none of its {len(self.problems):,} entries can be used; first: {self.problems[0]}",
        )


class ImageTable:
    """Objects of formats that spread an image over several lines, joined by image id."""

    def __init__(self, collector: Collector) -> None:
        """Start empty; `collector` gets the images at the end."""
        self._collector = collector
        self._objects: dict[str, list[AnnotatedObject]] = {}
        self._places: dict[str, str] = {}
        self._failed: dict[str, tuple[str, str]] = {}
        self._ignored: dict[str, str] = {}

    def add(
        self, image_id: str, label: str | int, box: Box | None, place: str, mask: str | None = None
    ) -> None:
        """Add one object of an image."""
        objects = self._objects.get(image_id)
        if objects is None:
            objects = self._objects[image_id] = []
            self._places[image_id] = place
        if label == NO_CLASS:
            what = "box" if mask is None else "mask"
            self._collector.warnings.add(f"a {what} without a class", place)
        # One text for all objects of a class, which the lines of a file are not.
        label = sys.intern(label) if isinstance(label, str) else label
        objects.append(AnnotatedObject(label, box, mask=mask))

    def ignore(self, image_id: str, mask: str) -> None:
        """Name the mask of what does not count in an image."""
        self._ignored[image_id] = mask

    def __contains__(self, image_id: str) -> bool:
        """Tell whether an image has an object."""
        return image_id in self._objects

    def fail(self, image_id: str, place: str, reason: str) -> None:
        """Leave an image out, whatever its other lines say; the first reason counts."""
        self._failed.setdefault(image_id, (place, reason))

    def finish(
        self, sizes: dict[str, tuple[int, int]] | tuple[int, int] | None = None
    ) -> AnnotationSet:
        """Return the set; `sizes` (width, height) by image id, or one for all.

        Raises:
            AnnotationError: no image could be used.
        """
        for place, reason in self._failed.values():
            self._collector.problem(place, reason)
        for image_id, objects in self._objects.items():
            if image_id not in self._failed:
                size = sizes.get(image_id) if isinstance(sizes, dict) else sizes
                ignored = self._ignored.get(image_id)
                self._collector.add(
                    Annotation(image_id, size, tuple(objects), ignored), self._places[image_id]
                )
        return self._collector.finish()


_HEAD = 65536


@dataclass(frozen=True, slots=True)
class FileProbe:
    """What a first look at a path shows; enough to tell the formats apart.

    Attributes:
        path: the file or folder.
        folder: it is a folder.
        archive: `tar` or `zip`; None for other files.
        names: file names of a folder; of an archive in lower case, the first ones.
        text: the first 64 KB as text; empty for folders and archives.
    """

    path: Path
    folder: bool
    archive: str | None
    names: frozenset[str]
    text: str

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look at `path`.

        Raises:
            AnnotationError: it is not there, no regular file, empty, or cannot be opened.
        """
        try:
            if path.is_dir():
                return cls(path, True, None, frozenset(p.name for p in path.iterdir()), "")
            if not path.is_file():
                reason = "not a regular file" if path.exists() else "no such file or folder"
                raise AnnotationError(str(path), reason)
            with path.open("rb") as file:
                head = file.read(_HEAD)
        except (OSError, ValueError) as error:
            raise AnnotationError(str(path), os_reason(error)) from error
        if not head.strip():
            raise AnnotationError(str(path), "empty: nothing in it")
        kind = archive_kind(head)
        names = archive_names(path, kind) if kind else frozenset[str]()
        return cls(path, False, kind, names, "" if kind else _text(head))

    @property
    def first_line(self) -> str:
        """The first line that is not blank."""
        return next((line for line in self.text.splitlines() if line.strip()), "")

    @property
    def first_cells(self) -> list[str]:
        """The cells of this line, as a table's first row is divided."""
        return cells_of(self.first_line, whole=self.path.suffix.lower() == ".txt")

    def has_suffix(self, suffix: str) -> bool:
        """Tell whether the folder holds, at any depth, a file with this ending (lower case)."""
        if not self.folder:
            return False
        return any(p.name.lower().endswith(suffix) for p in walk(self.path))


def _text(head: bytes) -> str:
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return head.decode(encoding, "replace")
    return head.decode("utf-8", "replace")


class Reader(Settings):
    """Base of the annotation formats: a member of the union is a setting and the reader itself.

    Example:
        >>> from camtool.annotations import AnnotationReader
        >>> from camtool.settings import members
        >>> [r.model_fields["name"].default for r in members(AnnotationReader, Reader)][:3]
        ['cub', 'wsol-lists', 'tiny-imagenet']
    """

    summary: ClassVar[str]
    """What the format is, in one line."""

    layout: ClassVar[str]
    """An example line, or the files that make it up."""

    direction: ClassVar[str] = "reads annotations"

    @classmethod
    @abstractmethod
    def recognises(cls, probe: FileProbe) -> bool:
        """Tell whether a path holds this format, by its content."""

    @abstractmethod
    def read(self, path: Path) -> AnnotationSet:
        """Read all annotations.

        Raises:
            AnnotationError: the source cannot be opened, or nothing in it can be used.
        """


@contextlib.contextmanager
def bulk_creation() -> Iterator[None]:
    """Pause Python's cycle collector while records are built.

    Records hold no cycles, and yet every quarter million of them makes the collector walk over all
    before: half of the time that a large file takes. Reference counting goes on as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
