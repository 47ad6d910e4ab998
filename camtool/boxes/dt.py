"""The boxes of the released program: a loose and a tight one, by distance transform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.boxes.enlarged import Interpolation, Scale, eight_bit, reduced, restored
from camtool.boxes.released import rectangles, survivors
from camtool.boxes.rule import Rule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from camtool.structures import ScoreMap

__all__ = ["DtBoxes", "Levels", "TightLooseBoxes", "loose_and_tight"]

Levels = Annotated[
    tuple[Annotated[int, Field(ge=0, le=254)], ...], Field(strict=False, min_length=1, max_length=9)
]
"""Thresholds on an 8-bit map."""


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
        self,
        score_map: ScoreMap,
        label: str | None = None,  # noqa: ARG002 (the rules' common signature)
        picture: NDArray[np.uint8] | None = None,  # noqa: ARG002
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
