"""Tar shards, read from front to back."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.annotations import NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.images.find import EXTENSIONS
from camtool.images.sources import TarSource
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    finish_sets,
    split_by_class,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@final
class ShardData(DataSettings):
    """Uncompressed tar shards of `CLASS/IMAGE`, or of WebDataset's `KEY.jpg` and `KEY.cls` pairs.

    Nothing is unpacked. Shards come in a random order, a few at a time, and images are shuffled
    within these few: reading stays nearly sequential, and the order of an epoch is still fixed by
    the seed, so that a run goes on in the middle of a shard.

    Example:
        >>> for name in ("cat/1.jpg", "dog/1.jpg"):
        ...     Path(name).parent.mkdir()
        ...     Path(name).touch()
        >>> with tarfile.open("train-0.tar", "w") as tar:
        ...     tar.add("cat")
        ...     tar.add("dog")
        >>> sets = ShardData(train=("train-*.tar",), val_fraction=0).load(seed=0)
        >>> sets.classes.names, sets.shards
        (('cat', 'dog'), (2,))
    """

    summary: ClassVar[str] = "tar shards of CLASS/IMAGE, or of KEY.jpg and KEY.cls; streamed"

    name: Literal["shards"] = "shards"

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Tar files to train on; patterns such as `train-*.tar` are expanded."""

    val: tuple[str, ...] = ()
    """Tar files to validate on; without them, `val_fraction` of `train`."""

    boxes: Path | None = None
    """Annotations with boxes of the validation images."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        files = _expanded(self.train)
        shards = [list(_members(path)) for path in files]
        classes = NetworkClasses.named(sorted({label for shard in shards for label, _ in shard}))
        indices = classes.by_name
        every = [[Example(s, (indices[n],)) for n, s in shard] for shard in shards]
        if self.val:
            val = [
                Example(s, (_index(n, indices, s),))
                for path in _expanded(self.val)
                for n, s in _members(path)
            ]
        else:
            _, val = split_by_class((e for s in every for e in s), self.val_fraction, seed)
            apart = {id(e) for e in val}
            every = [[e for e in shard if id(e) not in apart] for shard in every]
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        train = [e for shard in every for e in shard]
        sizes = tuple(len(shard) for shard in every if shard)
        return finish_sets(ExampleSets(classes, train, val, boxes, shards=sizes), files[0])


def _expanded(patterns: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        if not found or not all(p.is_file() for p in found):
            raise DataError(f"{shorten(pattern)}: no such tar file")
        files += found
    return files


def _members(path: Path) -> Iterator[tuple[str, TarSource]]:
    """Yield the class name and the source of each image of a shard, in its order."""
    labels: dict[str, str] = {}
    images: list[TarSource] = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                key, _, ending = member.name.rpartition(".")
                if member.isfile() and ending.lower() == "cls":
                    file = tar.extractfile(member)
                    labels[key] = file.read(200).decode("utf-8", "replace").strip() if file else ""
                elif member.isfile() and f".{ending.lower()}" in EXTENSIONS:
                    place = f"{path}:{member.name}"
                    images.append(
                        TarSource(key, place, (), str(path), member.offset_data, member.size)
                    )
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{path}: not a readable tar file ({error})") from error
    if not images:
        raise DataError(f"{path}: no images in this shard")
    for source in images:
        parts = PurePosixPath(source.image_id).parts
        label = labels.get(source.image_id) or (parts[-2] if len(parts) > 1 else "")
        if not label:
            raise DataError(f"{source.path}: no class: neither a folder nor a file .cls beside it")
        yield label, source


def _index(name: str, indices: dict[str, int], source: TarSource) -> int:
    if name not in indices:
        raise DataError(f"{source.path}: its class '{shorten(name)}' is not in the class map")
    return indices[name]
