"""A network split into features and head, or kept whole where its end allows no exact map.

A network is split where its last grid of features is pooled. Where the scores do not come from
pooled features by a linear layer (VGG, MobileNetV3, vision transformers with a class token), the
network is used as it is: methods that need no such head work on it all the same.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, final

import torch
from torch import Tensor, fx, nn

from camtool.errors import ModelError
from camtool.models.grids import layout_of
from camtool.models.heads import Head
from camtool.models.layers import ChannelsFirst, PatchGrid
from camtool.models.tracing import HeadTracer, NoExactMapError, name_entered, trace_both_modes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camtool.models.heads import Head

_REMEDY_FOR_NEW_ENDS = "no pooling can be put on it: choose another backbone"


class NetworkParts(NamedTuple):
    """The parts of a network.

    Attributes:
        features: a module from images (B, 3, H, W) to features (B, K, h, w).
        head: from features to logits; None where no exact map exists and a new end was asked for.
        channels: number of feature channels K.
        classes: number of classes C of the network.
        untrainable: why the features cannot be trained; None if they can.
        sources: addresses of the network's weights that the head's were made of, where it has not
            taken over its last layer itself.
    """

    features: nn.Module
    head: Head | None
    channels: int
    classes: int
    untrainable: str | None = None
    sources: frozenset[int] = frozenset()


def split_network(
    name: str,
    network: nn.Module,
    example: Tensor,
    leaf_modules: Sequence[type[nn.Module]] = (),
    leaf_functions: Sequence[Callable[..., Any]] = (),
    *,
    any_end: bool = False,
    output_stride: int | None = None,
) -> NetworkParts:
    """Split a network in evaluation mode into its features and its head.

    Args:
        name: how errors call the network.
        network: a module from images (B, 3, H, W) to scores (B, C).
        example: an input, on which the parts must give the network's own scores.
        leaf_modules: module classes that the tracer does not enter.
        leaf_functions: functions that the tracer does not enter.
        any_end: take also a network whose end allows no exact map; its head is then None.
        output_stride: side of the input over side of the grid that is asked for, if any is.

    Raises:
        ModelError: the network cannot be traced, has no global average pooling, or has a layer
            between pooling and scores that allows no exact map; the message names it.
    """
    traced = (name, network, list(leaf_modules), list(leaf_functions))
    given = (network, example, output_stride)
    image_hw = (example.shape[2], example.shape[3])
    try:
        return _checked_parts(given, *trace_both_modes(*traced, lambda h, _: h.to_features()))
    except ModelError:
        if not any_end:
            raise

    def last_grid(head_tracer: HeadTracer, whole: fx.GraphModule) -> fx.Node:
        return head_tracer.to_last_grid(node_shapes(whole, example), image_hw)

    try:
        return _checked_parts(given, *trace_both_modes(*traced, last_grid), own_end=False)
    except NoExactMapError as error:
        # Another end is what was asked for already.
        raise ModelError(f"{error.reason}; {_REMEDY_FOR_NEW_ENDS}") from error


def node_shapes(whole: fx.GraphModule, example: Tensor) -> dict[fx.Node, tuple[int, ...]]:
    """Shapes of the tensors at all nodes of a graph, for one input."""
    shapes: dict[fx.Node, tuple[int, ...]] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401 (a value of the network)
            value = super().run_node(n)
            if isinstance(value, Tensor):
                shapes[n] = tuple(value.shape)
            return value

    # Shapes do not depend on the mode, but batch norm would learn from the example in training.
    mode = whole.training
    whole.eval()
    with torch.inference_mode():
        Recorder(whole).run(example)
    whole.train(mode)
    return shapes


def _checked_parts(
    given: tuple[nn.Module, Tensor, int | None],
    cut: fx.GraphModule,
    head_tracer: HeadTracer,
    untrainable: str | None,
    own_end: bool = True,
) -> NetworkParts:
    """Hold the parts of a cut network against the network itself on one input."""
    network, example, output_stride = given
    name_entered(cut)
    features = _in_order(cut, head_tracer).eval()
    with torch.inference_mode():
        expected: Tensor = network(example)
        grid: Tensor = features(example)
    _check_grid(head_tracer, grid)
    if output_stride is not None:
        _check_stride(head_tracer.name, example, grid, output_stride)
    head = head_tracer.head(expected.shape[1]).eval() if own_end else None
    if head is not None:
        _check_scores(head_tracer.name, head, grid, expected)
    channels, classes = grid.shape[1], expected.shape[1]
    sources = head_tracer.sources if own_end else frozenset()
    return NetworkParts(features, head, channels, classes, untrainable, sources)


def _in_order(cut: fx.GraphModule, head_tracer: HeadTracer) -> nn.Module:
    """The features with channels first, whatever order the network keeps."""
    if head_tracer.order == "tokens":
        return PatchGrid(cut)
    return ChannelsFirst(cut) if head_tracer.order == "nhwc" else cut


def _check_grid(head_tracer: HeadTracer, grid: Tensor) -> None:
    if grid.ndim != 4:
        raise NoExactMapError(
            f"{head_tracer.name}: its features have no grid (shape {tuple(grid.shape)})"
        )
    if grid.shape[2:] == (1, 1):
        raise NoExactMapError(
            f"{head_tracer.name}: {head_tracer.features_label} leaves a grid of 1×1, on which"
            " nothing can be localized"
        )


def _check_stride(name: str, example: Tensor, grid: Tensor, output_stride: int) -> None:
    actual = round(example.shape[3] / grid.shape[3])
    if actual != output_stride:
        raise ModelError(
            f"{name}: its output stride is {actual} whatever is asked; set model.output_stride to"
            f" {actual} or leave it out"
        )


def _check_scores(name: str, head: Head, grid: Tensor, expected: Tensor) -> None:
    with torch.inference_mode():
        actual = head(grid)
    if actual.shape != expected.shape or not torch.allclose(actual, expected, 1e-3, 1e-4):
        raise NoExactMapError(f"{name}: its scores are not those of pooled features")


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
class UnsplitHead(Head):
    """The head of an keep_whole network: it only passes the scores on, and knows no map."""

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


def keep_whole(network: nn.Module, example: Tensor, reason: str) -> tuple[nn.Module, Head]:
    """Return features and head of a network that is left whole.

    Args:
        network: a module in evaluation mode, from images to scores.
        example: an input, by which the last layer with a grid is found.
        reason: why the network has no exact map.
    """
    with torch.no_grad():
        classes = network(example).shape[1]
    layer = last_spatial_layer(network, example)
    return WholeNetwork(network), UnsplitHead(classes, layer, reason).eval()


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
