"""Writes a run: opened for an experiment, filled part by part, assembled at the end.

A shard appends parts: `parts/SHARD/START.jsonl` holds the records from START on, and the `.npz`
of the same name their maps. A part exists once its `.jsonl` does, which is renamed into place
last; what a kill leaves behind without one is written again. Whoever completes the last part of
the last shard assembles the run, in the order of the images; doing so twice gives the same bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from camtool.errors import RunError
from camtool.runs.maps import pack, unpack
from camtool.runs.predictions import to_json, to_line
from camtool.runs.writing import atomic_file, make_folder, run_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO, Self

    from camtool.structures import Prediction, ScoreMap


_MAP_FILE_IMAGES: Final = 512
# In the order in which they are removed: the last tells to the end that this was a run.
_OWN: Final = ("manifest.json", "predictions.jsonl", "maps", "overlays", "parts", "experiment.yaml")

_MARKS: Final = ("manifest.json", "parts/run.json", "experiment.yaml")


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `index` of `count`: every `count`-th image, from the `index`-th on (from 0).

    Shares of a run can be localized one by one, or on several machines.

    Example:
        >>> Shard(1, 4).share(images=10)
        3
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"not a shard: {self.index}/{self.count}")

    def share(self, images: int) -> int:
        """Return how many of `images` images are this shard's."""
        return len(range(self.index, images, self.count))

    @property
    def name(self) -> str:
        """Name of the shard's folder of parts."""
        return f"{self.index:05d}-of-{self.count:05d}"


@final
class RunFolder:
    """A run that is being written; a context manager, which holds the shard's lock.

    Example:
        >>> from camtool.structures import Prediction
        >>> run = RunFolder(Path("run"), Shard(), images=1, identity={"seed": 0})
        >>> with run.open("run: {seed: 0}"):
        ...     run.append([Prediction("cat", "cat.jpg", (500, 300))], [[]])
        ...     run.assemble({"classes": []})
        >>> run.is_finished(), sorted(path.name for path in run.path.iterdir())
        (True, ['experiment.yaml', 'manifest.json', 'maps', 'predictions.jsonl'])
    """

    def __init__(
        self,
        path: Path,
        shard: Shard,
        images: int,
        identity: Mapping[str, Any],
    ) -> None:
        """Describe the run; nothing is touched before `open`.

        Args:
            path: the run folder.
            shard: which part of the images this process localizes.
            images: number of all images, over all shards.
            identity: what makes it this run and no other, as JSON data, e.g. the settings
                that shape the results and a hash of the inputs.
        """
        self.path = path
        self.shard = shard
        self.images = images
        self.identity = json.loads(json.dumps(dict(identity)))
        self._parts = path / "parts" / shard.name
        self._lock: IO[bytes] | None = None

    def is_finished(self) -> bool:
        """Tell whether the run is complete, its manifest written."""
        return (self.path / "manifest.json").is_file()

    def check(
        self, differences: Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]
    ) -> None:
        """Refuse a folder that holds something else.

        Raises:
            RunError: it holds another experiment, other inputs, or is no run folder.
        """
        held = self._held_identity()
        if held is None:
            return
        if (shards := held.pop("shards", self.shard.count)) != self.shard.count:
            raise RunError(
                f"{self.path} was started with {shards} shards, not {self.shard.count}:"
                " go on with as many, choose another --out or --overwrite"
            )
        if changed := differences(held, self.identity):
            raise RunError(
                f"{self.path} holds another experiment ({', '.join(changed[:5])} differs):"
                " choose another --out or --overwrite"
            )

    def _held_identity(self) -> dict[str, Any] | None:
        for name in ("manifest.json", "parts/run.json"):
            file = self.path / name
            if file.is_file():
                try:
                    return dict(json.loads(file.read_bytes())["identity"])
                except (OSError, ValueError, KeyError, TypeError) as error:
                    raise RunError(
                        f"{file}: damaged ({error}): choose another --out or --overwrite"
                    ) from error
        self._refuse_foreign()
        return None

    def _refuse_foreign(self) -> None:
        with run_errors(self.path):
            if self.path.exists() and not _is_blank(self.path):
                raise RunError(
                    f"{self.path}: not empty, and not a run folder: choose another --out"
                )

    def clear(self) -> None:
        """Remove what a run has written there, and nothing else.

        Raises:
            RunError: the folder holds files, but no run; or they cannot be removed.
        """
        if not any((self.path / name).is_file() for name in _MARKS):
            self._refuse_foreign()
        with run_errors(self.path):
            for name in _OWN:
                target = self.path / name
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)

    def open(self, experiment: str) -> Self:
        """Create the folder, write `experiment.yaml`, and lock this shard.

        Raises:
            RunError: it cannot be written, or another process is writing this shard.
        """
        make_folder(self._parts)
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            self._take_lock()
            self._write_head(experiment)
            undo.pop_all()
        return self

    def _take_lock(self) -> None:
        with run_errors(self._parts):
            self._lock = (self._parts / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(f"{self.path}: another process is writing this run") from error
        except OSError:
            # A file system without locks, as some clusters have: nothing to hold on to.
            self.close()

    def _write_head(self, experiment: str) -> None:
        # Before all else: what identifies the run must be there once anything else is.
        write_atomically(
            self.path / "parts" / "run.json",
            json.dumps({"identity": {**self.identity, "shards": self.shard.count}}),
        )
        write_atomically(self.path / "experiment.yaml", experiment)

    def close(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Self:
        """Enter the block in which the run is written."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock."""
        self.close()

    def done(self) -> int:
        """Return how many of the shard's images are in finished parts."""
        return length_of(self._parts)

    def append(self, predictions: Sequence[Prediction], maps: Sequence[Sequence[ScoreMap]]) -> None:
        """Add a part: predictions in order, and for each the maps of its classes.

        Raises:
            RunError: it cannot be written.
        """
        start = self._parts / f"{self.done():08d}"
        write_atomically(start.with_suffix(".npz"), pack([m for each in maps for m in each]))
        records = b"".join(to_line(to_json(p)) for p in predictions)
        write_atomically(start.with_suffix(".jsonl"), records)

    def is_complete(self) -> bool:
        """Tell whether every shard has all its parts."""
        count = self.shard.count
        return all(
            length_of(self.path / "parts" / s.name) == s.share(self.images)
            for s in (Shard(i, count) for i in range(count))
        )

    def assemble(self, manifest: Mapping[str, Any]) -> None:
        """Join the parts of all shards into `predictions.jsonl` and `maps/`; manifest last.

        Of shards that end at the same time, one assembles and the others wait for it.

        Raises:
            RunError: it cannot be written, or a part cannot be read.
        """
        with run_errors(self.path), self._assembly_lock():
            if not self.is_finished():
                self._assemble(manifest)
        self.tidy()

    @contextlib.contextmanager
    def _assembly_lock(self) -> Iterator[None]:
        try:
            file = (self.path / "parts" / "assembly").open("wb")
        except FileNotFoundError:
            # Another shard has just assembled the run and removed its parts.
            if not self.is_finished():
                raise
            yield
            return
        with file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def tidy(self) -> None:
        """Remove from a finished run its parts and the temporary files that kills left behind."""
        with run_errors(self.path):
            for folder in (self.path, self.path / "maps", self.path / "overlays"):
                for file in folder.glob(".*.tmp"):
                    file.unlink(missing_ok=True)
        shutil.rmtree(self.path / "parts", ignore_errors=True)

    def _assemble(self, manifest: Mapping[str, Any]) -> None:
        make_folder(self.path / "maps")
        skipped: list[dict[str, Any]] = []
        pending: list[ScoreMap] = []
        with atomic_file(self.path / "predictions.jsonl") as file:
            number = 0
            for number, (record, maps) in enumerate(self._in_order(), 1):
                if "error" in record:
                    skipped.append({k: record[k] for k in ("image_id", "path", "error")})
                else:
                    self._place_maps(record, maps, number - 1, pending)
                file.write(to_line(record))
                if number % _MAP_FILE_IMAGES == 0:
                    self._write_maps(number - 1, pending)
            if number % _MAP_FILE_IMAGES:
                self._write_maps(number - 1, pending)
        counts = {
            "images": self.images,
            "localized": self.images - len(skipped),
            "skipped": len(skipped),
        }
        whole = {**manifest, "identity": self.identity, "counts": counts, "skipped": skipped}
        write_atomically(
            self.path / "manifest.json", json.dumps(whole, indent=1, ensure_ascii=True) + "\n"
        )

    def _in_order(self) -> Iterator[tuple[dict[str, Any], list[ScoreMap]]]:
        count = self.shard.count
        shards = [read_parts(self.path / "parts" / Shard(i, count).name) for i in range(count)]
        for number in range(self.images):
            found = next(shards[number % count], None)
            if found is None:
                raise RunError(
                    f"{self.path}/parts: damaged (records are missing): start again with"
                    " --overwrite"
                )
            yield found

    def _place_maps(
        self, record: dict[str, Any], maps: list[ScoreMap], number: int, pending: list[ScoreMap]
    ) -> None:
        if not maps:
            return
        record["maps"] = _map_name(number)
        for found, each in zip(record["classes"], maps, strict=True):
            found["map"] = len(pending)
            pending.append(each)

    def _write_maps(self, number: int, pending: list[ScoreMap]) -> None:
        write_atomically(self.path / _map_name(number), pack(pending))
        pending.clear()


def _is_blank(folder: Path) -> bool:
    """Whether a folder is empty, or holds only what a run killed right at its start leaves."""
    inside = [p for p in folder.iterdir() if p.name != "parts"]
    files = (p for p in (folder / "parts").rglob("*") if not p.is_dir())
    return not inside and all(p.name == "lock" or p.suffix == ".tmp" for p in files)


def _map_name(number: int) -> str:
    return f"maps/{number // _MAP_FILE_IMAGES:05d}.npz"


def _part_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.jsonl"))


def length_of(folder: Path) -> int:
    """Return the number of records in the parts of one shard."""
    files = _part_files(folder)
    if not files:
        return 0
    with files[-1].open("rb") as file:
        return int(files[-1].stem) + sum(1 for _ in file)


def read_parts(folder: Path) -> Iterator[tuple[dict[str, Any], list[ScoreMap]]]:
    """Yield the records of one shard in order, each with the maps of its classes.

    Raises:
        RunError: a part cannot be read.
    """
    for path in _part_files(folder):
        maps = iter(unpack(path.with_suffix(".npz")))
        try:
            with path.open("rb") as file:
                for line in file:
                    record = json.loads(line)
                    yield record, [next(maps) for _ in record.get("classes", ())]
        except (OSError, ValueError, AttributeError, StopIteration) as error:
            raise RunError(f"{path}: damaged ({error}): start again with --overwrite") from error


def _pointer() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    place = hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]
    return Path(base).expanduser() / "camtool" / "last-run" / place


def remember(run: Path) -> None:
    """Make `run` the default of `eval` in this working folder.

    A home that cannot be written to is no reason to fail a finished run: the default is then
    `runs/localize`.
    """
    pointer = _pointer()
    with contextlib.suppress(OSError):
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_bytes(os.fsencode(run.resolve()))


def last_run() -> Path | None:
    """Return the run that was written last from this working folder, if it still is there.

    Example:
        >>> last_run() is None
        True
        >>> Path("runs/localize").mkdir(parents=True)
        >>> _ = Path("runs/localize/manifest.json").write_text("{}")
        >>> str(last_run())
        'runs/localize'
    """
    candidates = [Path("runs/localize")]
    with contextlib.suppress(OSError):
        candidates.insert(0, Path(os.fsdecode(_pointer().read_bytes())))
    return next((c for c in candidates if (c / "manifest.json").is_file()), None)
