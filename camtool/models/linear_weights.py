"""Class weights that the user gives: one vector a class, for classes a network never learned."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from camtool.errors import ModelError, shorten
from camtool.models.heads import LinearHead
from camtool.models.poolings import Gap

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.models.poolings import SpatialPooling

__all__ = ["GivenHead", "head_of_weights"]

# What numpy and zipfile raise on foreign and damaged files.
_DAMAGED = (
    OSError, ValueError, TypeError, KeyError, EOFError, SyntaxError, MemoryError, RuntimeError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


class GivenHead(NamedTuple):
    """A head from a file, and the names of its classes in the order of its scores."""

    head: LinearHead
    names: tuple[str, ...]


def head_of_weights(path: Path, channels: int, pooling: SpatialPooling | None = None) -> GivenHead:
    """Read a head on pooled features from a file of class vectors.

    Args:
        path: `.npz` file; each array is one class by its name: `channels` numbers, and one more
            for the bias if there is any (such as `coef_` and `intercept_` of a linear SVM).
        channels: number of feature channels K.
        pooling: from the grid to K numbers; global average pooling by default.

    Raises:
        ModelError: not such a file, or a vector does not fit; the message names the class.
    """
    try:
        # Opened here: of a damaged archive, numpy would leave the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            vectors = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; model.linear_weights is an .npz file") from None
    except (*_DAMAGED, AttributeError) as error:
        raise ModelError(
            f"{path}: not an .npz file with a vector for each class ({error})"
        ) from error
    if not vectors:
        raise ModelError(f"{path}: holds no class")
    rows = [_checked(f"{path}: class '{shorten(n)}'", v, channels) for n, v in vectors.items()]
    table = torch.from_numpy(np.stack(rows))
    head = LinearHead(table[:, :channels].clone(), table[:, channels].clone(), pooling or Gap())
    return GivenHead(head.eval(), tuple(vectors))


def _checked(place: str, vector: NDArray[np.generic], channels: int) -> NDArray[np.float32]:
    """The vector with its bias, float32 of shape (K + 1,)."""
    if vector.dtype.kind not in "fiu" or vector.ndim != 1:
        raise ModelError(f"{place}: expected numbers in one row, got {vector.dtype} {vector.shape}")
    if len(vector) not in (channels, channels + 1):
        raise ModelError(
            f"{place}: {len(vector):,} numbers, but the network has {channels:,} feature channels"
            " (one more number would be the bias)"
        )
    result = np.zeros(channels + 1, np.float32)
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused
        result[: len(vector)] = vector
    if not np.isfinite(result).all():
        raise ModelError(f"{place}: holds NaN or infinity")
    return result
