"""Networks that are used as they are, because their end allows no exact map.

Their scores do not come from pooled features by a linear layer (VGG, MobileNetV3, vision
transformers with a class token). Methods that need no such head work on them all the same.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NoReturn, final

import torch
from torch import Tensor, nn

from camtool.errors import ModelError
from camtool.models.grids import layout_of
from camtool.models.heads import Head

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Unsplit", "WholeNetwork", "block_classes", "last_spatial_layer", "undivided"]


@final
class WholeNetwork(nn.Module):
    """A network whose features are its class scores: one number a class, on a grid of 1×1."""

    def __init__(self, network: nn.Module) -> None:
        """Take a module from images (B, 3, H, W) to scores (B, C)."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the scores as (B, C, 1, 1)."""
        scores: Tensor = self.network(images)
        return scores[:, :, None, None]


@final
class Unsplit(Head):
    """The head of an undivided network: it only passes the scores on, and knows no map."""

    def __init__(self, classes: int, layer: str | None, reason: str) -> None:
        """Take the number of classes, the last layer with a grid, and why there is no map."""
        super().__init__()
        self.layer = layer
        self.reason = reason
        self.register_buffer("zeros", torch.zeros(classes), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return the scores, shape (B, C)."""
        return features.flatten(1)

    def class_maps(self, features: Tensor, classes: Tensor) -> NoReturn:  # noqa: ARG002
        """Refuse.

        Raises:
            ModelError: always; the message says what in the network allows no exact map.
        """
        raise ModelError(self.reason)

    def bias(self) -> Tensor:
        """Return zeros: no part of the scores is known to lie outside a map."""
        return self.get_buffer("zeros")


def undivided(network: nn.Module, example: Tensor, reason: str) -> tuple[nn.Module, Head]:
    """Return features and head of a network that is left whole.

    Args:
        network: a module in evaluation mode, from images to scores.
        example: an input, by which the last layer with a grid is found.
        reason: why the network has no exact map.
    """
    with torch.no_grad():
        classes = network(example).shape[1]
    layer = last_spatial_layer(network, example)
    return WholeNetwork(network), Unsplit(classes, layer, reason).eval()


def block_classes(network: nn.Module) -> list[type[nn.Module]]:
    """Return the classes of the blocks that a network is stacked from.

    A block is a module of a class of its own that stands by number in a sequence or a list. Kept
    whole when the network is cut, blocks can be named as layers, and their code stays their own.
    """
    blocks = {
        type(module)
        for name, module in network.named_modules()
        if name.rpartition(".")[2].isdigit()
        and not type(module).__module__.startswith("torch.nn.")
        and next(module.children(), None) is not None
        # Subclasses of sequences are entered: a classifier's end is often one.
        and not isinstance(module, nn.Sequential)
    }
    return sorted(blocks, key=lambda kind: kind.__qualname__)


_SKIPPED = (nn.Identity, nn.Dropout, nn.Linear, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def last_spatial_layer(network: nn.Module, example: Tensor) -> str | None:
    """Return the name of the last layer with a grid that the scores depend on; None without one.

    Layers are taken in the order in which they end. Linear layers inside blocks, poolings to a
    fixed grid and layers that do nothing are passed over. In a vision transformer whose scores
    come from the class token, nobody uses the patches that leave the last attention: the layer is
    the normalisation that feeds it.
    """
    image_hw = (example.shape[2], example.shape[3])
    with torch.inference_mode(False), torch.enable_grad():
        seen, scores = _outputs(network, example.clone().requires_grad_())
        # No class and no sum of classes that a network may hold constant.
        score = (scores * torch.linspace(1, 2, scores.shape[1])).sum()
        with_grid = [(name, out) for name, out in reversed(seen) if _has_grid(out, image_hw)]
        # Of scores that depend on nothing (untrained networks with zero weights), not all layers
        # need be asked.
        if with_grid and _matters(score, with_grid[-1][1], image_hw):
            for name, output in with_grid:
                if _matters(score, output, image_hw):
                    return name
    return with_grid[0][0] if with_grid else None


def _outputs(network: nn.Module, example: Tensor) -> tuple[list[tuple[str, Tensor]], Tensor]:
    """The outputs of all layers by name, in the order in which they end, and the scores."""
    seen: list[tuple[str, Tensor]] = []

    def keep(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                seen.append((name, output))

        return hook

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if name and not isinstance(module, _SKIPPED):
                stack.callback(module.register_forward_hook(keep(name)).remove)
        scores: Tensor = network(example)
    return seen, scores


def _has_grid(output: Tensor, image_hw: tuple[int, int]) -> bool:
    layout = layout_of(tuple(output.shape), image_hw)
    return layout is not None and layout.cells > 1 and layout.fits(image_hw)


def _matters(score: Tensor, output: Tensor, image_hw: tuple[int, int]) -> bool:
    layout = layout_of(tuple(output.shape), image_hw)
    if layout is None or not (score.requires_grad and output.requires_grad):
        return False
    (gradient,) = torch.autograd.grad(score, output, retain_graph=True, allow_unused=True)
    return gradient is not None and bool(layout.grid(gradient).any())
