"""What kind of error a localization is, by the published rules of Gao et al. and Hoiem et al.

Gao et al., "TS-CAM: Token Semantic Coupled Attention Map for Weakly Supervised Object
Localization", ICCV 2021, https://arxiv.org/abs/2103.14862, sort the top-1 guess of an image; their
program tries the rules in the order below, and so does `wrong_kind`. With P the predicted box,
G_1 … G_n the true boxes of its class, and G* the one with the best intersection over union (among
equals the first):

    IoG(G) = area(P ∩ G) / area(G)        share of the true box that is covered
    IoP(G) = area(P ∩ G) / area(P)        share of the predicted box that lies on the true one

1. `right`: as the protocol has it, so that the share of `right` is its accuracy exactly (Gao et al.
   ask for IoU > 0.5).
2. `wrong_class`: the class of the guess is none of the image's, whatever its box.
3. `several_instances`: IoG(G_i) > 0.3 for two or more i (their "multi-instance error", M-Ins).
4. `part`: IoP(G*) > 0.5 ("localization part error").
5. `too_large`: IoG(G*) >= 0.7 ("localization more error"; the paper writes >, the program >=).
6. `background`: IoU < 0.1 with every true box of the image, of any class.
7. `other`: what is left, a guess without a box among them.

Kinds 6 and 7 together are the "other error" of Gao et al. What of it lies on the background is told
apart by Hoiem et al., "Diagnosing Error in Object Detectors", ECCV 2012, who call detections of an
overlap below 0.1 with every object background, and those between 0.1 and 0.5 mislocalized; TIDE
(Bolya et al., ECCV 2020, https://arxiv.org/abs/2008.08115) has the same 0.1. It comes late on
purpose: a small box inside a large object has an IoU below 0.1 too, and is a part of it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, final

from pydantic import Field, model_validator

from camtool.geometry import iou
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from camtool.structures import Box

__all__ = ["DiagnosisSettings", "Kind", "wrong_kind"]

_Share = Annotated[float, Field(ge=0, le=1)]
# YAML and the command line give lists.
_Edges = Annotated[
    tuple[Annotated[float, Field(gt=0)], ...], Field(strict=False, min_length=1, max_length=20)
]


class Kind(IntEnum):
    """What a localization is; its name in lower case is that of the figures."""

    RIGHT = 0
    WRONG_CLASS = 1
    PART = 2
    TOO_LARGE = 3
    SEVERAL_INSTANCES = 4
    BACKGROUND = 5
    OTHER = 6


@final
class DiagnosisSettings(Settings):
    """What kind of error each image is, and further figures of boxes and maps."""

    enabled: bool = True
    """Tell the kinds of errors, and score CorLoc, mean IoU, the largest box and the pointing game.
    """
    pointing: bool = True
    """Score the pointing game, which reads the stored map of each true class."""
    several_iog: _Share = 0.3
    """Share of a true box that must be exceeded for the box to count as one of several merged."""
    part_iop: _Share = 0.5
    """Share of the predicted box, on the true box, above which it is a part of the object."""
    large_iog: _Share = 0.7
    """Share of the true box from which on the predicted box is too large."""
    background_iou: _Share = 0.1
    """Intersection over union, with every object, below which a box lies on the background."""
    size_edges: _Edges = (0.2, 0.4, 0.67)
    """Shares of the image at which groups of object size begin: by default the quartiles of the
    largest true box of the ILSVRC validation images, rounded."""
    aspect_edges: _Edges = (0.5, 0.8, 1.25, 2.0)
    """Width over height of the object at which groups of aspect begin."""
    instance_edges: _Edges = (2, 3, 5)
    """Numbers of true boxes at which groups begin."""

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        for name in ("size_edges", "aspect_edges", "instance_edges"):
            edges = getattr(self, name)
            if list(edges) != sorted(set(edges)):
                raise ValueError(f"{name} must rise: {', '.join(f'{edge:g}' for edge in edges)}")
        return self


def wrong_kind(
    box: Box | None,
    true_boxes: Sequence[Box],
    every_box: Sequence[Box],
    settings: DiagnosisSettings,
) -> Kind:
    """Return the kind of a guess whose class is right and whose box is not.

    Args:
        box: the box of the guess; None where it has none.
        true_boxes: the true boxes of its class.
        every_box: the true boxes of all classes of the image.
        settings: the thresholds.
    """
    if box is None:
        return Kind.OTHER
    common = [_common(box, true) for true in true_boxes]
    if sum(c / t.area > settings.several_iog for c, t in zip(common, true_boxes, strict=True)) > 1:
        return Kind.SEVERAL_INSTANCES
    if true_boxes:
        overlaps = [iou(box, true) for true in true_boxes]
        best = overlaps.index(max(overlaps))
        if common[best] / box.area > settings.part_iop:
            return Kind.PART
        if common[best] / true_boxes[best].area >= settings.large_iog:
            return Kind.TOO_LARGE
    if all(iou(box, true) < settings.background_iou for true in every_box):
        return Kind.BACKGROUND
    return Kind.OTHER


def _common(a: Box, b: Box) -> float:
    """Return the number of pixels that two boxes share."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return width * height if width > 0 and height > 0 else 0.0
