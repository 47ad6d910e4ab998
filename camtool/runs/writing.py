"""Outputs appear whole: a temporary file beside the target, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from camtool.errors import RunError, shorten
from camtool.paths import is_file, is_folder, is_there

if TYPE_CHECKING:
    from collections.abc import Iterator


_REMEDIES = {
    errno.ENOSPC: "no space left on the disk; free some and start again to go on",
    errno.EDQUOT: "the disk quota is used up; free some space and start again to go on",
    errno.EACCES: "no permission to write there; choose another --out",
    errno.EPERM: "no permission to write there; choose another --out",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.ENOTDIR: "a part of the path is a file; choose another --out",
    errno.EEXIST: "a file of that name is in the way; choose another --out",
}


@contextmanager
def run_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors on writing `path` into `RunError`s that say what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
        raise RunError(f"{shorten(str(path), 200)}: cannot be written: {remedy}") from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents.

    Raises:
        RunError: it cannot be created.
    """
    with run_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def working_folder(path: Path) -> Path:
    """Return a new hidden folder beside `path`, to be filled and then given that name.

    Raises:
        RunError: it cannot be made.
    """
    with run_errors(path):
        return Path(tempfile.mkdtemp(prefix=".", suffix=".tmp", dir=path.parent))


def put_folder(work: Path, path: Path) -> None:
    """Give a filled folder its name, in place of an older one, which is removed last.

    Raises:
        RunError: it cannot be renamed.
    """
    old = None
    with run_errors(path):
        # mkdtemp makes private folders; this one is to be opened by others.
        work.chmod(0o777 & ~umask())
        if is_there(path):
            old = tempfile.mkdtemp(prefix=".", suffix=".old", dir=path.parent)
            path.replace(old)
        work.replace(path)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def check_writable(path: Path) -> None:
    """Refuse what a file cannot be written to, before the work that it would be the end of.

    Example:
        >>> check_writable(Path("table.csv"))

    Raises:
        RunError: a folder or device has its name, or there is no folder to write it into.
    """
    if is_folder(path):
        raise RunError(f"{path}: cannot be written: it is a folder; --out takes a file")
    if is_there(path) and not is_file(path):
        # It would be replaced by the file, also if it were /dev/null.
        raise RunError(f"{path}: cannot be written: not a regular file; choose another --out")
    if any(map(is_file, path.parents)):
        raise RunError(
            f"{path}: cannot be written: a part of the path is a file; choose another --out"
        )
    if not is_folder(path.parent):
        raise RunError(f"{path}: cannot be written: no such folder as {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"{path}: cannot be written: no permission to write into {path.parent}")


@contextmanager
def atomic_file(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a binary file that takes the name `path` only when the block ends without an error.

    Args:
        path: the final name.
        sync: force the content to the disk before the rename. Without it a power failure, unlike
            a kill, may leave an empty file.

    Raises:
        RunError: it cannot be written.
    """
    with run_errors(path):
        handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            # mkstemp makes private files; a run folder is shared like any other output.
            Path(name).chmod(0o666 & ~umask())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def write_atomically(path: Path, content: str | bytes, *, sync: bool = True) -> None:
    """Write a whole file under its final name, or not at all.

    Example:
        >>> write_atomically(Path("table.csv"), "image,class")
        >>> Path("table.csv").read_text()
        'image,class'

    Raises:
        RunError: it cannot be written.
    """
    with atomic_file(path, sync=sync) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def _readumask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


_UMASK = _readumask()


def umask() -> int:
    """Return the permission bits that new files do not get."""
    # Read once at import: reading it means setting it, which threads must not do.
    return _UMASK
