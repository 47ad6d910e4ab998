"""How numeric kernels are compiled: without the interpreter's lock, and kept on disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
from numba import njit

__all__ = ["compiled"]

# Its attributes come from the environment, so type checkers do not know them.
_config: Any = numba.config


def _cache_folder() -> str:
    """Return the folder for compiled code of exactly these sources.

    Numba looks only at the file of a compiled function, not at those of the functions it calls:
    after an update it would go on with the old ones. So each state of the sources has a folder of
    its own.
    """
    sources = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sources.update(path.read_bytes())
    # As numba has it: `NUMBA_CACHE_DIR` comes first.
    chosen = _config.CACHE_DIR
    home = os.environ.get("XDG_CACHE_HOME") or Path("~", ".cache").expanduser()
    base = Path(chosen) if chosen else Path(home, "camtool", "compiled")
    return str(base / sources.hexdigest()[:16])


_FOLDER = _cache_folder()


def compiled(function: Any) -> Any:  # noqa: ANN401 (numba has no types)
    """Compile `function` at its first call, or load it from the cache of an earlier start.

    The cache lies in the user's cache folder, or beside the module where that cannot be written;
    `NUMBA_CACHE_DIR` names another place. Where no place can be written, every start compiles.
    """
    before = _config.CACHE_DIR
    _config.CACHE_DIR = _FOLDER
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no place for a cache
        return njit(nogil=True)(function)
    finally:
        _config.CACHE_DIR = before
