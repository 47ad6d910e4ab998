"""The 1,000 ImageNet classes under their three numberings, and the classes of a network."""

from __future__ import annotations

import csv
import difflib
import functools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class ImageNetClass:
    """One class.

    Attributes:
        index: 0-based place in the sorted wnids, the order of every PyTorch model.
        wnid: WordNet id, `n` and eight digits.
        ilsvrc_id: 1-based id of the ILSVRC development kit; not in wnid order.
        name: the class for human readers.

    Example:
        >>> ImageNetClass(0, "n01440764", 449, "tench") == IMAGENET.by_index(0)
        True
    """

    index: int
    wnid: str
    ilsvrc_id: int
    name: str


class ClassTable:
    """The classes of ILSVRC 2012, read from the package at first use.

    Example:
        >>> IMAGENET.by_wnid("n02123045").index, IMAGENET.by_ilsvrc_id(449).name
        (281, 'tench')
    """

    @functools.cached_property
    def classes(self) -> tuple[ImageNetClass, ...]:
        """All classes by index."""
        file = resources.files("camtool.annotations") / "imagenet_classes.csv"
        rows = csv.DictReader(file.read_text("utf-8").splitlines())
        return tuple(
            ImageNetClass(int(r["index"]), r["wnid"], int(r["ilsvrc_id"]), r["name"]) for r in rows
        )

    @functools.cached_property
    def _by_wnid(self) -> dict[str, ImageNetClass]:
        return {c.wnid: c for c in self.classes}

    @functools.cached_property
    def _by_ilsvrc_id(self) -> dict[int, ImageNetClass]:
        return {c.ilsvrc_id: c for c in self.classes}

    def by_wnid(self, wnid: str) -> ImageNetClass | None:
        """Return the class of a wnid; None where it is not one of the 1,000."""
        return self._by_wnid.get(wnid)

    def by_ilsvrc_id(self, ilsvrc_id: int) -> ImageNetClass | None:
        """Return the class of a development-kit id, 1 to 1,000."""
        return self._by_ilsvrc_id.get(ilsvrc_id)

    def by_index(self, index: int) -> ImageNetClass | None:
        """Return the class of a 0-based index."""
        return self.classes[index] if 0 <= index < len(self.classes) else None


IMAGENET = ClassTable()


@final
@dataclass(frozen=True)
class NetworkClasses:
    """The classes of a network in the order of its outputs.

    Example:
        >>> classes = NetworkClasses(("n02085620", "n02119789"), ("Chihuahua", "kit fox"))
        >>> classes.index("kit fox"), classes.index(0), classes.index("wolf")
        (1, 0, None)
        >>> classes.title("n02085620")
        'Chihuahua'
        >>> len(NetworkClasses.of_imagenet())
        1000

    Attributes:
        names: as annotations write them (wnids, folder names), each once.
        titles: for human readers; None where there is none. Two classes may share one.
    """

    names: tuple[str, ...]
    titles: tuple[str | None, ...]

    @classmethod
    def named(cls, names: Iterable[str]) -> NetworkClasses:
        """Classes of these names, with titles where the names are ImageNet's wnids."""
        kept = tuple(names)
        known = (IMAGENET.by_wnid(name) for name in kept)
        return cls(kept, tuple(None if one is None else one.name for one in known))

    @classmethod
    def of_imagenet(cls) -> NetworkClasses:
        """The 1,000 classes of ILSVRC 2012 in the order of their wnids, as PyTorch models use."""
        classes = IMAGENET.classes
        return cls(tuple(c.wnid for c in classes), tuple(c.name for c in classes))

    @classmethod
    def numbered(cls, count: int) -> NetworkClasses:
        """Classes that are known by their index only."""
        return cls(tuple(str(i) for i in range(count)), (None,) * count)

    @classmethod
    def from_json(cls, rows: Iterable[Mapping[str, Any]]) -> NetworkClasses:
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: the rows are not of this form.
        """
        every = list(rows)
        names, titles = (tuple(row[key] for row in every) for key in ("name", "title"))
        if not all(isinstance(n, str) for n in names):
            raise TypeError("a name is no text")
        if not all(isinstance(t, str | None) for t in titles):
            raise TypeError("a title is no text")
        indices = [row["index"] for row in every]
        if indices != list(range(len(names))) or len(set(names)) < len(names):
            raise ValueError("indices must count from 0 and names be different")
        return cls(names, titles)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the classes as the manifest of a run and a checkpoint hold them."""
        return [
            {"index": i, "name": n, "title": t}
            for i, (n, t) in enumerate(zip(self.names, self.titles, strict=True))
        ]

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @cached_property
    def by_name(self) -> dict[str, int]:
        """The index of each name."""
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def _by_text(self) -> dict[str, int]:
        # A title that two classes share ("crane", the bird and the machine) finds neither: nobody
        # can say which one is true.
        counts = Counter(t for t in self.titles if t)
        unique = {t: i for i, t in enumerate(self.titles) if t and counts[t] == 1}
        return unique | self.by_name

    @cached_property
    def labels(self) -> frozenset[str | int]:
        """All ways to write a class: indices, names, and the titles that only one class has."""
        numbers = self._by_number if self.named_by_numbers else range(len(self))
        return frozenset(self._by_text) | frozenset(numbers)

    @cached_property
    def named_by_numbers(self) -> bool:
        """Whether any class is named by a number, as folders often are."""
        return any(name.isascii() and name.isdecimal() for name in self.names)

    def index(self, label: str | int) -> int | None:
        """Return the index of a label; None if it is unknown.

        A label is a name or a title that only one class has. A number is a name where classes are
        named by numbers, and otherwise an index.
        """
        if isinstance(label, int):
            if self.named_by_numbers:
                return self._by_number.get(label)
            return label if 0 <= label < len(self) else None
        return self._by_text.get(label)

    @cached_property
    def _by_number(self) -> dict[int, int]:
        # A number in a table has lost the zeros that a folder's name may begin with.
        numbers = {
            int(n): i for i, n in enumerate(self.names)
            if n.isascii() and n.isdecimal() and len(n) < 10
        }  # fmt: skip
        return numbers | {int(n): i for n, i in self.by_name.items() if str(_whole(n)) == n}

    def title(self, label: str | int) -> str | None:
        """Return the title of a label's class; None where it has none, or is unknown."""
        index = self.index(label)
        return None if index is None else self.titles[index]

    def hint(self, label: str) -> str:
        """Return `; did you mean …?` where a name is near, and nothing otherwise."""
        near = difflib.get_close_matches(label, self._by_text, 1, cutoff=0.8)
        return f"; did you mean '{near[0]}'?" if near else ""

    def in_imagenet(self) -> tuple[int | None, ...]:
        """Return for each class its index in `of_imagenet`, by wnid; None where it is not there."""
        known = (IMAGENET.by_wnid(name) for name in self.names)
        return tuple(None if one is None else one.index for one in known)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None
