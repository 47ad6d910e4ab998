"""A folder of class folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations import NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    by_class_folder,
    finish_sets,
    split_by_class,
)

if TYPE_CHECKING:
    from camtool.images import ImageSource


@final
class FolderData(DataSettings):
    """A folder (or tar file) whose folders are the classes, as torchvision's ImageFolder takes it.

    Images may lie deeper in a class folder. With `val` unset, the folders `train` and `val` in
    `root` are the two sets where both are there; otherwise the set is split by `val_fraction`.

    Example:
        >>> for name in ("set/cat/1.jpg", "set/cat/2.jpg", "set/dog/1.jpg"):
        ...     Path(name).parent.mkdir(parents=True, exist_ok=True)
        ...     Path(name).touch()
        >>> sets = FolderData(root=Path("set"), val_fraction=0).load(seed=0)
        >>> sets.classes.names, [example.labels for example in sets.train]
        (('cat', 'dog'), [(0,), (0,), (1,)])
    """

    summary: ClassVar[str] = "a folder of class folders: CLASS/IMAGE"

    name: Literal["folder"] = "folder"

    root: Path
    """The folder of class folders to train on."""

    val: Path | None = None
    """Class folders to validate on."""

    boxes: Path | None = None
    """Annotations with boxes of the validation images, in any format of `camtool formats`."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        root, val_root = self._roots()
        found = by_class_folder(root)
        classes = NetworkClasses.named(found)
        train = _examples(found, classes.by_name, root)
        notes: list[str] = []
        if val_root is not None:
            val = _examples(by_class_folder(val_root), classes.by_name, val_root)
        else:
            train, val = split_by_class(train, self.val_fraction, seed)
            notes.append(f"{root}: {len(val):,} of {len(train) + len(val):,} images set apart")
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        return finish_sets(ExampleSets(classes, train, val, boxes, notes), root)

    def _roots(self) -> tuple[Path, Path | None]:
        if self.val is None and (self.root / "train").is_dir() and (self.root / "val").is_dir():
            return self.root / "train", self.root / "val"
        return self.root, self.val


def _examples(
    found: dict[str, list[ImageSource]], indices: dict[str, int], root: Path
) -> list[Example]:
    if unknown := [name for name in found if name not in indices]:
        raise DataError(
            f"{root}: the class folder '{shorten(unknown[0])}' is not in the class map, which is"
            " that of the training set"
        )
    return [Example(s, (indices[name],)) for name, sources in found.items() for s in sources]
