"""The points on which published box protocols differ, each a named choice.

Which true boxes count, what a top-N hit is, and in which frame boxes are compared. Which overlap is
enough is a `Criterion` of `camtool.metrics.trials`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, final

import numpy as np
from pydantic import Field, model_validator

from camtool.geometry import iou, ious
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from camtool.structures import Box


class TrueBoxes(Enum):
    """Which true boxes of a class count."""

    ANY = "any true box of the class"
    FIRST = "only the first true box of the class, in the order of the annotation"

    def of(self, boxes: Sequence[Box]) -> Sequence[Box]:
        """Return those of the true boxes of a class that count."""
        return boxes if self is TrueBoxes.ANY else boxes[:1]


class TopN(Enum):
    """What makes an image right at N."""

    OWN_BOX = "any of the first N guesses has the class right, and its own box"
    TRUE_CLASS_BOX = "the class is among the first N guesses, and the true class's box is right"


class BoxFrame(Protocol):
    """A frame in which boxes are compared."""

    needs_size: ClassVar[bool]
    """Boxes can only be placed where the size of their image is known."""

    def place(self, boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring boxes to the frame.

        Args:
            boxes: half-open corners in pixels of the image, shape (…, 4).
            sizes: (width, height) of the image of each, shape (…, 2) or (2,).

        Returns:
            Half-open corners; not in order where no pixel of the box is left.
        """

    def describe(self) -> str:
        """Return what happens to boxes, for the reader of a report."""


@final
class OriginalFrame:
    """The frame of the annotation: boxes are compared as they are."""

    needs_size: ClassVar[bool] = False

    def place(
        self,
        boxes: NDArray[np.float64],
        sizes: NDArray[np.float64],  # noqa: ARG002 (the frames' common signature)
    ) -> NDArray[np.float64]:
        """Return the boxes as they are."""
        return boxes

    def describe(self) -> str:
        """Return what happens to boxes, for the reader of a report."""
        return "the annotation's; predicted boxes are scaled where the sizes differ"


@final
class CropFrame(Settings):
    """The centred crop that a network of fixed input size sees.

    Images are squashed to `resize` × `resize` and the centred `crop` × `crop` is cut out. A corner
    x of an image of width W becomes int(x / W · resize - shift), cut off to [0, crop - 1], with
    shift = (resize - crop) // 2; corners belong to the box. So the loaders of TS-CAM, of the
    followers of ADL and of SPG treat true boxes. Predicted boxes, here in pixels of the original
    image, go the same way, so that a prediction equal to the true box overlaps it wholly. Of a box
    outside the crop no pixel is left: it overlaps nothing, be it predicted or true.
    """

    needs_size: ClassVar[bool] = True

    resize: int = Field(default=256, ge=1, le=65536)
    """Side in pixels to which both sides of the image are resized."""
    crop: int = Field(default=224, ge=1, le=65536)
    """Side in pixels of the centred crop; equal to `resize` for the whole image."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop ({self.crop}) is larger than resize ({self.resize})")
        return self

    def place(self, boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bring boxes to the crop; see `BoxFrame.place`."""
        shift = (self.resize - self.crop) // 2
        # In this order of operations, so that the last bit is that of the published loaders.
        low = np.trunc(np.maximum(boxes[..., :2] / sizes * self.resize - shift, 0))
        high = (boxes[..., 2:] - 1) / sizes * self.resize - shift
        high = np.trunc(np.minimum(high, self.crop - 1))
        return np.concatenate((low, high + 1), axis=-1)

    def describe(self) -> str:
        """Return what happens to boxes, for the reader of a report."""
        cut = f", centred {self.crop}×{self.crop} cut out" if self.crop < self.resize else ""
        return (
            f"image squashed to {self.resize}×{self.resize}{cut}; true and predicted boxes scaled, "
            "truncated to whole pixels and cut off to it; a box outside overlaps nothing"
        )


@dataclass(frozen=True, slots=True)
class BoxComparison:
    """How predicted boxes are compared with the true boxes of their class.

    Attributes:
        true_boxes: which of them count.
        frame: in which frame.
    """

    true_boxes: TrueBoxes = TrueBoxes.ANY
    frame: BoxFrame = field(default_factory=OriginalFrame)

    def overlap(self, box: Box, true_boxes: Sequence[Box], size: tuple[int, int] | None) -> float:
        """Return the best intersection over union of a box with the true boxes that count.

        Args:
            box: a predicted box.
            true_boxes: the true boxes of its class, in the order of the annotation.
            size: (width, height) of the frame of all of them; None where it is unknown.

        Raises:
            ValueError: boxes are compared in a frame of their own, and `size` is None.
        """
        if self.frame.needs_size:
            return float(self.overlaps(np.array([box.xyxy]), true_boxes, size)[0])
        # For so few boxes arrays cost more than they save.
        counting = self.true_boxes.of(true_boxes)
        return max((iou(box, true) for true in counting), default=0.0)

    def overlaps(
        self, boxes: NDArray[np.float64], true_boxes: Sequence[Box], size: tuple[int, int] | None
    ) -> NDArray[np.float64]:
        """Return the same as `overlap` of many boxes, (n, 4) → (n,); zeros hold no pixel."""
        counting = self.true_boxes.of(true_boxes)
        if not counting:
            return np.zeros(len(boxes))
        if size is None and self.frame.needs_size:
            raise ValueError("this frame needs the size of the image")
        sizes = np.array(size or (1, 1), np.float64)
        true = np.array([true.xyxy for true in counting], np.float64)
        result: NDArray[np.float64] = self.between(boxes[:, None], true, sizes).max(1)
        return result

    def between(
        self, boxes: NDArray[np.float64], others: NDArray[np.float64], sizes: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the intersection over union of boxes and others, (…, 4) each, broadcast.

        Args:
            boxes: half-open corners; zeros hold no pixel.
            others: likewise.
            sizes: (width, height) of the image of each.
        """
        placed = self.frame.place(boxes, sizes)
        if self.frame.needs_size:
            # The frame may find a pixel in the corners that stand for no box.
            holds_pixels = np.all(boxes[..., 2:] > boxes[..., :2], axis=-1, keepdims=True)
            placed = np.where(holds_pixels, placed, 0.0)
        return ious(placed, self.frame.place(others, sizes))
