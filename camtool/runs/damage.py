"""What goes wrong with array files from outside, whoever reads them."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import Final

__all__ = ["DAMAGED"]

DAMAGED: Final = (
    OSError, ValueError, TypeError, KeyError, IndexError, EOFError, SyntaxError, MemoryError,
    RuntimeError, OverflowError, struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""What numpy and zipfile raise on foreign and damaged `.npz` and `.npy` files."""
