"""Images of class folders, whether on the disk or in a tar file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from camtool.errors import DataError
from camtool.images import find_images
from camtool.training.data.sets import empty_classes

if TYPE_CHECKING:
    from camtool.images import ImageSource

__all__ = ["by_class_folder", "listed_images"]

Placed = list[tuple[tuple[str, ...], "ImageSource"]]


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
