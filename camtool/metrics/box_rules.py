"""The points on which published box protocols differ, each a named choice.

A protocol of boxes is one choice of each: which overlap is a hit, which true boxes count, in which
frame boxes are compared, and what a top-N hit is.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Protocol, Self, final

from pydantic import Field, model_validator

from camtool.geometry import Box
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BoxFrame", "CropFrame", "Hit", "OriginalFrame", "TopN", "TrueBoxes"]


class Hit(Enum):
    """Whether an overlap of exactly the threshold is a hit."""

    AT_LEAST = ">="
    ABOVE = ">"

    def holds(self, overlap: float, threshold: float) -> bool:
        """Return whether an intersection over union is a hit."""
        return overlap > threshold or (self is Hit.AT_LEAST and overlap == threshold)


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

    def place(self, box: Box, size: tuple[int, int] | None) -> Box | None:
        """Bring a box of an image of `size` (width, height) to the frame; None where none is left.

        Raises:
            ValueError: the size is needed and None.
        """

    def describe(self) -> str:
        """Return what happens to boxes, for the reader of a report."""


@final
class OriginalFrame:
    """The frame of the annotation: boxes are compared as they are."""

    needs_size: ClassVar[bool] = False

    def place(self, box: Box, size: tuple[int, int] | None) -> Box:  # noqa: ARG002
        """Return the box as it is."""
        return box

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

    def place(self, box: Box, size: tuple[int, int] | None) -> Box | None:
        """Bring a box to the crop; see `BoxFrame.place`."""
        if size is None:
            raise ValueError("a crop needs the size of the image")
        xmin, ymin, xmax, ymax = box.to_inclusive()
        x0, x1 = self._axis(xmin, xmax, size[0])
        y0, y1 = self._axis(ymin, ymax, size[1])
        return Box.from_inclusive(x0, y0, x1, y1) if x0 <= x1 and y0 <= y1 else None

    def _axis(self, low: float, high: float, side: int) -> tuple[int, int]:
        # In this order of operations, so that the last bit is that of the published loaders.
        shift = (self.resize - self.crop) // 2
        return (
            int(max(low / side * self.resize - shift, 0)),
            int(min(high / side * self.resize - shift, self.crop - 1)),
        )

    def describe(self) -> str:
        """Return what happens to boxes, for the reader of a report."""
        cut = f", centred {self.crop}×{self.crop} cut out" if self.crop < self.resize else ""
        return (
            f"image squashed to {self.resize}×{self.resize}{cut}; true and predicted boxes scaled, "
            "truncated to whole pixels and cut off to it; a box outside overlaps nothing"
        )
