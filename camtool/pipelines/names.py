"""The classes of a network: index, name as annotations write it, title for readers."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Any, final

from camtool.annotations import IMAGENET

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ClassNames"]


@final
class ClassNames:
    """Names and titles by class index; names are unique, titles need not be."""

    def __init__(self, names: Sequence[str], titles: Sequence[str | None]) -> None:
        """Take the names and titles in the order of the network's classes."""
        self.names = tuple(names)
        self.titles = tuple(titles)
        # A title that two classes share ("crane", the bird and the machine) finds neither.
        counts = Counter(t for t in self.titles if t)
        self._index = {t: i for i, t in enumerate(self.titles) if t and counts[t] == 1}
        self._index |= {n: i for i, n in enumerate(self.names)}

    @classmethod
    def of_imagenet(cls) -> ClassNames:
        """The 1,000 classes of ILSVRC 2012 in the order of their wnids, as PyTorch models use."""
        classes = IMAGENET.classes
        return cls([c.wnid for c in classes], [c.name for c in classes])

    @classmethod
    def numbered(cls, count: int) -> ClassNames:
        """Classes that are known by their index only."""
        return cls([str(i) for i in range(count)], [None] * count)

    def in_imagenet(self) -> tuple[int | None, ...]:
        """Return for each class its index in `of_imagenet`, by wnid; None where it is not there."""
        known = (IMAGENET.by_wnid(name) for name in self.names)
        return tuple(None if one is None else one.index for one in known)

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    def index(self, label: str | int) -> int | None:
        """Return the index of a label: a name, a unique title, or an index; None if unknown."""
        if isinstance(label, int):
            return label if 0 <= label < len(self) else None
        return self._index.get(label)

    def hint(self, label: str) -> str:
        """Return `; did you mean …?` where a name is near, and nothing otherwise."""
        near = difflib.get_close_matches(label, self._index, 1, cutoff=0.8)
        return f"; did you mean '{near[0]}'?" if near else ""

    def to_json(self) -> list[dict[str, Any]]:
        """Return the classes as the manifest holds them."""
        return [
            {"index": i, "name": n, "title": t}
            for i, (n, t) in enumerate(zip(self.names, self.titles, strict=True))
        ]
