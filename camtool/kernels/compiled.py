"""How numeric kernels are compiled, and from which call on the compiled code is used.

Compiled code runs without the interpreter's lock, and is kept on disk for the next start.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeVar, cast

import numba
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

# Its attributes come from the environment, so type checkers do not know them.
_config: Any = numba.config

# Where functions are compiled.
_SOURCES = ("kernels/*.py",)

# An option that numba's type stubs leave out.
_WITHOUT_RUNTIME: Any = {"_nrt": False}

_FEW: Final = 64
"""Up to so many calls OpenCV and numpy are quicker than compiling."""


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


class Kernel(Protocol[P, R]):
    """A function with two bodies that give the same result; a call takes the quicker one.

    Attributes:
        compiled: the body that calls compiled functions.
        plain: its twin by numpy and OpenCV.
    """

    compiled: Callable[P, R]
    plain: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result of either body."""


def with_plain(
    plain: Callable[P, R],
    last: Any,  # noqa: ANN401
    calls: int = _FEW,
    small: Callable[P, bool] | None = None,
) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Let the first calls of a function run its plain twin, so that a few never wait for compiling.

    Once compiled code is in memory, or lies on disk, it is used from then on.

    Args:
        plain: the twin, of the same arguments and the same result.
        last: the compiled function that the decorated one calls last.
        calls: how many calls are plain at most.
        small: tells of the arguments whether the plain twin takes less time than compiling; None
            where it always does.
    """

    def decorate(function: Callable[P, R]) -> Kernel[P, R]:
        made = 0
        counting = threading.Lock()

        def is_plain(*args: P.args, **kwargs: P.kwargs) -> bool:
            nonlocal made
            # Of all calls but the first few this is all that is asked.
            if made >= calls or last.signatures:
                return False
            with counting:
                if not made and _is_on_disk(last):
                    made = calls
                made += 1
                if made > calls:
                    return False
            return small is None or small(*args, **kwargs)

        @functools.wraps(function)
        def either(*args: P.args, **kwargs: P.kwargs) -> R:
            return (plain if is_plain(*args, **kwargs) else function)(*args, **kwargs)

        kernel = cast("Kernel[P, R]", either)
        kernel.compiled, kernel.plain = function, plain
        return kernel

    return decorate


def _is_on_disk(function: Any) -> bool:  # noqa: ANN401
    """Tell whether an earlier start kept the compiled code of a function: loading takes a moment.

    Code for another processor counts too, as what is inside costs more to find out; then the first
    call compiles.
    """
    folder = function.stats.cache_path
    return bool(folder) and any(Path(folder).glob(f"*.{function.__qualname__}-*.nbi"))
