"""GrabCut on the picture, begun from the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, final

import cv2
import numpy as np
from PIL import Image
from pydantic import Field

from camtool.boxes.enlarged import Interpolation, Scale, eight_bit, reduced, reduced_size, restored
from camtool.boxes.rule import Rule
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from camtool.boxes.rule import Picture
    from camtool.structures import ScoreMap

_SEED: Final = 0


@final
class GrabCutBoxes(Rule):
    """The box around the largest component that GrabCut takes for foreground.

    Rother, Kolmogorov, Blake: "GrabCut", ACM Transactions on Graphics 2004, begun as in the program
    that the authors of CAM released: of the map in 8 bits at image size, pixels of at most 10 are
    background, those above 10 probably background, and those above 40 probably foreground; one
    iteration. The box is that of the largest 8-connected component of the foreground, the first in
    raster order among equals.

    A map without range gives no box, and neither does a cut that leaves no foreground. Where one
    side has no pixel at all there is nothing to divide, and the component of the probable
    foreground gives the box. The score is the mean of the 8-bit map in the component, over 255. The
    colour models start from a fixed seed. Takes about a second a map of 500×375 pixels, many times
    as long as the network.

    Example:
        >>> from PIL import Image
        >>> from camtool.structures import ScoreMap
        >>> image = Image.new("RGB", (80, 60), "green")
        >>> image.paste("red", (30, 20, 60, 40))
        >>> values = np.array([[0, 0, 0, 0], [0, 9, 2, 0], [0, 0, 0, 0]], np.float32)
        >>> score_map = ScoreMap(values, (0, 0, 80, 60), (80, 60))
        >>> rule = GrabCutBoxes()
        >>> [box.box.xyxy for box in rule.boxes(score_map, picture=rule.picture(image))]
        [(30, 20, 60, 40)]
    """

    summary: ClassVar[str] = "GrabCut on the picture, begun from the map; largest component"
    paper: ClassVar[str] = "Rother et al., SIGGRAPH 2004; github.com/zhoubolei/CAM"

    name: Literal["grabcut"] = "grabcut"

    background: Annotated[int, Field(ge=0, le=254)] = 10
    """Level of the 8-bit map up to which a pixel is background for sure."""

    foreground: Annotated[int, Field(ge=0, le=254)] = 40
    """Level above which a pixel is probably foreground."""

    iterations: Annotated[int, Field(ge=1, le=20)] = 1
    """Rounds of colour models and cuts."""

    scale: Scale = "min-max"
    """What becomes 0 to 255: the map's range, or 0 to its maximum (negative values are 0 then)."""

    interpolation: Interpolation = "bilinear"
    """How the map is brought to image size."""

    max_side: Annotated[int, Field(ge=64, le=4096)] = 512
    """Larger pictures are worked on at this longer side, which bounds memory and time."""

    def picture(self, image: Image.Image) -> Picture:
        """Return the picture at the size that is worked on, RGB, shape (height, width, 3)."""
        size = reduced_size(image.size, self.max_side)
        if size != image.size:
            image = image.resize(size, Image.Resampling.BOX)
        return np.array(image, np.uint8)

    def boxes(
        self, score_map: ScoreMap, label: str | None = None, picture: Picture | None = None
    ) -> tuple[ScoredBox, ...]:
        """Return the box of a class map; see `Rule`.

        Raises:
            ValueError: the picture is missing, or not of the size that `picture` gives.
        """
        worked = reduced(score_map, self.max_side)
        shape = (worked.size[1], worked.size[0], 3)
        if picture is None or picture.shape != shape:
            got = None if picture is None else picture.shape
            raise ValueError(f"grabcut needs the picture, of shape {shape}; it got {got}")
        levels = eight_bit(worked, self.scale, self.interpolation)
        if levels is None:
            return ()
        found = _largest(self._cut(levels, picture))
        if found is None:
            return ()
        box, inside = found
        score = float(levels[inside].mean()) / 255
        return (ScoredBox(restored(box, worked, score_map), score),)

    def _cut(self, levels: NDArray[np.uint8], picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return the pixels that are foreground."""
        mask = np.full(levels.shape, cv2.GC_BGD, np.uint8)
        mask[levels > self.background] = cv2.GC_PR_BGD
        mask[levels > self.foreground] = cv2.GC_PR_FGD
        probable: NDArray[np.bool_] = mask == cv2.GC_PR_FGD
        if probable.all() or not probable.any():
            return probable
        # Of this thread only; the models are begun by k-means from random centres.
        cv2.setRNGSeed(_SEED)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        whole = 0, 0, 0, 0  # a rectangle is asked for, and not looked at
        cv2.grabCut(picture, mask, whole, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        result: NDArray[np.bool_] = mask == cv2.GC_PR_FGD
        return result


def _largest(mask: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]] | None:
    """Return the largest component's box and pixels; None where the mask is empty."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return None
    # Whichever number OpenCV gives it, the first pixel of all the largest ones decides.
    largest = np.isin(labels, 1 + np.flatnonzero(areas == areas.max()))
    label = labels.ravel()[largest.ravel().argmax()]
    x, y, w, h = stats[label, :4].tolist()
    return Box.from_xywh(x, y, w, h), labels == label
