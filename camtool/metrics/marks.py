"""What each image adds to each figure: the one form in which two sets of predictions compare."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Mark", "Marks", "image_marks"]

Mark = tuple[int, int]
"""(events, trials) of one image, 0 <= events <= trials and trials >= 1; events are what the
protocol's figures measure: errors, or right boxes."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of a set of images, by metric, in the order of the images.

    Attributes:
        classification: a mark for each image that counts for classification.
        localization: a mark for each image that counts for localization.
        absent: why the other metrics of the protocol cannot be given, by name.
    """

    classification: dict[str, list[Mark]] = field(default_factory=dict)
    localization: dict[str, list[Mark]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def image_marks(events: NDArray[np.bool_], trials: Sequence[int]) -> list[Mark]:
    """Return the mark of each image.

    Args:
        events: image after image, bool of shape (all trials, k): k events of each trial.
        trials: number of trials of each image, at least 1; each counts k times.
    """
    numbers = np.array(trials, np.int64)
    sums = np.add.reduceat(events.sum(1, dtype=np.int64), np.cumsum(numbers) - numbers)
    pairs = zip(sums.tolist(), (numbers * events.shape[1]).tolist(), strict=True)
    # Images of equal marks share one: there are few different ones.
    shared: dict[Mark, Mark] = {}
    return [shared.setdefault(mark, mark) for mark in pairs]
