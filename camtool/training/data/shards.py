"""Tar shards, read from front to back."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.annotations import NetworkClasses, read_annotations
from camtool.errors import DataError, shorten
from camtool.images.sources import TarSource
from camtool.paths import is_file
from camtool.settings import FilePath
from camtool.tables import image_stem, is_image_name
from camtool.tar import DamagedTarError, TarMember, tar_members
from camtool.training.data.sets import (
    DataSettings,
    Example,
    ExampleSets,
    finish_sets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LARGEST_LABEL = 1 << 20
_LACKS = {
    "cls": "no file .cls beside it; data.classes_from: folder takes the folders within the tar",
    "json": "no file .json beside it",
    "folder": "it lies in no folder of the tar",
}


@final
class ShardData(DataSettings):
    """Uncompressed tar shards in WebDataset's layout: `KEY.jpg` and `KEY.cls` or `KEY.json`.

    The key ends at the first dot of the file's own name. Where `classes_from` says so, the classes
    are the folders within the tar.

    Nothing is unpacked. Shards come in a random order, a few at a time, and images are shuffled
    within these few: reading stays nearly sequential, and the order of an epoch is still fixed by
    the seed, so that a run goes on in the middle of a shard.

    Example:
        >>> for name in ("cat/1.jpg", "dog/1.jpg"):
        ...     Path(name).parent.mkdir()
        ...     Path(name).touch()
        >>> import tarfile
        >>> with tarfile.open("train-0.tar", "w") as tar:
        ...     tar.add("cat")
        ...     tar.add("dog")
        >>> data = ShardData(train=("train-*.tar",), classes_from="folder", val_fraction=0)
        >>> sets = data.load(seed=0)
        >>> sets.classes.names, sets.shards
        (('cat', 'dog'), (2,))
    """

    summary: ClassVar[str] = "tar shards of CLASS/IMAGE, or of KEY.jpg and KEY.cls; streamed"

    name: Literal["shards"] = "shards"

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    """Tar files to train on; patterns such as `train-*.tar` are expanded."""

    val: tuple[str, ...] = ()
    """Tar files to validate on; without them, `val_fraction` of `train`."""

    classes_from: Literal["cls", "json", "folder"] = "cls"
    """Where the class of an image is: in `KEY.cls`, in a field of `KEY.json`, or the folder that it
    lies in."""

    field: str = "label"
    """The field of `KEY.json` that holds the class, a name or a number."""

    boxes: FilePath | None = None
    """Annotations with boxes of the validation images."""

    def load(self, seed: int) -> ExampleSets:
        """List all examples; see `DataSettings.load`."""
        files = _expanded(self.train)
        shards = [list(self._members(path)) for path in files]
        classes = NetworkClasses.named(sorted({label for shard in shards for label, _ in shard}))
        indices = classes.by_name
        every = [[Example(s, (indices[n],)) for n, s in shard] for shard in shards]
        held = f"the images of {', '.join(self.val)}"
        if self.val:
            val = [
                Example(s, (_index(n, indices, s),))
                for path in _expanded(self.val)
                for n, s in self._members(path)
            ]
        else:
            _, val, held = self.set_apart((e for s in every for e in s), seed)
            apart = {id(e) for e in val}
            every = [[e for e in shard if id(e) not in apart] for shard in every]
        boxes = read_annotations(self.boxes) if self.boxes is not None else None
        train = [e for shard in every for e in shard]
        sizes = tuple(len(shard) for shard in every if shard)
        sets = ExampleSets(classes, train, val, boxes, shards=sizes, held=held)
        return finish_sets(sets, files[0])

    def _members(self, path: Path) -> Iterator[tuple[str, TarSource]]:
        """Yield the class name and the source of each image of a shard, in its order."""
        labels: dict[str, str] = {}
        images: list[tuple[str, TarSource]] = []
        for member in _files(path):
            folder, _, name = member.name.rpartition("/")
            first, _, ending = name.partition(".")
            key = f"{folder}/{first}" if folder else first
            if ending.lower() == self.classes_from:
                labels[key] = self._label(path, member)
            elif is_image_name(member.name) and not name.startswith("."):
                place = f"{path}:{member.name}"
                source = TarSource(
                    image_stem(member.name), place, (), str(path), member.start, member.size
                )
                images.append((key, source))
        if not images:
            raise DataError(f"{path}: no images in this shard")
        for key, source in images:
            parts = PurePosixPath(source.image_id).parts
            label = parts[-2] if self.classes_from == "folder" and len(parts) > 1 else None
            label = label or labels.get(key, "")
            if not label:
                raise DataError(
                    f"{shorten(source.path, 400)}: no class: {_LACKS[self.classes_from]}"
                )
            yield label, source

    def _label(self, path: Path, member: TarMember) -> str:
        """Return the class that a member holds."""
        with path.open("rb") as file:
            file.seek(member.start)
            data = file.read(min(member.size, _LARGEST_LABEL))
        if self.classes_from == "cls":
            return data[:200].decode("utf-8", "replace").strip()
        place = shorten(f"{path}:{member.name}", 400)
        try:
            value = json.loads(data).get(self.field)
        except (ValueError, AttributeError, RecursionError) as error:
            raise DataError(f"{place}: not a JSON object") from error
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DataError(
                f"{place}: no class in its field '{shorten(self.field)}'; name another by"
                " data.field"
            )
        return str(value).strip()


def _expanded(patterns: Sequence[str]) -> list[Path]:
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        found = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        if not found or not all(map(is_file, found)):
            raise DataError(f"{shorten(pattern)}: no such tar file")
        files += found
    return files


def _files(path: Path) -> Iterator[TarMember]:
    try:
        yield from (member for member in tar_members(path) if member.kind == "file")
    except DamagedTarError as error:
        raise DataError(f"{path}: not a readable tar file ({error})") from error


def _index(name: str, indices: dict[str, int], source: TarSource) -> int:
    if name not in indices:
        place = shorten(source.path, 400)
        raise DataError(f"{place}: its class '{shorten(name)}' is not in the class map")
    return indices[name]
