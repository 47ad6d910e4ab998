"""The walk back from the scores of a traced network to the grid of features behind them.

    scores ← [linear] ← [layer norm] ← global pooling ← features

Dropout, flattening and reshaping between these change no value in evaluation mode and are passed.
What else stands there makes the scores non-linear in the features, and no exact map exists; a new
end can still be put on the last grid.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from camtool.errors import ModelError
from camtool.models.grids import layout_of
from camtool.models.heads import Head, LinearHead, NormLinearHead, PerClassHead
from camtool.models.poolings import Gap, Gmp

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["REMEDY", "Walk"]

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_PASSED_MODULES = (nn.Identity, *_DROPOUTS, nn.Flatten)
_PASSED_FUNCTIONS: set[Callable[..., Any]] = {
    F.dropout,
    torch.flatten,
    torch.squeeze,
    torch.permute,
}
_PASSED_METHODS = {"flatten", "squeeze", "view", "reshape", "contiguous", "permute"}
REMEDY = (
    "a map that is exact needs global average pooling straight before the scores: train a GAP head"
    " on this backbone (model.pooling: {name: gap}), or use a gradient method"
)


class Walk:
    """The walk back from the scores; the head is known at its end."""

    def __init__(self, name: str, network: nn.Module, graph: fx.Graph) -> None:
        """Stand at the scores of `network`, whose graph this is; `name` is for errors."""
        self.name = name
        self.modules = dict(network.named_modules())
        self.network = network
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self.norm: tuple[Tensor | None, Tensor | None, float] | None = None
        self.pooling: Gap | Gmp = Gap()
        self.dropout = 0.0
        self.order: Literal["nchw", "nhwc", "tokens"] = "nchw"
        self.features_label = ""
        (output,) = (n for n in graph.nodes if n.op == "output")
        self.node = self._only(output.args[0], "the output")
        # In training some networks answer a named tuple: scores, scores of auxiliary heads.
        target = self.node.target
        if network.training and isinstance(target, type) and issubclass(target, tuple):
            self._step_back()

    def to_features(self) -> fx.Node:
        """Walk to the node whose value is pooled, and return it."""
        while not self._is_pooling():
            if not (self._is_passed() or self._take_linear() or self._take_norm()):
                raise ModelError(self._complaint())
            self._step_back()
        self._step_back()
        self.features_label = self._label()
        return self.node

    def to_last_grid(
        self, shapes: dict[fx.Node, tuple[int, ...]], image_hw: tuple[int, int]
    ) -> fx.Node:
        """Walk to the last grid, whatever lies between it and the scores, and return its node.

        `shapes` are those of the nodes' values for an input of `image_hw`. Poolings to a fixed size
        belong to the old end. The tokens of patches are a grid, too.
        """
        seen_tokens = behind_linear = False
        while True:
            shape = shapes.get(self.node, ())
            # Tokens before any linear layer are scores already, one of which is picked.
            if self._is_grid(shape, image_hw) and (behind_linear or len(shape) == 4):
                break
            seen_tokens |= len(shape) == 3
            behind_linear |= self._is_linear()
            self._is_pooling()  # which notes the order of the axes
            self._step_back()
        # Before tokens without a place, four axes are those of an attention, or of another stage.
        if seen_tokens and len(shape) == 4:
            raise ModelError(
                f"{self.name}: its scores come from tokens that have no place in the picture; no"
                " pooling can be put on them: choose another backbone"
            )
        if len(shape) == 3 or self.order == "tokens":
            self.order = "tokens" if len(shape) == 3 else "nchw"
        self.features_label = self._label()
        return self.node

    def head(self, classes: int) -> Head:
        """Return the head that was walked over; `classes` counts the maps if it has no weights."""
        head: Head
        if self.weight is None:
            head = PerClassHead(classes, self.pooling)
        elif self.norm is None:
            head = LinearHead(self.weight, self.bias, self.pooling)
        else:
            head = NormLinearHead(self.norm, self.weight, self.bias, self.pooling)
        head.dropout = self.dropout
        return head

    def _step_back(self) -> None:
        self.node = self._only(self.node.args[0] if self.node.args else None, self._label())

    def _is_grid(self, shape: tuple[int, ...], image_hw: tuple[int, int]) -> bool:
        if len(shape) == 4:
            return shape[2:] != (1, 1) and not self._belongs_to_an_end()
        layout = layout_of(shape, image_hw) if len(shape) == 3 else None
        # Patches that fill the picture: other three axes are channels and places, or a few queries.
        return (
            layout is not None
            and layout.cells > 1
            and image_hw[0] % layout.height == image_hw[1] % layout.width == 0
            and layout.fits(image_hw)
        )

    def _belongs_to_an_end(self) -> bool:
        module = self._module()
        return isinstance(
            module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d | nn.Dropout
        ) or self.node.target in (F.adaptive_avg_pool2d, F.adaptive_max_pool2d)

    def _only(self, value: object, place: str) -> fx.Node:
        if isinstance(value, fx.Node):
            return value
        raise ModelError(f"{self.name}: {place} does not come from one tensor; {REMEDY}")

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
                f" the scores come from it alone; {REMEDY}"
            )
        if self.node.target in ("mean", torch.mean):
            return (
                f"{self.name}: {self._label()} pools not all of a grid before the scores; {REMEDY}"
            )
        if isinstance(self._module(), nn.Linear | nn.Conv2d):
            self._skip_to_activation()
        return (
            f"{self.name}: {self._label()} lies between the pooling and the scores, so the scores"
            f" are not linear in the features; {REMEDY}"
        )

    def _skip_to_activation(self) -> None:
        """Go to what the second linear layer feeds: the non-linear layer is the real obstacle."""
        for user in self.node.users:
            if not isinstance(self.modules.get(str(user.target)), _PASSED_MODULES):
                self.node = user

    def _is_passed(self) -> bool:
        node = self.node
        if node.op == "call_module":
            module = self._module()
            if isinstance(module, _DROPOUTS):
                self.dropout = module.p
            return isinstance(module, _PASSED_MODULES)
        if node.target is F.dropout:
            given = (*node.args[1:2], node.kwargs.get("p"), 0.5)
            self.dropout = next(p for p in given if isinstance(p, float))
        if node.op == "call_method":
            return node.target in _PASSED_METHODS
        return node.op == "call_function" and node.target in _PASSED_FUNCTIONS

    def _is_linear(self) -> bool:
        return isinstance(self._module(), nn.Linear) or self.node.target is F.linear

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
        raise ModelError(f"{self.name}: {self._label()} has computed weights; {REMEDY}")

    def _is_pooling(self) -> bool:
        node, module = self.node, self._module()
        if isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
            self.pooling = Gap() if isinstance(module, nn.AdaptiveAvgPool2d) else Gmp()
            return _is_one(module.output_size)
        if node.op == "call_function" and node.target is F.adaptive_avg_pool2d:
            return _is_one(node.args[1])
        if node.target in ("mean", torch.mean):
            dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
            # Axis 1 alone is that of tokens (B, N, K); whether they are, the shape must tell.
            one = dims in (1, (1,), [1])
            self.order = "tokens" if one else "nhwc" if _axes(dims) == {1, 2} else "nchw"
            return self.order != "nchw" or _axes(dims) == {2, 3}
        return False


def _function_name(target: object) -> str:
    return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def _is_one(size: object) -> bool:
    return size in (1, (1, 1), [1, 1])


def _axes(dims: object) -> set[int]:
    """The axes of a reduction over (B, ·, ·, ·), counted from the front."""
    return {d % 4 for d in dims} if isinstance(dims, tuple | list) else set()
