"""A lock on a file that processes of one run hold, alone or together."""

from __future__ import annotations

import fcntl
import os
from typing import IO, TYPE_CHECKING, final

from camtool.runs.writing import run_errors

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self


@final
class FileLock:
    """A lock on the file `path`, which is made for it; held until `close` or the process's end.

    On a file system without locks, as some clusters have, every process gets it: what several
    writers do there is found when the parts of a run are joined.

    Example:
        >>> from pathlib import Path
        >>> first, second = FileLock(Path("lock")), FileLock(Path("lock"))
        >>> first.take(shared=True), second.take(shared=True), second.take(shared=False)
        (True, True, False)
        >>> first.close()
        >>> second.take(shared=False)
        True
    """

    def __init__(self, path: Path) -> None:
        """Describe the lock; nothing is touched."""
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self, *, shared: bool) -> bool:
        """Take the lock, or change the one that is held; tell whether it is held now.

        A lock that is held may be lost where it cannot be changed.

        Args:
            shared: together with others that say so; else alone.

        Raises:
            RunError: the file cannot be made.
        """
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        with run_errors(self.path):
            while True:
                if self._file is None:
                    self._file = self.path.open("ab")
                try:
                    fcntl.flock(self._file, mode | fcntl.LOCK_NB)
                except BlockingIOError:
                    self.close()
                    return False
                except OSError:
                    return True
                if self._is_there():
                    return True
                # Whoever held it before has removed the file: a lock on it keeps nobody out.
                self.close()

    def _is_there(self) -> bool:
        try:
            now = self.path.stat()
        except FileNotFoundError:
            return False
        return self._file is not None and os.path.samestat(now, os.fstat(self._file.fileno()))

    def close(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        """Enter the block at whose end the lock is given back."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back."""
        self.close()
