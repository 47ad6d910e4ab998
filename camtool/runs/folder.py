"""Writes a run: opened for an experiment, filled part by part, assembled at the end.

A shard appends parts; see `camtool.runs.parts`. Whoever completes the last part of the last shard
assembles the run, in the order of the images; doing so twice gives the same bytes.

Several processes may come to one folder at any moment. Who writes a run holds `parts/lock`, with
all others that write it; who clears it for another holds that lock alone. The first to come names
the run in `parts/run.json`, which is made once and never replaced; all others must be of that run.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from camtool.errors import RunError, shorten
from camtool.runs.locks import FileLock
from camtool.runs.maps import pack
from camtool.runs.parts import Parts, damaged, run_mark
from camtool.runs.predictions import is_unsure, to_line
from camtool.runs.writing import atomic_file, make_folder, run_errors, umask, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from camtool.structures import Prediction, ScoreMap

    Differences = Callable[[Mapping[str, Any], Mapping[str, Any]], list[str]]
    """Names what differs between the identity of a folder's run and that of another."""


_MAP_FILE_IMAGES: Final = 512
# In the order in which they are removed: the first two say which run this is and how far, the last
# tells to the end that it was one. `parts/lock` stays, which is held meanwhile.
_OWN: Final = (
    "manifest.json", "parts/run.json", "predictions.jsonl", "maps", "overlays", "crops",
    "heatmaps", "parts", "experiment.yaml",
)  # fmt: skip
_LOCK: Final = "lock"
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
    """A run that is being written; a context manager, which holds the run's and shard's locks.

    Example:
        >>> from camtool.structures import Prediction
        >>> run = RunFolder(Path("run"), Shard(), images=1, identity={"seed": 0})
        >>> with run.open("run: {seed: 0}", lambda held, own: []):
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
        self._named = {**self.identity, "shards": shard.count}
        self._mark = run_mark(self._named)
        self._parts = self._parts_of(shard)
        self._locks = contextlib.ExitStack()

    def _parts_of(self, shard: Shard) -> Parts:
        return Parts(self.path / "parts" / shard.name, self._mark)

    def is_finished(self) -> bool:
        """Tell whether the run is complete, its manifest written."""
        return (self.path / "manifest.json").is_file()

    def check(self, differences: Differences) -> None:
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
                except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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

    def open(self, experiment: str, differences: Differences, *, overwrite: bool = False) -> Self:
        """Lock the run and this shard, name the run, and write `experiment.yaml`.

        Args:
            experiment: the content of `experiment.yaml`.
            differences: as for `check`; whoever came first has named the run.
            overwrite: remove what another run has written there, and nothing else.

        Raises:
            RunError: another process is writing this run or clearing it; the folder holds another
                run, or files but no run; it cannot be written. Nothing has changed then.
        """
        if not any((self.path / name).is_file() for name in _MARKS):
            self._refuse_foreign()
        make_folder(self.path / "parts")
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            run_lock = self._taken(self.path / "parts" / _LOCK, shared=not overwrite)
            if overwrite:
                self._clear()
            else:
                self.check(differences)
            self._write_head(experiment, differences)
            if overwrite and not run_lock.take(shared=True):
                raise self._busy()
            make_folder(self._parts.folder)
            self._taken(self._parts.folder / _LOCK, shared=False)
            undo.pop_all()
        return self

    def _taken(self, path: Path, *, shared: bool) -> FileLock:
        lock = self._locks.enter_context(FileLock(path))
        if not lock.take(shared=shared):
            raise self._busy()
        return lock

    def _busy(self) -> RunError:
        return RunError(f"{self.path}: another process is writing this run")

    def _clear(self) -> None:
        with run_errors(self.path):
            for name in _OWN:
                _remove(self.path / name, keep=self.path / "parts" / _LOCK)

    def _write_head(self, experiment: str, differences: Differences) -> None:
        """Name the run where nobody has yet; otherwise it must be this one."""
        with run_errors(self.path):
            named = _write_once(self.path / "parts" / "run.json", {"identity": self._named})
        if not named:
            self.check(differences)
        if named or not (self.path / "experiment.yaml").exists():
            write_atomically(self.path / "experiment.yaml", experiment)

    def close(self) -> None:
        """Release the locks."""
        self._locks.close()

    def __enter__(self) -> Self:
        """Enter the block in which the run is written."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release the locks."""
        self.close()

    def done(self) -> int:
        """Return how many of the shard's images are in finished parts."""
        return self._parts.length()

    def append(self, predictions: Sequence[Prediction], maps: Sequence[Sequence[ScoreMap]]) -> None:
        """Add a part: predictions in order, and for each the maps of its classes.

        Raises:
            RunError: it cannot be written.
        """
        self._parts.append(predictions, maps)

    def is_complete(self) -> bool:
        """Tell whether every shard has all its parts."""
        shards = (Shard(i, self.shard.count) for i in range(self.shard.count))
        return all(self._parts_of(s).length() == s.share(self.images) for s in shards)

    def assemble(self, manifest: Mapping[str, Any], ids: Iterable[str] | None = None) -> None:
        """Join the parts of all shards into `predictions.jsonl` and `maps/`; manifest last.

        Of shards that end at the same time, one assembles and the others wait for it.

        Args:
            manifest: what it says beside the run's identity and its counts.
            ids: of all images of the run, in order; None takes the records as they come.

        Raises:
            RunError: it cannot be written, a part cannot be read, or the records are not those of
                the images.
        """
        with run_errors(self.path), self._assembly_lock():
            if not self.is_finished():
                self._assemble(manifest, ids)
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
        parts = self.path / "parts"
        if not parts.is_dir():
            self._sweep()
            return
        with FileLock(parts / _LOCK) as lock:
            # Not from under a process that has just begun to write another run here.
            if lock.take(shared=True) and self.is_finished():
                self._sweep()
                shutil.rmtree(parts, ignore_errors=True)

    def _sweep(self) -> None:
        with run_errors(self.path):
            of_pictures = (f"{kind}/**/.*.tmp" for kind in ("overlays", "crops", "heatmaps"))
            for place in (".*.tmp", "maps/.*.tmp", *of_pictures):
                for file in self.path.glob(place):
                    file.unlink(missing_ok=True)

    def _assemble(self, manifest: Mapping[str, Any], ids: Iterable[str] | None) -> None:
        make_folder(self.path / "maps")
        skipped: list[dict[str, Any]] = []
        classless = unsure = 0
        pending: list[ScoreMap] = []
        with atomic_file(self.path / "predictions.jsonl") as file:
            number = 0
            for number, (record, maps) in enumerate(self._in_order(ids), 1):
                if "error" in record:
                    skipped.append({k: record[k] for k in ("image_id", "path", "error")})
                else:
                    first = next(iter(record["classes"]), None)
                    classless += first is None
                    unsure += first is not None and is_unsure(first)
                    self._place_maps(record, maps, number - 1, pending)
                file.write(to_line(record))
                if number % _MAP_FILE_IMAGES == 0:
                    self._write_maps(number - 1, pending)
            if number % _MAP_FILE_IMAGES:
                self._write_maps(number - 1, pending)
        counts = {
            "images": self.images,
            "localized": self.images - len(skipped) - classless,
            "without_class": classless,
            "unsure": unsure,
            "skipped": len(skipped),
        }
        whole = {**manifest, "identity": self.identity, "counts": counts, "skipped": skipped}
        write_atomically(
            self.path / "manifest.json", json.dumps(whole, indent=1, ensure_ascii=True) + "\n"
        )

    def _in_order(
        self, ids: Iterable[str] | None
    ) -> Iterator[tuple[dict[str, Any], list[ScoreMap]]]:
        count, parts = self.shard.count, self.path / "parts"
        shards = [self._parts_of(Shard(i, count)).read() for i in range(count)]
        expected = iter(ids) if ids is not None else repeat(None)
        for number in range(self.images):
            found = next(shards[number % count], None)
            if found is None:
                raise damaged(parts, "records are missing")
            image = next(expected, None)
            if image is not None and found[0].get("image_id") != image:
                raise damaged(parts, f"record {number + 1:,} is not that of {shorten(image)}")
            yield found
        if any(next(shard, None) is not None for shard in shards):
            raise damaged(parts, "more records than images")

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


def _remove(target: Path, keep: Path) -> None:
    """Remove a file, or a folder with all in it but the file `keep`."""
    if not target.is_dir() or target.is_symlink():
        target.unlink(missing_ok=True)
    elif keep.parent != target:
        shutil.rmtree(target)
    else:
        for inside in target.iterdir():
            if inside != keep:
                _remove(inside, keep)


def _write_once(path: Path, content: Mapping[str, Any]) -> bool:
    """Write a file unless it is there; tell whether it was written. Of several, one writes it."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:
            # A file system without links: whoever makes the file first, writes it.
            try:
                with path.open("x") as file:
                    json.dump(content, file)
            except FileExistsError:
                return False
        return True
    finally:
        temporary.unlink(missing_ok=True)


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
