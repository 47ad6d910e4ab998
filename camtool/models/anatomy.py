"""Finds, in any traceable network, the last grid of features and the head behind it.

The network is traced once (torch.fx) and its graph is walked back from the scores:

    scores ← [linear] ← [layer norm] ← global average pooling ← features

Dropout, flattening and reshaping between these change no value in evaluation mode and are passed.
What else stands there makes the scores non-linear in the features, and no exact map exists.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from camtool.errors import ModelError
from camtool.models.heads import Head, LinearHead, NormLinearHead, PerClassHead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["dissect"]

_PASSED_MODULES = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Flatten)
_PASSED_FUNCTIONS: set[Callable[..., Any]] = {
    F.dropout,
    torch.flatten,
    torch.squeeze,
    torch.permute,
}
_PASSED_METHODS = {"flatten", "squeeze", "view", "reshape", "contiguous", "permute"}
_REMEDY = (
    "a map that is exact needs global average pooling straight before the scores: train a GAP head"
    " on this backbone, or use a gradient method"
)


class _Walk:
    """The walk back from the scores; `head` and `features` are known at its end."""

    def __init__(self, name: str, network: nn.Module, graph: fx.Graph) -> None:
        self.name = name
        self.modules = dict(network.named_modules())
        self.network = network
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self.norm: tuple[Tensor | None, Tensor | None, float] | None = None
        self.channels_last = False
        self.features_label = ""
        (output,) = (n for n in graph.nodes if n.op == "output")
        self.node = self._only(output.args[0], "the output")

    def to_features(self) -> fx.Node:
        """Walk to the node whose value is pooled, and return it."""
        while not self._is_pooling():
            if not (self._is_passed() or self._take_linear() or self._take_norm()):
                raise ModelError(self._complaint())
            self.node = self._only(self.node.args[0] if self.node.args else None, self._label())
        self.node = self._only(self.node.args[0], self._label())
        self.features_label = self._label()
        return self.node

    def head(self, classes: int) -> Head:
        """Return the head that was walked over; `classes` counts the maps if it has no weights."""
        if self.weight is None:
            return PerClassHead(classes)
        if self.norm is None:
            return LinearHead(self.weight, self.bias)
        return NormLinearHead(self.norm, self.weight, self.bias)

    def _only(self, value: object, place: str) -> fx.Node:
        if isinstance(value, fx.Node):
            return value
        raise ModelError(f"{self.name}: {place} does not come from one tensor; {_REMEDY}")

    def _module(self) -> nn.Module | None:
        return self.modules[str(self.node.target)] if self.node.op == "call_module" else None

    def _label(self) -> str:
        module = self._module()
        if module is not None:
            return f"layer '{self.node.target}' ({type(module).__name__})"
        return f"operation '{self.node.name}' ({_function_name(self.node.target)})"

    def _complaint(self) -> str:
        if self.node.target is operator.getitem:
            return (
                f"{self.name}: {self._label()} takes one token out of the grid (a class token), and"
                f" the scores come from it alone; {_REMEDY}"
            )
        if isinstance(self._module(), nn.Linear | nn.Conv2d):
            self._skip_to_activation()
        return (
            f"{self.name}: {self._label()} lies between the pooling and the scores, so the scores"
            f" are not linear in the features; {_REMEDY}"
        )

    def _skip_to_activation(self) -> None:
        """Go to what the second linear layer feeds: the non-linear layer is the real obstacle."""
        for user in self.node.users:
            if not isinstance(self.modules.get(str(user.target)), _PASSED_MODULES):
                self.node = user

    def _is_passed(self) -> bool:
        node = self.node
        if node.op == "call_module":
            return isinstance(self._module(), _PASSED_MODULES)
        if node.op == "call_method":
            return node.target in _PASSED_METHODS
        return node.op == "call_function" and node.target in _PASSED_FUNCTIONS

    def _take_linear(self) -> bool:
        if self.weight is not None or self.norm is not None:
            return False
        module = self._module()
        if isinstance(module, nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        ):
            self.weight, self.bias = module.weight.flatten(1), module.bias
        elif self.node.op == "call_function" and self.node.target in (F.linear, torch.conv2d):
            values = [self._value(a) for a in (*self.node.args[1:3], None)]
            self.weight, self.bias = values[0], values[1]
        return self.weight is not None

    def _take_norm(self) -> bool:
        if self.weight is None or self.norm is not None:
            return False
        module = self._module()
        if isinstance(module, nn.LayerNorm):
            self.norm = (module.weight, module.bias, module.eps)
        elif self.node.op == "call_function" and self.node.target is F.layer_norm:
            given = dict(zip(("weight", "bias", "eps"), self.node.args[2:], strict=False))
            given |= self.node.kwargs
            eps = given.get("eps", 1e-5)
            self.norm = (self._value(given.get("weight")), self._value(given.get("bias")), eps)  # type: ignore[assignment]
        return self.norm is not None

    def _value(self, argument: object) -> Tensor | None:
        """The parameter that a graph's `get_attr` node stands for."""
        if argument is None:
            return None
        if isinstance(argument, fx.Node) and argument.op == "get_attr":
            value: Tensor = operator.attrgetter(str(argument.target))(self.network)
            return value
        raise ModelError(f"{self.name}: {self._label()} has computed weights; {_REMEDY}")

    def _is_pooling(self) -> bool:
        node, module = self.node, self._module()
        if isinstance(module, nn.AdaptiveAvgPool2d):
            return _is_one(module.output_size)
        if node.op == "call_function" and node.target is F.adaptive_avg_pool2d:
            return _is_one(node.args[1])
        if node.target in ("mean", torch.mean):
            dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
            self.channels_last = _axes(dims) == {1, 2}
            return _axes(dims) in ({2, 3}, {1, 2})
        return False


def _function_name(target: object) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _is_one(size: object) -> bool:
    return size in (1, (1, 1), [1, 1])


def _axes(dims: object) -> set[int]:
    """The axes of a reduction over (B, ·, ·, ·), counted from the front."""
    return {d % 4 for d in dims} if isinstance(dims, tuple | list) else set()


class _ChannelsFirst(nn.Module):
    """Features of a network that keeps its channels last, in the order (B, K, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Return the features with the channels moved forward."""
        result: Tensor = self.features(images).permute(0, 3, 1, 2)
        return result


def dissect(
    name: str,
    network: nn.Module,
    example: Tensor,
    leaf_modules: Sequence[type[nn.Module]] = (),
    leaf_functions: Sequence[Callable[..., Any]] = (),
) -> tuple[nn.Module, Head]:
    """Cut a network in evaluation mode into its features and its head.

    Args:
        name: how errors call the network.
        network: a module from images (B, 3, H, W) to scores (B, C).
        example: an input, on which the parts must give the network's own scores.
        leaf_modules: module classes that the tracer does not enter.
        leaf_functions: functions that the tracer does not enter.

    Returns:
        A module from images to features (B, K, h, w), and the head.

    Raises:
        ModelError: the network cannot be traced, has no global average pooling, or has a layer
            between pooling and scores that allows no exact map; the message names it.
    """
    tracer = NodePathTracer(
        leaf_modules=list(leaf_modules), autowrap_functions=tuple(leaf_functions)
    )
    try:
        graph = tracer.trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{name}: cannot be traced ({error}); {_REMEDY}") from error
    walk = _Walk(name, network, graph)
    node = walk.to_features()
    (output,) = (n for n in graph.nodes if n.op == "output")
    output.args = (node,)
    cut = fx.GraphModule(tracer.root, graph, type(network).__name__)
    cut.graph.eliminate_dead_code()
    cut.recompile()
    cut.delete_all_unused_submodules()
    features: nn.Module = cut
    if walk.channels_last:
        features = _ChannelsFirst(features)
    return _verified(name, network, example, features.eval(), walk)


def _verified(
    name: str, network: nn.Module, example: Tensor, features: nn.Module, walk: _Walk
) -> tuple[nn.Module, Head]:
    """Hold the parts against the network itself on one input."""
    with torch.inference_mode():
        expected: Tensor = network(example)
        grid: Tensor = features(example)
        if grid.ndim != 4:
            raise ModelError(
                f"{name}: its features have no grid (shape {tuple(grid.shape)}); {_REMEDY}"
            )
        if grid.shape[2:] == (1, 1):
            raise ModelError(
                f"{name}: {walk.features_label} leaves a grid of 1×1, on which nothing can be"
                f" localized; {_REMEDY}"
            )
        head = walk.head(expected.shape[1]).eval()
        actual = head(grid)
    if actual.shape != expected.shape or not torch.allclose(actual, expected, 1e-3, 1e-4):
        raise ModelError(f"{name}: its scores are not those of pooled features; {_REMEDY}")
    return features, head
