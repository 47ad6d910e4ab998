"""Where maps and true masks of images are, as far as a metric needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from camtool.structures import Annotation, Prediction, ScoreMap

__all__ = ["MapSource", "MaskNames", "MaskSource"]


@dataclass(frozen=True, slots=True)
class MaskNames:
    """The files of one image's true masks.

    Attributes:
        instances: a file an instance.
        ignored: the file of what does not count; None for nothing.
    """

    instances: tuple[str, ...]
    ignored: str | None = None


class MaskSource(Protocol):
    """Where the true masks of images are."""

    def find(self, truth: Annotation, label: str | int) -> MaskNames:
        """Return the names of the masks of a class; they are not opened yet.

        Raises:
            EvaluationError: which masks are meant cannot be told.
            DataError: one is missing, or its name leads out of the folder; names it.
        """

    def read(self, names: MaskNames, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Return 1 foreground, 255 ignored, 0 background, uint8 of shape (224, 224).

        Args:
            names: what `find` returned.
            size: (width, height) of the image; None where it is unknown.

        Raises:
            DataError: a file cannot be read, is no mask, or is of another size; names it.
        """


class MapSource(Protocol):
    """Where the maps of predictions are."""

    of_true_class: bool
    """Its maps are those of the true class, whatever this is."""
    masks: MaskSource | None
    """Where the true masks are; None where nobody said."""

    def has(self, prediction: Prediction, label: str | int) -> bool:
        """Tell whether there is a map of a class, without reading it."""

    def load(self, prediction: Prediction, label: str | int) -> NDArray[np.float32] | None:
        """Return the score map of a class, (224, 224) in [0, 1]; None where there is none.

        Raises:
            EvaluationError: the map cannot be scored; names the file.
            RunError: the map cannot be read.
        """

    def stored(self, prediction: Prediction, label: str | int) -> ScoreMap | None:
        """Return the low-resolution map of a class as it is stored; None where there is none.

        Raises:
            RunError: the map cannot be read.
        """
