"""Memory that a step frees stays with the process, for the next step.

On a CPU, glibc gives the large tensors of a forward pass back to the system once the step is over,
and every page of them is faulted in anew in the next one: that doubled the time of a forward pass.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGEST_MMAP_THRESHOLD: Final = 32 << 20


def keep_freed_memory() -> bool:
    """Ask glibc to keep what is freed; tell whether it does. No result depends on it."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    done = (mallopt(_TRIM_THRESHOLD, -1), mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD))
    return all(done)
