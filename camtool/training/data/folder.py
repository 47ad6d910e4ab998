"""A folder of class folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations import NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.paths import is_folder
from camtool.settings import FilePath
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    by_class_folder,
    finish_sets,
    refuse_parts,
    split_by_class,
    split_folders,
)

if TYPE_CHECKING:
    from camtool.images import ImageSource


@final
class FolderData(DataSettings):
    """A folder (or tar file) whose folders are the classes, as torchvision's ImageFolder takes it.

    Images may lie deeper in a class folder. With `val` unset, folders in `root` that are all called
    as the parts of a data set are (train, val, valid, test, … in any case) are these parts: val
    validates, or test where there is no val. Otherwise the set is split by `val_fraction`.

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

    root: FilePath
    """The folder of class folders to train on."""

    val: FilePath | None = None
    """Class folders to validate on."""

    boxes: FilePath | None = None
    """Annotations with boxes of the validation images, in any format of `camtool formats`."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        notes: list[str] = []
        root, val_root = self._roots(notes)
        found = by_class_folder(root)
        if root == self.root:
            refuse_parts(root, found)
        classes = NetworkClasses.named(found)
        train = _examples(found, classes.by_name, root)
        if val_root is not None:
            val = _examples(by_class_folder(val_root), classes.by_name, val_root)
        else:
            train, val = split_by_class(train, self.val_fraction, seed)
            notes.append(f"{root}: {len(val):,} of {len(train) + len(val):,} images set apart")
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        return finish_sets(ExampleSets(classes, train, val, boxes, notes), root)

    def _roots(self, notes: list[str]) -> tuple[Path, Path | None]:
        """Return the folders of the training and the validation set; None for the latter: none."""
        if self.val is not None or not is_folder(self.root):
            return self.root, self.val
        parts = split_folders(self.root)
        if "train" not in parts:
            return self.root, None
        chosen = next((name for name in ("val", "test") if name in parts), None)
        val = parts.get(chosen) if chosen else None
        left = [path.name for name, path in parts.items() if name not in ("train", chosen)]
        notes.append(
            f"{self.root}: trained on {parts['train'].name}"
            + (f", validated on {val.name}" if val else "")
            + (f"; left out: {', '.join(left)}" if left else "")
        )
        return parts["train"], val


def _examples(
    found: dict[str, list[ImageSource]], indices: dict[str, int], root: Path
) -> list[Example]:
    if unknown := [name for name in found if name not in indices]:
        raise DataError(
            f"{root}: the class folder '{shorten(unknown[0])}' is not in the class map, which is"
            " that of the training set"
        )
    return [Example(s, (indices[name],)) for name, sources in found.items() for s in sources]
