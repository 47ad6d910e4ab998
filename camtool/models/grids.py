"""Where the picture's grid lies in the output of a layer, whatever order the network keeps.

Convolutions give (B, K, h, w), some networks (B, h, w, K), vision transformers tokens (B, N, K):
first those that belong to no place (class token, registers), then the patches row by row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from camtool.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor


class Layout(NamedTuple):
    """How to come from the output of a layer to a grid (B, K, h, w), and back.

    Attributes:
        order: order of the axes: `nchw`, `nhwc` or `tokens`.
        height: number of rows h.
        width: number of columns w.
        prefix: tokens before the first patch.
    """

    order: str
    height: int
    width: int
    prefix: int = 0

    @property
    def cells(self) -> int:
        """Number of places h·w."""
        return self.height * self.width

    def fits(self, image_hw: tuple[int, int]) -> bool:
        """Whether the grid has the picture's proportions, up to what borders cost or add."""
        difference = self.height * image_hw[1] - self.width * image_hw[0]
        return abs(difference) <= 2 * max(image_hw)

    def grid(self, output: Tensor) -> Tensor:
        """Return the grid, shape (B, K, h, w), of an output of the layer; a view."""
        if self.order == "nchw":
            return output
        if self.order == "nhwc":
            return output.permute(0, 3, 1, 2)
        tokens = output[:, self.prefix :].transpose(1, 2)
        return tokens.reshape(*tokens.shape[:2], self.height, self.width)

    def replaced(self, output: Tensor, grid: Tensor) -> Tensor:
        """Return `output` with another grid; tokens without a place stay as they are."""
        if self.order == "nchw":
            return grid
        if self.order == "nhwc":
            return grid.permute(0, 2, 3, 1)
        result = output.clone()
        result[:, self.prefix :] = grid.flatten(2).transpose(1, 2)
        return result


def layout_of(shape: tuple[int, ...], image_hw: tuple[int, int]) -> Layout | None:
    """Find the grid in the output of a layer.

    Args:
        shape: shape of the output.
        image_hw: height and width of the network's input.

    Returns:
        The layout; None where the output holds no grid of the picture.
    """
    if len(shape) == 3:
        return _tokens(shape[1], image_hw)
    if len(shape) != 4:
        return None
    _, a, b, c = shape
    # The grid has the proportions of the picture; of equals, channels first are usual.
    if _strain(b, c, image_hw) <= _strain(a, b, image_hw):
        return Layout("nchw", b, c)
    return Layout("nhwc", a, b)


def _strain(rows: int, columns: int, image_hw: tuple[int, int]) -> float:
    return abs(math.log((rows * image_hw[1]) / (columns * image_hw[0])))


def _tokens(count: int, image_hw: tuple[int, int]) -> Layout | None:
    """The largest grid of square patches that `count` tokens have room for.

    Patches that fill the picture exactly go first: their number then tells the tokens without a
    place, of which there are few.
    """
    height, width = image_hw
    for exact in (True, False):
        for side in range(1, min(height, width) + 1):
            if exact and (height % side or width % side):
                continue
            rows, columns = height // side, width // side
            if rows * columns <= count:
                if count - rows * columns < max(16, rows * columns // 4):
                    return Layout("tokens", rows, columns, count - rows * columns)
                break
    return None


def require_layout(shape: tuple[int, ...], images: tuple[int, ...], layer: str) -> Layout:
    """Find the grid in the output of a layer that must have one.

    Args:
        shape: shape of the output.
        images: shape (B, 3, H, W) of the network's input.
        layer: how errors call the layer.

    Raises:
        ModelError: it has none of the picture's proportions, or none for each image (windows, into
            which some transformers cut a picture, are more); the message names the layer.
    """
    image_hw = (images[2], images[3])
    layout = layout_of(shape, image_hw)
    if layout is None or shape[0] != images[0] or not layout.fits(image_hw):
        raise ModelError(
            f"layer '{layer}' gives {tuple(shape)} for an input of {tuple(images)}: no grid of the"
            " picture; name a layer with one, such as the block around it, or none"
        )
    return layout
