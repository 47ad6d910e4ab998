"""A centred Gaussian as everybody's score map: what a map knows that has not seen the image.

The "center" baseline of Choe et al., "Evaluating Weakly Supervised Object Localization Methods
Right", CVPR 2020, https://arxiv.org/abs/2001.07437.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from camtool.metrics.unit_frame import FRAME, unit_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIGMA", "centred_gaussian"]

SIGMA: Final = 0.25
"""Standard deviation as a share of the frame's side: at the thresholds of an 8-bit map its discs
then have all sizes from a few pixels to the whole frame, in steps of about half a pixel."""


def centred_gaussian(
    shape_hw: tuple[int, int] = (FRAME, FRAME), sigma: float = SIGMA
) -> NDArray[np.float32]:
    """Return an isotropic Gaussian about the centre of the frame, scaled to [0, 1].

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
