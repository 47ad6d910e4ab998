"""Class weights that the user gives: one vector a class, for classes a network never learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from camtool.errors import ModelError, shorten
from camtool.models.heads import ClassMapHead, LinearHead
from camtool.models.poolings import Gap
from camtool.runs.maps import DAMAGED

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from camtool.models.classifier import Classifier
    from camtool.models.poolings import SpatialPooling

__all__ = ["with_linear_weights"]


class _GivenHead(NamedTuple):
    """A head from a file, and the names of its classes in the order of its scores."""

    head: LinearHead | ClassMapHead
    names: tuple[str, ...]


def with_linear_weights(classifier: Classifier, path: Path) -> Classifier:
    """Put the classes of a file in the place of a classifier's own, and return it.

    Args:
        classifier: in evaluation mode; its pooling stays, and what it pools.
        path: `.npz` file; each array is one class by its name: as many numbers as feature channels,
            and one more for the bias if there is any (`coef_` and `intercept_` of a linear SVM).

    Raises:
        ModelError: not such a file, or a vector does not fit; the message names the class.
    """
    width, height = classifier.spec.size
    with torch.no_grad():
        channels = classifier.features(torch.zeros(1, 3, height, width)).shape[1]
    pooling = getattr(classifier.head, "pooling", Gap())
    kind = ClassMapHead if isinstance(classifier.head, ClassMapHead) else LinearHead
    classifier.head, classifier.class_names = _head_of(path, channels, kind, pooling)
    return classifier


def _head_of(
    path: Path,
    channels: int,
    kind: type[LinearHead | ClassMapHead],
    pooling: SpatialPooling,
) -> _GivenHead:
    try:
        # Opened here: of a damaged archive, numpy would leave the file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            vectors = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; model.linear_weights is an .npz file") from None
    except (*DAMAGED, AttributeError) as error:
        raise ModelError(
            f"{path}: not an .npz file with a vector for each class ({error})"
        ) from error
    if not vectors:
        raise ModelError(f"{path}: holds no class")
    rows = [_checked(f"{path}: class '{shorten(n)}'", v, channels) for n, v in vectors.items()]
    table = torch.from_numpy(np.stack(rows))
    head = kind(table[:, :channels].clone(), table[:, channels].clone(), pooling)
    return _GivenHead(head.eval(), tuple(vectors))


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
