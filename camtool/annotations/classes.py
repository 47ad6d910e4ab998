"""The 1,000 ImageNet classes under their three numberings."""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass
from importlib import resources

__all__ = ["IMAGENET", "ClassTable", "ImageNetClass"]


@dataclass(frozen=True, slots=True)
class ImageNetClass:
    """One class.

    Attributes:
        index: 0-based place in the sorted wnids, the order of every PyTorch model.
        wnid: WordNet id, `n` and eight digits.
        ilsvrc_id: 1-based id of the ILSVRC development kit; not in wnid order.
        name: the class for human readers.
    """

    index: int
    wnid: str
    ilsvrc_id: int
    name: str


class ClassTable:
    """The classes of ILSVRC 2012, read from the package at first use."""

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
