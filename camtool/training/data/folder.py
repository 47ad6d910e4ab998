"""A folder of class folders."""

from __future__ import annotations

import contextlib
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
    split_folders,
)

if TYPE_CHECKING:
    from camtool.images import ImageSource


@final
class FolderData(DataSettings):
    """A folder (or tar file) whose folders are the classes, as torchvision's ImageFolder takes it.

    Images may lie deeper in a class folder. With `val` unset, folders in `root` that are all called
    as the parts of a data set are (train, val, valid, test, … in any case) are these parts: val
    validates, and test is left alone unless `validate_on` says otherwise. Without val, some
    training images are set apart (`val_fraction`, `val_list`).

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
    """Annotations with boxes, in any format of `camtool formats`: of the images set apart, of those
    of `val`, of the test part."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        notes: list[str] = []
        root, val_root, test_root = self._roots(notes)
        found = by_class_folder(root)
        if root == self.root:
            refuse_parts(root, found)
        classes = NetworkClasses.named(found)
        train = _examples(found, classes.by_name, root)
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        sets = ExampleSets(classes, train, [], boxes, notes, truth=self.boxes)
        if val_root is not None:
            sets.val = _examples(by_class_folder(val_root), classes.by_name, val_root)
            sets.held, sets.on_test = f"the images of {val_root}", val_root == test_root
        else:
            sets.train, sets.val, sets.held = self.set_apart(train, seed)
            notes.append(f"{root}: {len(sets.val):,} of {len(train):,} images set apart")
        if test_root is not None and not sets.on_test:
            # Of a competition the test images have no class: nothing here needs one.
            with contextlib.suppress(DataError):
                sets.test = _examples(by_class_folder(test_root), classes.by_name, test_root)
        return finish_sets(sets, root)

    def _roots(self, notes: list[str]) -> tuple[Path, Path | None, Path | None]:
        """Return the folders of the training, validation and test set; None where there is none."""
        if self.val is not None or not is_folder(self.root):
            return self.root, self.val, None
        parts = split_folders(self.root)
        if "train" not in parts:
            return self.root, None, None
        val, test = parts.get("val"), parts.get("test")
        if val is None and self.validate_on == "test":
            val = test
        left = f"; {test.name} is left alone" if test not in (None, val) else ""
        validated = f", validated on {val.name}" if val else ""
        notes.append(f"{self.root}: trained on {parts['train'].name}{validated}{left}")
        return parts["train"], val, test


def _examples(
    found: dict[str, list[ImageSource]], indices: dict[str, int], root: Path
) -> list[Example]:
    if unknown := [name for name in found if name not in indices]:
        raise DataError(
            f"{root}: the class folder '{shorten(unknown[0])}' is not in the class map, which is"
            " that of the training set"
        )
    return [Example(s, (indices[name],)) for name, sources in found.items() for s in sources]
