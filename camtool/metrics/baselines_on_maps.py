"""What the map metrics give without any network: a centred Gaussian, and centred boxes.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437, score isotropic Gaussian maps about the centres of the images by
the same metrics as the methods (the "center" baseline). How wide they are hardly matters for box
accuracy: the best threshold chooses the size of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.baselines import SIDES, centred_box
from camtool.metrics.centred_gaussian import centred_gaussian
from camtool.metrics.max_box_acc import IOUS, BoxAccuracy
from camtool.metrics.oracle import GAUSSIAN
from camtool.metrics.resampling import by_stratum
from camtool.metrics.unit_frame import FRAME, boxes_to_frame, eight_bit

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from camtool.metrics.confidence import Bootstrap, Rate
    from camtool.metrics.map_protocols import MapProtocol
    from camtool.structures import Annotation

__all__ = ["TrueBoxes", "map_baselines", "true_boxes"]

_WHOLE: Final = FRAME, FRAME


@dataclass(frozen=True, slots=True)
class TrueBoxes:
    """The true boxes of a set of images in the frame.

    Attributes:
        boxes: for each class with boxes, image after image, inclusive corners, int64 (k, 4).
        classes: number of these classes of each image.
    """

    boxes: list[NDArray[np.int64]]
    classes: list[int]


def true_boxes(truths: Iterable[Annotation]) -> TrueBoxes:
    """Bring true boxes to the frame; every annotation needs the size of its image."""
    boxes: list[NDArray[np.int64]] = []
    classes: list[int] = []
    for truth in truths:
        found = [truth.boxes(label) for label in truth.labels]
        corners = [[box.to_inclusive() for box in of_class] for of_class in found if of_class]
        boxes += [boxes_to_frame(of_class, truth.size or _WHOLE) for of_class in corners]
        classes.append(len(corners))
    return TrueBoxes(boxes, classes)


def map_baselines(
    protocol: MapProtocol,
    truths: TrueBoxes,
    bootstrap: Bootstrap,
    strata: Sequence[Hashable] | None = None,
) -> dict[str, dict[str, Rate]]:
    """Return the protocol's metrics of each baseline, by its name.

    The Gaussian is scored like a method whose map is the same for all images: at the best
    threshold. Centred boxes have no threshold; they are right by the protocol's own rule.

    Args:
        protocol: what is scored.
        truths: true boxes, of at least one image.
        bootstrap: how the intervals are drawn.
        strata: stratum of each image; None for one stratum of all.
    """
    accuracy = _gaussian_accuracy(protocol, truths)
    rates = {GAUSSIAN: protocol.rates(accuracy, truths.classes, bootstrap, strata)}
    for name, right in _centred_boxes(truths).items():
        marks = protocol.marks_of(right, truths.classes)
        rates[name] = {
            metric: bootstrap.rate(*by_stratum(of_images, strata))
            for metric, of_images in marks.items()
        }
    return rates


def _gaussian_accuracy(protocol: MapProtocol, truths: TrueBoxes) -> BoxAccuracy:
    values = eight_bit(centred_gaussian())
    # The contours of one map, once for all images.
    found = protocol.contours(values)
    return BoxAccuracy.of(
        protocol.level_hits(values, boxes, found=found).packed() for boxes in truths.boxes
    )


def _centred_boxes(truths: TrueBoxes) -> dict[str, NDArray[np.bool_]]:
    """Return of each box whether it is right for each class at each of the `IOUS`, (n, 3)."""
    true = np.concatenate(truths.boxes)  # (boxes, 4)
    number = np.array([len(boxes) for boxes in truths.boxes])  # (classes of all images,)
    first = np.cumsum(number) - number
    areas = (true[:, 2:] - true[:, :2] + 1).prod(axis=1)
    right = {}
    for name, side in SIDES.items():
        (box,) = boxes_to_frame([centred_box(_WHOLE, side).to_inclusive()], _WHOLE)
        low, high = np.maximum(box[:2], true[:, :2]), np.minimum(box[2:], true[:, 2:])
        inter = np.maximum(high - low + 1, 0).prod(axis=1)
        overlap = inter / ((box[2:] - box[:2] + 1).prod() + areas - inter)
        best = np.maximum.reduceat(overlap, first)
        right[name] = best[:, None] >= np.array(IOUS) / 100
    return right
