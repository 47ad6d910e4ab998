"""Maps and masks of images, to be read when their pixels are counted."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from camtool.errors import EvaluationError, shorten
from camtool.metrics.baselines import SIDES
from camtool.metrics.centred_gaussian import centred_gaussian
from camtool.metrics.pxap import combine_masks, pixel_histogram
from camtool.metrics.unit_frame import FRAME, boxes_to_frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.metrics.sources import MapSource, MaskNames
    from camtool.structures import Annotation, Prediction

__all__ = ["PixelOutcome", "PixelPair", "Pixels"]


class Pixels(NamedTuple):
    """The pixels of an image that count, background and foreground.

    Attributes:
        by_score: by the score of its map, and by that of a centred Gaussian; a `pixel_histogram`
            each, int64 of shape (2, 2, BINS).
        by_box: those outside and those inside each centred box of `baselines.SIDES`, as of a map
            that is 1 in the box and 0 around it; int64 of shape (boxes, 2, 2).
    """

    by_score: NDArray[np.int64]
    by_box: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PixelPair:
    """A map and a mask that are read when they are needed.

    Attributes:
        truth: the annotation.
        prediction: what names the map.
        label: the true class.
        maps: where the map is.
        names: the files of the mask; None where boxes are the mask.
        border: pixels of the frame around each box that do not count.
    """

    truth: Annotation
    prediction: Prediction
    label: str | int
    maps: MapSource
    names: MaskNames | None
    border: int

    def pixels(self) -> Pixels:
        """Read both and count the pixels by score.

        Raises:
            EvaluationError: the map cannot be scored.
            DataError: the mask cannot be read.
        """
        values = self.maps.load(self.prediction, self.label)
        if values is None:
            raise EvaluationError(f"{shorten(self.truth.image_id)}: its map is gone")
        mask = self._mask()
        both = (values, _gaussian())
        by_score = [pixel_histogram(v, mask) for v in both]
        return Pixels(np.stack(by_score), _by_centred_box(mask))

    def _mask(self) -> NDArray[np.uint8]:
        size = self.truth.size or self.prediction.size
        if self.names is None:
            return _boxes_as_mask(self.truth, self.label, size, self.border)
        if self.maps.masks is None:
            raise ValueError("masks in files without a folder of masks")
        return self.maps.masks.read(self.names, size)


@dataclass(frozen=True, slots=True)
class PixelOutcome:
    """One image: for each true class map and mask; None where no map is stored."""

    pairs: tuple[PixelPair | None, ...]

    def pixels(self) -> Pixels:
        """Return the pixels of the image, all its true classes together; see `PixelPair`."""
        every = [pair.pixels() for pair in self.pairs if pair]
        by_score, by_box = (np.sum(counts, axis=0) for counts in zip(*every, strict=True))
        return Pixels(by_score, by_box)


def _by_centred_box(mask: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count the pixels outside and inside of centred boxes; see `Pixels`."""
    result = np.empty((len(SIDES), 2, 2), np.int64)
    for value in (0, 1):
        chosen = mask == value
        for k, side in enumerate(SIDES.values()):
            inside = slice(round(FRAME * (1 - side) / 2), round(FRAME * (1 + side) / 2))
            result[k, value, 1] = np.count_nonzero(chosen[inside, inside])
        result[:, value, 0] = np.count_nonzero(chosen) - result[:, value, 1]
    return result


@functools.cache
def _gaussian() -> NDArray[np.float32]:
    return centred_gaussian()


def _boxes_as_mask(
    truth: Annotation, label: str | int, size: tuple[int, int] | None, border: int
) -> NDArray[np.uint8]:
    """Return the boxes of a class as a mask, with a border that does not count."""
    inclusive = [box.to_inclusive() for box in truth.boxes(label)]
    foreground = np.zeros((FRAME, FRAME), np.bool_)
    around = np.zeros((FRAME, FRAME), np.bool_)
    for x0, y0, x1, y1 in boxes_to_frame(inclusive, size or (FRAME, FRAME)).tolist():
        foreground[y0 : y1 + 1, x0 : x1 + 1] = True
        low_x, low_y = max(x0 - border, 0), max(y0 - border, 0)
        around[low_y : y1 + 1 + border, low_x : x1 + 1 + border] = True
    return combine_masks([foreground], around)
