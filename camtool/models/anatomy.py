"""Finds, in any traceable network, the last grid of features and the head behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from camtool.errors import ModelError
from camtool.models.entered import name_entered
from camtool.models.layers import ChannelsFirst, PatchGrid
from camtool.models.tracing import trace_both_modes
from camtool.models.walk import REMEDY, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from camtool.models.heads import Head

__all__ = ["Anatomy", "dissect"]

_REMEDY_FOR_NEW_ENDS = "no pooling can be put on it: choose another backbone"


class Anatomy(NamedTuple):
    """The parts of a network.

    Attributes:
        features: a module from images (B, 3, H, W) to features (B, K, h, w).
        head: from features to logits; None where no exact map exists and a new end was asked for.
        channels: number of feature channels K.
        classes: number of classes C of the network.
        untrainable: why the features cannot be trained; None if they can.
    """

    features: nn.Module
    head: Head | None
    channels: int
    classes: int
    untrainable: str | None = None


def dissect(
    name: str,
    network: nn.Module,
    example: Tensor,
    leaf_modules: Sequence[type[nn.Module]] = (),
    leaf_functions: Sequence[Callable[..., Any]] = (),
    *,
    any_end: bool = False,
    output_stride: int | None = None,
) -> Anatomy:
    """Cut a network in evaluation mode into its features and its head.

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
    parts = (name, network, list(leaf_modules), list(leaf_functions))
    given = (network, example, output_stride)
    image_hw = (example.shape[2], example.shape[3])
    try:
        anatomy = _parts(given, *trace_both_modes(*parts, lambda w, _: w.to_features()))
    except ModelError:
        if not any_end:
            raise
    else:
        return anatomy

    def last_grid(walk: Walk, whole: fx.GraphModule) -> fx.Node:
        return walk.to_last_grid(_shapes(whole, example), image_hw)

    try:
        return _parts(given, *trace_both_modes(*parts, last_grid), own_end=False)
    except ModelError as error:
        # Another end is what was asked for already.
        raise ModelError(str(error).replace(REMEDY, _REMEDY_FOR_NEW_ENDS)) from error


def _shapes(whole: fx.GraphModule, example: Tensor) -> dict[fx.Node, tuple[int, ...]]:
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


def _parts(
    given: tuple[nn.Module, Tensor, int | None],
    cut: fx.GraphModule,
    walk: Walk,
    untrainable: str | None,
    own_end: bool = True,
) -> Anatomy:
    """Hold the parts of a cut network against the network itself on one input."""
    network, example, output_stride = given
    name_entered(cut)
    features = _in_order(cut, walk).eval()
    with torch.inference_mode():
        expected: Tensor = network(example)
        grid: Tensor = features(example)
    _check_grid(walk, grid)
    if output_stride is not None:
        _check_stride(walk.name, example, grid, output_stride)
    head = walk.head(expected.shape[1]).eval() if own_end else None
    if head is not None:
        _check_scores(walk.name, head, grid, expected)
    return Anatomy(features, head, grid.shape[1], expected.shape[1], untrainable)


def _in_order(cut: fx.GraphModule, walk: Walk) -> nn.Module:
    """The features with channels first, whatever order the network keeps."""
    if walk.order == "tokens":
        return PatchGrid(cut)
    return ChannelsFirst(cut) if walk.order == "nhwc" else cut


def _check_grid(walk: Walk, grid: Tensor) -> None:
    if grid.ndim != 4:
        raise ModelError(
            f"{walk.name}: its features have no grid (shape {tuple(grid.shape)}); {REMEDY}"
        )
    if grid.shape[2:] == (1, 1):
        raise ModelError(
            f"{walk.name}: {walk.features_label} leaves a grid of 1×1, on which nothing can be"
            f" localized; {REMEDY}"
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
        raise ModelError(f"{name}: its scores are not those of pooled features; {REMEDY}")
