"""The boxes of the released program: a loose and a tight one, by distance transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, final

import cv2
import numpy as np
from pydantic import Field

from camtool.boxes.enlarged import Interpolation, Scale, eight_bit, reduced, restored
from camtool.boxes.rule import Rule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from camtool.boxes.rule import Picture
    from camtool.structures import ScoreMap

Levels = Annotated[
    tuple[Annotated[int, Field(ge=0, le=254)], ...], Field(strict=False, min_length=1, max_length=9)
]
"""Thresholds on an 8-bit map."""

_MARGIN = 5
"""Pixels at the right and the lower border that no rectangle reaches into."""


class _Released(Rule):
    """What the rules of the released program share."""

    thresholds: Levels = (20, 100, 110)
    """Levels of the 8-bit map that a pixel must exceed."""

    scale: Scale = "min-max"
    """What becomes 0 to 255: the map's range, or 0 to its maximum (negative values are 0 then)."""

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size."""

    max_side: Annotated[int, Field(ge=64, le=16384)] = 4096
    """Larger pictures are worked on at this longer side, which bounds memory and time."""

    def boxes(
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the loose box and the tight one, as far as there are; see `Rule`."""
        worked = reduced(score_map, self.max_side)
        levels = eight_bit(worked, self.scale, self.interpolation)
        if levels is None:
            return ()
        pixels = levels.size
        return tuple(
            ScoredBox(restored(box, worked, score_map), box.area / pixels)
            for box in loose_and_tight(levels, self.thresholds)
        )


def loose_and_tight(levels: NDArray[np.uint8], thresholds: Sequence[int]) -> tuple[Box, ...]:
    """Return the first two rectangles that survive and have an area: the loose and the tight box.

    Args:
        levels: map at image size, shape (height, width).
        thresholds: levels that a pixel must exceed.
    """
    left = [r for r in survivors(rectangles(levels, thresholds)) if r.area]
    return tuple(Box.from_xywh(*r) for r in left[:2])


@final
class DtBoxes(_Released):
    """The released program (`dt`, parameters 20 100 110): a loose box, and a tight one if any.

    On the map at image size in 8 bits (its range, by `scale`, rounded to 0..255; not covered by a
    centre crop: 0), for each threshold: the mask `map > t`, unless all or nothing, is eroded to
    where its exact distance transform, scaled to 0..255, is above 10; all contours, holes included,
    give their bounding rectangles, held 5 pixels away from the right and the lower border. The
    rectangles of all thresholds, largest first, delete later ones that share more than half of the
    larger area; the walk skips the element after a deleted one. The first left is the loose box,
    the second the tight one. Equally large ones are ordered by threshold, y, x, width.

    A flat map, and one with a NaN or an infinity, gives no box; a picture within 5 pixels gives
    none either. The score of a box is its share of the picture's pixels: what the program sorts by.
    The first box, which the protocols take for the class's guess, is the loose one.

    Example:
        >>> import numpy as np
        >>> from camtool.structures import ScoreMap
        >>> values = np.array([[0, 0, 0, 0], [0, 9, 2, 0], [0, 0, 0, 0]], np.float32)
        >>> score_map = ScoreMap(values, (0, 0, 80, 60), (80, 60))
        >>> [box.box.xyxy for box in DtBoxes().boxes(score_map)]
        [(12, 12, 63, 48), (18, 18, 46, 42)]
    """

    summary: ClassVar[str] = (
        "released program: 8-bit map > 20, 100, 110, distance transform; loose and tight box"
    )
    paper: ClassVar[str] = "github.com/zhoubolei/CAM, bboxgenerator"

    name: Literal["dt"] = "dt"


@final
class TightLooseBoxes(_Released):
    """The five guesses of the heuristic entry: the boxes of `dt`, entered as guesses of an image.

    Zhou et al. 2016, section 3.2 (the entry with 37.1 % top-5 localization error): guess 1 is the
    loose box of the most probable class, 2 its tight box, 3 and 4 those of the second class, 5 the
    loose box of the third. Classification figures go by classes as ever. A guess whose box does not
    exist stays empty; boxes of further classes are stored, and are no guesses.

    Example:
        >>> from camtool.structures import Box
        >>> boxes = [ScoredBox(Box(12, 12, 63, 48), 0.38), ScoredBox(Box(18, 18, 46, 42), 0.14)]
        >>> [scored.guess for scored in TightLooseBoxes().entered(boxes, rank=2)]
        [3, 4]
    """

    summary: ClassVar[str] = "the boxes of dt as five guesses: loose, tight, loose, tight, loose"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, section 3.2"

    name: Literal["tight-loose"] = "tight-loose"

    def entered(self, boxes: Sequence[ScoredBox], rank: int) -> tuple[ScoredBox, ...]:
        """Return the boxes of a class with their places among the five guesses; see `Rule`."""
        first = 2 * rank - 1
        places = (place if place <= 5 else 0 for place in (first, first + 1))
        return tuple(
            ScoredBox(b.box, b.score, place) for b, place in zip(boxes, places, strict=False)
        )


class Rectangle(NamedTuple):
    """A rectangle `[x, x + w) × [y, y + h)` in pixels; may have no area."""

    x: int
    y: int
    w: int
    h: int

    @property
    def area(self) -> int:
        """Its number of pixels."""
        return self.w * self.h

    def common(self, other: Rectangle) -> int:
        """The number of pixels in both."""
        w = min(self.x + self.w, other.x + other.w) - max(self.x, other.x)
        h = min(self.y + self.h, other.y + other.h) - max(self.y, other.y)
        return max(w, 0) * max(h, 0)


def rectangles(levels: NDArray[np.uint8], thresholds: Sequence[int]) -> list[Rectangle]:
    """Return the rectangles of all contours at all thresholds, largest first, before the walk.

    Among equally large ones: by threshold in the given order, then by y, x, width and height. (The
    released program leaves their order to its sort.)

    Args:
        levels: map at image size, shape (height, width).
        thresholds: levels that a pixel must exceed.
    """
    found = [
        (place, rectangle)
        for place, threshold in enumerate(thresholds)
        for rectangle in _contours(_core(levels > threshold))
    ]
    found.sort(key=lambda f: (-f[1].area, f[0], f[1].y, *f[1]))
    return [rectangle for _, rectangle in found]


def survivors(ordered: Sequence[Rectangle]) -> list[Rectangle]:
    """Return what is left when each rectangle has deleted later ones that it has in common.

    Rectangle j goes when it shares more than half of the larger area, rounded down, with an earlier
    one i. As in the released program, the walk steps on after a deletion: the element that slid
    into the place is not compared with i.
    """
    left = list(ordered)
    i = 0
    while i < len(left):
        j = i + 1
        while j < len(left):
            if left[i].common(left[j]) > max(left[i].area, left[j].area) // 2:
                del left[j]
            j += 1
        i += 1
    return left


def _core(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a mask that lie deep inside it; a mask without an edge as it is.

    Depth is the exact Euclidean distance to the nearest pixel outside the mask, within the image;
    kept is what is above 10 when the depths of all pixels, from 0 to the deepest, become 0 to 255.
    """
    if mask.all() or not mask.any():
        return mask
    depth = cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Squares are whole numbers: the comparison is exact (for depths of up to 2,047 pixels).
    squared = np.rint(np.square(depth, dtype=np.float64))
    kept: NDArray[np.bool_] = squared * 255**2 > 10**2 * squared.max()
    return kept


def _contours(mask: NDArray[np.bool_]) -> Iterator[Rectangle]:
    """Yield the clamped bounding rectangle of each contour, those of holes among them."""
    height, width = mask.shape
    found, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for contour in found:
        x, y, w, h = cv2.boundingRect(contour)
        yield Rectangle(
            _clamped(x, width - _MARGIN),
            _clamped(y, height - _MARGIN),
            # By the place before it was clamped, as the program has it.
            _clamped(w, width - x - _MARGIN),
            _clamped(h, height - y - _MARGIN),
        )


def _clamped(value: int, most: int) -> int:
    return max(0, min(value, most))
