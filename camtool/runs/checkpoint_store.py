"""Checkpoint folders: whole or not there, checked when read, the one before kept.

RUN/checkpoints/
  last/        weights.safetensors, classes.json, training.pt, checkpoint.json
  previous/    what `last` was before: used when `last` is damaged
  best/        the same without training.pt, by the rule that checkpoint.json names

`checkpoint.json` tells size and SHA-256 of the other files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from camtool.errors import ModelError, RunError, shorten
from camtool.paths import is_file
from camtool.runs.writing import make_folder, run_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


DESCRIPTION: Final = "checkpoint.json"
WEIGHTS: Final = "weights.safetensors"
CLASSES: Final = "classes.json"
STATE: Final = "training.pt"
_TEMPORARY: Final = ".writing-"


_LARGEST: Final = 256 << 20


class _Part(BaseModel):
    """A part of a description: JSON of the very types that are declared, and whatever else."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class _File(_Part):
    bytes: int = Field(ge=0, lt=1 << 50)
    sha256: str


class _Best(_Part):
    rule: str = ""
    value: list[float] | None = None
    epoch: int = Field(default=0, ge=0, lt=1 << 40)


class _Row(_Part):
    epoch: int = Field(ge=0, lt=1 << 40)
    train: dict[str, float | None] = {}
    val: dict[str, float | None] | None = None


class _Held(BaseModel):
    """What the best epoch was chosen on."""

    images: str = ""
    count: int = 0
    official_test: bool = False


class _Description(_Part):
    """What `checkpoint.json` holds."""

    files: dict[str, _File]
    experiment: dict[str, Any] = {}
    input: dict[str, Any] = {}
    epoch: int = Field(default=0, ge=0, lt=1 << 40)
    step: int = Field(default=0, ge=0, lt=1 << 40)
    metrics: dict[str, float | None] | None = None
    is_best: bool = False
    training_images: int | None = None
    validated_on: _Held | None = None
    best: _Best = _Best()
    history: list[_Row] = []


def checkpoint_folder(path: str | Path) -> Path | None:
    """Return the checkpoint that a path stands for; None where it is none.

    The path is that of the folder, of a file in it, or of a run, whose best checkpoint it then is.
    """
    given = Path(path)
    for folder in (given, given / "checkpoints" / "best", given / "checkpoints" / "last"):
        if is_file(folder / DESCRIPTION):
            return folder
    beside = given.parent / DESCRIPTION
    return given.parent if is_file(given) and is_file(beside) else None


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """Return what `checkpoint.json` says, after checking every file that it names.

    Raises:
        ModelError: no checkpoint, or a damaged one; the message names the file.
    """
    path = folder / DESCRIPTION
    try:
        with path.open("rb") as file:
            description = json.loads(file.read(_LARGEST))
        found = _Description.model_validate(description)
    except FileNotFoundError as error:
        raise ModelError(
            f"{shorten(str(folder), 200)}: not a checkpoint of `camtool train`: no {DESCRIPTION}"
        ) from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its root"
        raise ModelError(
            f"{path}: damaged, or of another program ({shorten(place)}: {first['msg']})"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = shorten(str(error), 200)
        raise ModelError(f"{path}: damaged, or of another program ({reason})") from error
    files = {name: (each.bytes, each.sha256) for name, each in found.files.items()}
    for name, (size, digest) in files.items():
        _check(folder / Path(name).name, size, digest)
    # What is left out has the value that a run begins with.
    filled = found.model_dump(exclude={"files", "history"})
    return {"history": [], **filled, **description, "best": found.best.model_dump()}


def _check(path: Path, size: int, digest: str) -> None:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise ModelError(f"{path}: damaged: {found:,} bytes where {size:,} were written")
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ModelError(f"{path}: damaged: its content is not what was written")
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error


@final
class CheckpointStore:
    """The checkpoints of one run."""

    def __init__(self, run: Path) -> None:
        """Describe the place; nothing is touched."""
        self.path = run / "checkpoints"
        self.last = self.path / "last"
        self.previous = self.path / "previous"
        self.best = self.path / "best"

    def exists(self) -> bool:
        """Tell whether the run has any checkpoint."""
        return any((p / DESCRIPTION).is_file() for p in (self.last, self.previous, self.best))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing the same run.

        Raises:
            RunError: another one does, or the folder cannot be written.
        """
        make_folder(self.path)
        with contextlib.ExitStack() as stack:
            # Not around what is done under the lock, whose errors are its own.
            with run_errors(self.path):
                file = stack.enter_context((self.path / ".lock").open("wb"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise RunError(
                        f"{self.path.parent}: another process is writing this run"
                    ) from error
                self._tidy()
            yield

    def _tidy(self) -> None:
        """Remove what a kill left behind; a folder that was being replaced takes its name back."""
        for name in (self.best, self.previous):
            old = name.with_name(f".old-{name.name}")
            if old.exists() and not name.exists():
                old.replace(name)
            shutil.rmtree(old, ignore_errors=True)
        for left in self.path.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)

    def save(self, files: Mapping[str, bytes], description: Mapping[str, Any]) -> None:
        """Write a checkpoint as `last`; the one that was there becomes `previous`.

        Whenever this is cut short, `last` or `previous` is whole.

        Raises:
            RunError: it cannot be written; what was there stays.
        """
        with self._written(files, description) as folder:
            # A damaged `last` is not worth the whole `previous` that it would replace.
            if _is_whole(self.last):
                _replace(self.last, self.previous)
            elif self.last.exists():
                shutil.rmtree(self.last)
            folder.rename(self.last)

    def mark_best(self, source: Path) -> None:
        """Make a checkpoint also `best`, without its training state.

        Raises:
            ModelError: it is damaged.
            RunError: it cannot be written.
        """
        description = read_checkpoint(source)
        del description["files"][STATE]
        files = {name: source / name for name in description["files"]}
        with self._written(files, description) as folder:
            _replace(folder, self.best)

    @contextlib.contextmanager
    def _written(
        self, files: Mapping[str, bytes] | Mapping[str, Path], description: Mapping[str, Any]
    ) -> Iterator[Path]:
        """A folder with these files under a name of its own, gone at the end unless renamed."""
        with run_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self.path))
            try:
                folder.chmod(self.path.stat().st_mode & 0o777)  # as open as its run
                written = dict(description)
                written.setdefault("files", {})
                for name, content in files.items():
                    if isinstance(content, Path):
                        _link(content, folder / name)
                    else:
                        write_atomically(folder / name, content)
                        digest = hashlib.sha256(content).hexdigest()
                        written["files"][name] = {"bytes": len(content), "sha256": digest}
                write_atomically(folder / DESCRIPTION, json.dumps(written, indent=1))
                yield folder
                _sync(self.path)
            finally:
                shutil.rmtree(folder, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        read_checkpoint(folder)
    except ModelError:
        return False
    return True


def _replace(folder: Path, target: Path) -> None:
    """Give `folder` the name `target`, whose folder goes only when the new one is in place."""
    old = target.with_name(f".old-{target.name}")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    folder.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # not every file system has links
        write_atomically(target, source.read_bytes())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
