"""What a machine is short of, said in words where libraries would end in a traceback."""

from __future__ import annotations

import errno
import resource
from typing import Final

_NETWORK_BYTES: Final = 6 << 30
"""Address space that torch and its threads map, most of which is never touched."""
_SCORE_BYTES: Final = 2 << 30
_WITH_NETWORKS: Final = ("localize", "train", "models", "methods")
_NO_MEMORY: Final = ("allocate", "start new thread", "Resource temporarily unavailable", "segment",
                     "shared object")  # fmt: skip


def shortage_before(command: str) -> str | None:
    """Return why a command cannot run here; None where it can.

    A library that meets a limit of address space while it loads may take the process down.

    Example:
        >>> shortage_before("eval")
    """
    limit = _address_space()
    needed = _NETWORK_BYTES if command in _WITH_NETWORKS else 0
    return _too_little(limit) if limit is not None and limit < needed else None


def shortage_of(error: BaseException) -> str | None:
    """Return what the machine is short of where an error says so; None where it is a defect.

    Example:
        >>> shortage_of(OSError(errno.EMFILE, "Too many open files"))
        'too many open files: raise the limit (ulimit -n 1024), or lower run.workers'
    """
    if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE) or (
        isinstance(error, OSError | RuntimeError) and "Too many open files" in str(error)
    ):
        return "too many open files: raise the limit (ulimit -n 1024), or lower run.workers"
    limit = _address_space()
    of_memory = isinstance(error, MemoryError) or (
        isinstance(error, OSError | ImportError | RuntimeError)
        and any(sign in str(error) for sign in _NO_MEMORY)
    )
    if of_memory and limit is not None:
        return _too_little(limit)
    if isinstance(error, MemoryError):
        return "out of memory: lower run.batch_size, run.workers or localize.images.max_pixels"
    return None


def _address_space() -> int | None:
    """The limit of address space in bytes; None where there is none."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit


def _too_little(limit: int) -> str:
    return (
        f"the address space is limited to {limit / (1 << 30):.1f} GB (ulimit -v), which is too"
        f" little: networks need {_NETWORK_BYTES >> 30} GB of it, scores {_SCORE_BYTES >> 30} GB"
    )
