"""A network as a graph that acts in training as the network does.

torch.fx writes down one run of the Python code. What the code does only in training (dropout by
`F.dropout(x, p, self.training)`, stochastic depth, batch norm by function) would be written down as
in evaluation, and training would silently go without it. So the network is traced in both modes:
layers whose operations differ are kept whole, as calls of the layer, which minds its own mode.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from torch import Tensor, fx, nn
from torchvision.models.feature_extraction import NodePathTracer

from camtool.errors import ModelError
from camtool.models.walk import REMEDY, Walk

__all__ = ["Find", "trace", "trace_both_modes"]

Find = Callable[[Walk, fx.GraphModule], fx.Node]
"""From the walk and the whole graph to the node of the features."""

_ROUNDS = 4  # layers within layers that are kept whole come to light one level a round


def trace(
    name: str, network: nn.Module, leaves: list[type[nn.Module]], functions: list[Any], find: Find
) -> tuple[fx.GraphModule, Walk]:
    """Trace `network` in the mode it is in, and cut it behind the node that `find` returns.

    Args:
        name: how errors call the network.
        network: a module from images to scores.
        leaves: module classes that the tracer does not enter.
        functions: functions that the tracer does not enter.
        find: tells the node of the features.

    Returns:
        The graph up to the features, whose nodes know their `meta["path"]`, and the walk.

    Raises:
        ModelError: the network cannot be traced, or `find` refuses it.
    """
    tracer = NodePathTracer(leaf_modules=leaves, autowrap_functions=tuple(functions))
    try:
        graph = tracer.trace(network)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ModelError(f"{name}: cannot be traced ({error}); {REMEDY}") from error
    for node in graph.nodes:
        node.meta["path"] = tracer.node_to_qualname.get(node, "")
    whole = fx.GraphModule(tracer.root, graph, type(network).__name__)
    walk = Walk(name, network, whole.graph)
    node = find(walk, whole)
    (output,) = (n for n in whole.graph.nodes if n.op == "output")
    output.args = (node,)
    whole.graph.eliminate_dead_code()
    whole.recompile()
    whole.delete_all_unused_submodules()
    return whole, walk


def trace_both_modes(
    name: str, network: nn.Module, leaves: list[type[nn.Module]], functions: list[Any], find: Find
) -> tuple[fx.GraphModule, Walk, str | None]:
    """Trace a network in evaluation mode so that its features act rightly in training too.

    Returns:
        The graph, the walk, and the reason why the features cannot be trained; None if they can.

    Raises:
        ModelError: as `trace` in evaluation mode.
    """
    first = cut, walk = trace(name, network, leaves, functions, find)
    kept = list(leaves)
    for _ in range(_ROUNDS):
        try:
            owners = _differing(cut, _in_training(name, network, kept, functions, find))
            if not owners:
                return cut, walk, None
            if "" in owners:
                reason = "its own forward does another thing in training than in evaluation"
                return *first, reason
            kept += {type(network.get_submodule(owner)) for owner in owners}
            cut, walk = trace(name, network, kept, functions, find)
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
