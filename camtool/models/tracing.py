"""A network as a graph, and the way back in it from the scores to the features behind them.

    scores ← [linear] ← [layer norm] ← global pooling ← features
    scores ← sums of linear layers and batch norms ← global pooling ← features

Dropout, flattening and reshaping change no value in evaluation mode and are passed. What else
stands there allows no exact map; a new end can still be put on the last grid.

torch.fx writes down one run of the Python code. What that does only in training (dropout by
function, stochastic depth) would be written down as in evaluation, and training would silently go
without it. So the network is traced in both modes: layers whose operations differ are kept whole.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from camtool.errors import ModelError
from camtool.models.affine import AffineEnd, NotAffineError
from camtool.models.grids import layout_of
from camtool.models.heads import Head, LinearHead, NormLinearHead, PerClassHead
from camtool.models.poolings import Gap, Gmp

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, fx

T = TypeVar("T")
_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_PASSED_MODULES = (nn.Identity, *_DROPOUTS, nn.Flatten)
_PASSED_FUNCTIONS: set[Callable[..., Any]] = {
    F.dropout,
    torch.flatten,
    torch.squeeze,
    torch.permute,
}
_PASSED_METHODS = {"flatten", "squeeze", "view", "reshape", "contiguous", "permute"}
_REMEDY = (
    "a map that is exact needs global average pooling straight before the scores: train a GAP head"
    " on this backbone (model.pooling: {name: gap}), or use a gradient method"
)


@final
class NoExactMapError(ModelError):
    """A network has no exact map, or cannot be traced; what can be done is said after why."""

    def __init__(self, reason: str) -> None:
        """Take why: the network's name and what in it hinders."""
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        """Return the reason and the remedy."""
        return f"{self.reason}; {_REMEDY}"


class HeadTracer:
    """Goes back in a graph from the scores to the features; then it knows the head between them."""

    def __init__(self, name: str, network: nn.Module, graph: fx.Graph) -> None:
        """Stand at the scores of `network`, whose graph this is; `name` is for errors."""
        self.name = name
        self.modules = dict(network.named_modules())
        self.network = network
        self.weight: Tensor | None = None
        self.bias: Tensor | None = None
        self.sources: frozenset[int] = frozenset()
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
        """Go back to the node whose value is pooled, and return it."""
        scores = self.node
        while not self._is_pooling():
            if not (self._is_passed() or self._take_linear() or self._take_norm()):
                self._to_affine_end(scores)
                break
            self._step_back()
        self._step_back()
        self.features_label = self._label()
        return self.node

    def _to_affine_end(self, scores: fx.Node) -> None:
        """Go from the scores to the pooling, where they are affine in what is pooled."""
        self.weight = self.norm = None
        end = AffineEnd(
            self._at(self._is_passed), self._at(self._is_pooling), self._at(self._linear_layer),
            self._at(self._module),
        )  # fmt: skip
        try:
            linear = end.of(scores)
        except NotAffineError as error:
            self.node = error.node
            raise NoExactMapError(self._complaint()) from error
        if end.pooled is None or linear.weight is None:
            raise NoExactMapError(self._complaint())
        self.weight, self.bias = linear.weight.float(), linear.bias.float()
        self.sources = linear.sources
        self.node = end.pooled
        self._is_pooling()  # which notes the order of the axes

    def _at(self, question: Callable[[], T]) -> Callable[[fx.Node], T]:
        """Return a question about the node where this stands as one about any node."""

        def asked(node: fx.Node) -> T:
            self.node = node
            return question()

        return asked

    def to_last_grid(
        self, shapes: dict[fx.Node, tuple[int, ...]], image_hw: tuple[int, int]
    ) -> fx.Node:
        """Go back to the last grid, whatever lies between it and the scores, and return its node.

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
        """Return the head that was passed; `classes` counts the maps if it has no weights."""
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
        raise NoExactMapError(f"{self.name}: {place} does not come from one tensor")

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
                f" the scores come from it alone"
            )
        if self.node.target in ("mean", torch.mean):
            return f"{self.name}: {self._label()} pools not all of a grid before the scores"
        return (
            f"{self.name}: {self._label()} lies between the pooling and the scores, so the scores"
            f" are not linear in the features"
        )

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
        if (layer := self._linear_layer()) is not None:
            self.weight, self.bias = layer
        return self.weight is not None

    def _linear_layer(self) -> tuple[Tensor, Tensor | None] | None:
        """Return weight and bias of a linear layer; None where this is another node."""
        module = self._module()
        if isinstance(module, nn.Linear) or (
            isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        ):
            return module.weight.flatten(1), module.bias
        if self.node.op == "call_function" and self.node.target in (F.linear, torch.conv2d):
            weight, bias, *_ = (self._value(a) for a in (*self.node.args[1:3], None, None))
            return None if weight is None else (weight.flatten(1), bias)
        return None

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
        raise NoExactMapError(f"{self.name}: {self._label()} has computed weights")

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


Find = Callable[[HeadTracer, fx.GraphModule], fx.Node]
"""From the head tracer and the whole graph to the node of the features."""

_ROUNDS = 4  # layers within layers that are kept whole come to light one level a round


def trace(
    name: str, network: nn.Module, leaves: list[type[nn.Module]], functions: list[Any], find: Find
) -> tuple[fx.GraphModule, HeadTracer]:
    """Trace `network` in the mode it is in, and cut it behind the node that `find` returns.

    Args:
        name: how errors call the network.
        network: a module from images to scores.
        leaves: module classes that the tracer does not enter.
        functions: functions that the tracer does not enter.
        find: tells the node of the features.

    Returns:
        The graph up to the features, whose nodes know their `meta["path"]`, and the head tracer.

    Raises:
        ModelError: the network cannot be traced, or `find` refuses it.
    """
    tracer = NodePathTracer(leaf_modules=leaves, autowrap_functions=tuple(functions))
    try:
        graph = tracer.trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise NoExactMapError(f"{name}: cannot be traced ({error})") from error
    for node in graph.nodes:
        node.meta["path"] = tracer.node_to_qualname.get(node, "")
    whole = fx.GraphModule(tracer.root, graph, type(network).__name__)
    head_tracer = HeadTracer(name, network, whole.graph)
    node = find(head_tracer, whole)
    (output,) = (n for n in whole.graph.nodes if n.op == "output")
    output.args = (node,)
    whole.graph.eliminate_dead_code()
    whole.recompile()
    whole.delete_all_unused_submodules()
    return whole, head_tracer


def trace_both_modes(
    name: str, network: nn.Module, leaves: list[type[nn.Module]], functions: list[Any], find: Find
) -> tuple[fx.GraphModule, HeadTracer, str | None]:
    """Trace a network in evaluation mode so that its features act rightly in training too.

    Returns:
        The graph, the head tracer, and why the features cannot be trained; None if they can.

    Raises:
        ModelError: as `trace` in evaluation mode.
    """
    first = cut, head_tracer = trace(name, network, leaves, functions, find)
    kept = list(leaves)
    for _ in range(_ROUNDS):
        try:
            owners = _differing(cut, _in_training(name, network, kept, functions, find))
            if not owners:
                return cut, head_tracer, None
            if "" in owners:
                reason = "its own forward does another thing in training than in evaluation"
                return *first, reason
            kept += {type(network.get_submodule(owner)) for owner in owners}
            cut, head_tracer = trace(name, network, kept, functions, find)
        except ModelError as error:
            return *first, f"in training mode, {str(error).removeprefix(f'{name}: ')}"
    return *first, f"{sorted(owners)[0]} does another thing in training than in evaluation"


def _in_training(name: str, network: nn.Module, *arguments: Any) -> fx.GraphModule:  # noqa: ANN401
    network.train()
    try:
        return trace(name, network, *arguments)[0]
    finally:
        network.eval()


def _differing(one: fx.GraphModule, other: fx.GraphModule) -> set[str]:
    """Paths of the modules whose own operations are not the same in two graphs."""
    mine, others = _operations(one), _operations(other)
    return {path for path in mine.keys() | others.keys() if mine.get(path) != others.get(path)}


def _operations(cut: fx.GraphModule) -> dict[str, list[Any]]:
    """The operations of each module by its path, with constants but without their inputs."""
    found: dict[str, list[Any]] = defaultdict(list)
    for node in cut.graph.nodes:
        if node.op in ("call_function", "call_method", "call_module"):
            constants = fx.node.map_aggregate((node.args, node.kwargs), _constant)
            owner = node.meta["path"].rpartition(".")[0]
            found[owner].append((node.op, str(node.target), repr(constants)))
    return found


def _constant(value: Any) -> Any:  # noqa: ANN401 (whatever a graph holds)
    return None if isinstance(value, fx.Node | Tensor) else value


@final
class EnteredModule(nn.Module):
    """A module that the tracer entered; it has its weights, and is called with its own result."""

    def forward(self, result: Tensor) -> Tensor:
        """Return `result`, which hooks may see and replace."""
        return result


def name_entered(cut: fx.GraphModule) -> None:
    """Call each entered module with what its code makes, in place; no value changes.

    A graph has the operations of a module that the tracer entered, but no call of it. Without a
    call no hook sees it, and `inception4e` of GoogLeNet, say, could not be named as a layer.

    A module whose code makes several things that others use has no one result, and gets no name.
    Nodes know their `meta["path"]`, the place in the network's code that they come from.
    """
    entered = [name for name, module in cut.named_modules() if name and type(module) is nn.Module]
    # What lies within goes first: its call is then the result of what lies around it.
    for path in sorted(entered, key=lambda name: -name.count(".")):
        results = [n for n in cut.graph.nodes if _within(n, path) and _users_outside(n, path)]
        if len(results) != 1:
            continue
        (result,) = results
        outside = _users_outside(result, path)
        with cut.graph.inserting_after(result):
            call = cut.graph.call_module(path, (result,))
        call.meta["path"] = path
        for user in outside:
            user.replace_input_with(result, call)
        cut.get_submodule(path).__class__ = EnteredModule
    cut.recompile()


def _within(node: fx.Node, path: str) -> bool:
    return f"{node.meta.get('path', '')}.".startswith(f"{path}.")


def _users_outside(node: fx.Node, path: str) -> list[fx.Node]:
    return [user for user in node.users if not _within(user, path)]
