"""The 224×224 frame in which the WSOL benchmark scores maps, boxes and masks.

Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020,
https://arxiv.org/abs/2001.07437, and its evaluation program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FRAME: Final = 224
"""Side of the frame in pixels."""
SIGMA: Final = 0.25
"""Standard deviation of the centred Gaussian as a share of the frame's side: at the thresholds of
an 8-bit map its discs have all sizes from a few pixels to the whole frame, in steps of about half a
pixel."""


def map_to_frame(values: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Bring a class map to the frame and to [0, 1].

    Args:
        values: class map, shape (h, w), any range.

    Returns:
        Array of shape (224, 224), float32: bicubic interpolation, then `unit_map`; zeros for a flat
        map of any size.

    Raises:
        ValueError: not a map.
    """
    if values.ndim != 2 or not values.size:
        raise ValueError(f"not a map: shape {values.shape}")
    single = np.asarray(values, np.float32)
    if single.shape == (FRAME, FRAME):
        return unit_map(single)
    if single.min() == single.max():
        # Interpolation would leave rounding errors, and scaling would make them the whole map.
        return np.zeros((FRAME, FRAME), np.float32)
    resized = cv2.resize(single, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)
    return unit_map(resized.astype(np.float32, copy=False))


def unit_map(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a map to [0, 1] by its own range; zeros where it is flat or not finite."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return np.zeros_like(values)
    # In this order, so that the last bit is that of the reference.
    shifted = values - low
    result: NDArray[np.float32] = shifted / shifted.max()
    return result


def eight_bit(unit: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return `floor(255 · map)` of a map in [0, 1], uint8, in the map's own precision.

    Raises:
        ValueError: a value is outside [0, 1], or none (NaN).
    """
    if not (unit.min() >= 0 and unit.max() <= 1):
        raise ValueError("the map's values are not all within [0, 1]")
    result: NDArray[np.uint8] = (unit * 255).astype(np.uint8)
    return result


def boxes_to_frame(
    boxes_xyxy: Sequence[tuple[float, float, float, float]], size: tuple[int, int]
) -> NDArray[np.int64]:
    """Scale and truncate true boxes to the frame: `int(x · 224 / width)`.

    Args:
        boxes_xyxy: inclusive corners x0, y0, x1, y1 in pixels of the original image.
        size: (width, height) of the original image.

    Returns:
        Inclusive corners in the frame, int64 of shape (n, 4).
    """
    corners = np.array(boxes_xyxy, np.float64).reshape(-1, 4) * FRAME
    return (corners / np.array((*size, *size), np.float64)).astype(np.int64)


def mask_to_frame(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Bring a mask to the frame by nearest neighbour; true where it is above one half."""
    small = cv2.resize(mask, (FRAME, FRAME), interpolation=cv2.INTER_NEAREST)
    result: NDArray[np.bool_] = small > 0.5
    return result


def frame_ious(boxes: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return intersections over union in pixels of inclusive corners, (…, 4) each, broadcast."""
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., 2:], others[..., 2:])
    inter = np.maximum(high - low + 1, 0).prod(-1)
    areas = [(b[..., 2:] - b[..., :2] + 1).prod(-1) for b in (boxes, others)]
    result: NDArray[np.float64] = inter / (areas[0] + areas[1] - inter)
    return result


def centred_gaussian(
    shape_hw: tuple[int, int] = (FRAME, FRAME), sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Return an isotropic Gaussian about the centre of the frame, scaled to [0, 1].

    As everybody's score map it is the "center" baseline of Choe et al.: what a map knows that has
    not seen the image.

    Args:
        shape_hw: height and width of the map.
        sigma: standard deviation along each side, as a share of this side.

    Returns:
        Map of shape (height, width), float32.
    """
    height, width = shape_hw
    y, x = (np.arange(n) + 0.5 for n in (height, width))
    down, across = (y / height - 0.5) / sigma, (x / width - 0.5) / sigma
    return unit_map(np.exp(-(down[:, None] ** 2 + across**2) / 2).astype(np.float32))
