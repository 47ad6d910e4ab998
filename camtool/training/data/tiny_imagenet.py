"""Tiny ImageNet, as Stanford's CS231N gives it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.annotations import NO_CLASS, NetworkClasses, TinyImageNet, read_annotations
from camtool.errors import DataError, shorten
from camtool.paths import is_folder
from camtool.settings import FilePath
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    empty_classes,
    finish_sets,
    listed_images,
)

if TYPE_CHECKING:
    from camtool.annotations import AnnotationSet, NetworkClasses
    from camtool.images import ImageSource


@final
class TinyImageNetData(DataSettings):
    """Tiny ImageNet or a part of it: `train/WNID/images/*.JPEG`, `val/images/*.JPEG`, boxes.

    The classes are the folders of `train`, in the order of their wnids; titles are ImageNet's.
    The boxes of `val_annotations.txt` are corners, both in the box, in the 64×64 frame.

    Example:
        >>> from pathlib import Path
        >>> for wnid in ("n02119789", "n02085620"):
        ...     folder = Path("tiny/train", wnid, "images")
        ...     folder.mkdir(parents=True)
        ...     (folder / "1.JPEG").touch()
        >>> sets = TinyImageNetData(root="tiny").load(seed=0)
        >>> sets.classes.titles, len(sets.train), len(sets.val)
        (('Chihuahua', 'kit fox'), 2, 0)
    """

    summary: ClassVar[str] = "Tiny ImageNet, unpacked or as a tar: train/WNID/images, val/images"

    name: Literal["tiny-imagenet"] = "tiny-imagenet"

    root: FilePath
    """The folder that holds `train` and `val`, or a tar file of it."""

    def load(self, seed: int) -> ExampleSets:  # noqa: ARG002 (it comes with a split)
        """List all examples; see `DataSettings.load`."""
        train, val = self._listed()
        names = tuple(sorted(train))
        classes = NetworkClasses.named(names)
        indices = classes.by_name
        examples = [Example(s, (indices[n],)) for n in names for s in train[n]]
        if not val:
            return finish_sets(ExampleSets(classes, examples, []), self.root)
        boxes = read_annotations(self.root, TinyImageNet(split="val"))
        labelled = [e for e in (_val_example(s, boxes, indices) for s in val) if e is not None]
        notes = [f"{self.root}: {degenerate_boxes(boxes)}"]
        if len(labelled) < len(val):
            notes.append(f"{self.root}: {len(val) - len(labelled):,} images of val have no class")
        return finish_sets(ExampleSets(classes, examples, labelled, boxes, notes), self.root)

    def _listed(self) -> tuple[dict[str, list[ImageSource]], list[ImageSource]]:
        """The images of each class of `train`, and those of `val`."""
        train: dict[str, list[ImageSource]] = {}
        val: list[ImageSource] = []
        for parts, source in listed_images(self.root):
            split = next((i for i, p in enumerate(parts) if p in ("train", "val", "test")), None)
            if split is None or len(parts) < split + 3:
                continue
            if parts[split] == "train":
                train.setdefault(parts[split + 1], []).append(source)
            elif parts[split] == "val":
                val.append(source)
        if not train:
            raise DataError(f"{self.root}: no images in train/WNID/images; is it Tiny ImageNet?")
        if is_folder(self.root / "train"):
            folders = {p.name for p in (self.root / "train").iterdir() if p.is_dir()}
            if lacking := sorted(folders - set(train)):
                raise empty_classes(self.root, lacking)
        return train, val


def _val_example(
    source: ImageSource, boxes: AnnotationSet, indices: dict[str, int]
) -> Example | None:
    annotation = boxes.annotations.get(source.image_id.rpartition("/")[2])
    labels = annotation.labels if annotation else ()
    known = tuple(indices[n] for n in labels if isinstance(n, str) and n in indices)
    if unknown := [n for n in labels if n not in indices and n != NO_CLASS]:
        raise DataError(
            f"{boxes.source}: {shorten(source.image_id)} has the class {shorten(str(unknown[0]))},"
            " which is not in the class map: no folder of train"
        )
    return Example(source, known) if known else None


def degenerate_boxes(boxes: AnnotationSet) -> str:
    """Say how many boxes have a side of one pixel: corners that fall together, both in the box."""
    every = [o.box for a in boxes.annotations.values() for o in a.objects if o.box is not None]
    thin = sum(min(b.x1 - b.x0, b.y1 - b.y0) <= 1 for b in every)
    return (
        f"{thin:,} of {len(every):,} boxes are degenerate (corners fall together; both are in the"
        " box, so it is one pixel wide)"
    )
