"""How numeric kernels are compiled: without the interpreter's lock, and kept on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["compiled", "inlined"]

# Its attributes come from the environment, so type checkers do not know them.
_config: Any = numba.config

# Where functions are compiled. The geometry holds a class that signatures name: code that names
# another one is unreadable.
_SOURCES = ("boxes/*.py", "geometry.py", "metrics/*.py")

# An option that numba's type stubs leave out.
_WITHOUT_RUNTIME: Any = {"_nrt": False}


def _cache_folder() -> str | None:
    """Return the folder for compiled code of exactly these sources; None without a home.

    Numba's cache is unpickled, so it must lie where nobody else can write: a folder of a known
    name below the machine's common temporary folder could be another user's.

    Numba looks only at the file of a compiled function, not at those of the functions it calls:
    after an update it would go on with the old ones. So each state of the sources has a folder of
    its own.
    """
    sources = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(found for pattern in _SOURCES for found in package.glob(pattern)):
        sources.update(path.read_bytes())
    # As numba has it: `NUMBA_CACHE_DIR` comes first.
    chosen = _config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(chosen or "~/.cache").expanduser()
    except RuntimeError:  # a user without a home
        return None
    return str(base / "camtool" / "compiled" / sources.hexdigest()[:16])


_FOLDER = _cache_folder()


def compiled(function: Any) -> Any:  # noqa: ANN401 (numba has no types)
    """Compile `function` at its first call, or load it from the cache of an earlier start.

    The cache lies in the user's cache folder, or beside the module where that cannot be written;
    `NUMBA_CACHE_DIR` names another place. Where no place can be written, every start compiles.
    """
    if _FOLDER is None:
        return njit(nogil=True)(function)
    before = _config.CACHE_DIR
    _config.CACHE_DIR = _FOLDER
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place for a cache
        return njit(nogil=True)(function)
    finally:
        _config.CACHE_DIR = before


def inlined(function: Any) -> Any:  # noqa: ANN401
    """Compile a function that creates no array into the compiled functions that call it.

    A call hands over seven numbers an array and counts a reference to each array, which is several
    times the work of a small function. Without numba's runtime (`_nrt`) nothing is counted, and
    nothing can be allocated.
    """
    return njit(nogil=True, forceinline=True, **_WITHOUT_RUNTIME)(function)
