"""Stages: where the features of a network can be cut in two, and the part behind a cut.

A network shrinks the picture step by step. The *stride* of a place is how many pixels of the input
lie between two neighbours of its grid: 4, 8, 16 and 32 in most. A place is a cut where all that
comes later depends on the picture through it alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from torch import Tensor, fx, nn

from camtool.errors import ModelError
from camtool.models.layers import FeatureRecorder, WithConv, last_node
from camtool.models.splitting import node_shapes

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier


@final
@dataclass(frozen=True, slots=True)
class Cut:
    """A place where a network can be cut.

    Attributes:
        point: the block's or layer's path in the network's own code; its last tensor is meant.
        channels: of the grid there.
        grid: (h, w) of it, for the network's own input size.
        stride: pixels of the input a step of the grid.
    """

    point: str
    channels: int
    grid: tuple[int, int]
    stride: int


class Rest(nn.Module):
    """The features of a network from a cut on; its weights are those of the network itself."""

    def __init__(self, graph: fx.GraphModule, extra: nn.Module | None) -> None:
        """Take the part of the graph, and the convolution that was put on the backbone, if any."""
        super().__init__()
        self.graph = graph
        self.extra = extra

    def forward(self, grid: Tensor) -> Tensor:
        """Return the features (B, K, h, w) of a grid at the cut."""
        features: Tensor = self.graph(grid)
        return features if self.extra is None else self.extra(features)


def cuts_of(classifier: Classifier) -> list[Cut]:
    """Return where the features can be cut, from the front to the back, the end left out.

    Of several places in one block the last is named.

    Example:
        >>> from camtool.models import ModelSettings
        >>> for cut in cuts_of(ModelSettings(weights="none").build()):
        ...     if "." not in cut.point[7:]:
        ...         print(cut.stride, cut.point, cut.channels, cut.grid)
        2 conv_stem 32 (112, 112)
        2 bn1 32 (112, 112)
        2 blocks.0 16 (112, 112)
        4 blocks.1 24 (56, 56)
        8 blocks.2 40 (28, 28)
        16 blocks.3 80 (14, 14)
        16 blocks.4 112 (14, 14)
        32 blocks.5 192 (7, 7)
        32 blocks.6 320 (7, 7)
        32 blocks 320 (7, 7)
        32 conv_head 1280 (7, 7)

    Raises:
        ModelError: the network was not traced: it ends in tokens, or keeps its channels last.
    """
    graph = _graph_of(classifier)
    width, height = classifier.spec.size
    weight = next(classifier.parameters())
    shapes = node_shapes(graph, weight.new_zeros(1, 3, height, width))
    nodes = list(graph.graph.nodes)
    output = next(n for n in nodes if n.op == "output")
    end = output.args[0]
    found: dict[str, Cut] = {}
    for node in _dominating(nodes):
        shape = shapes.get(node, ())
        if len(shape) != 4 or node is end or min(shape[2:]) < 2 or shape[2] * 2 > height:
            continue
        # Without padding a grid is somewhat smaller than the picture over its stride.
        stride = 2 ** round(math.log2(height / shape[2]))
        if abs(shape[3] * height - shape[2] * width) > max(width, height):
            continue
        if point := _shortest(graph, node):
            found[point] = Cut(point, shape[1], (shape[2], shape[3]), stride)
    return list(found.values())


def rest_behind(classifier: Classifier, point: str) -> Rest:
    """Return what of the features comes behind a cut.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(weights="none").build()
        >>> rest = rest_behind(network, "blocks.4")
        >>> rest(torch.zeros(1, 112, 14, 14)).shape
        torch.Size([1, 1280, 7, 7])

    Args:
        classifier: without layers inserted behind the point.
        point: see `Cut.point`.

    Raises:
        ModelError: there is no such point, or later parts look at what comes before it.
    """
    whole = _graph_of(classifier)
    node = last_node(whole, point)
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {node: graph.placeholder("grid")}
    behind = False
    for one in whole.graph.nodes:
        recorder = _recorder(whole, one)
        if behind and recorder:
            made[one] = made[one.all_input_nodes[0]]
        elif behind:
            if any(given not in made for given in one.all_input_nodes):
                raise ModelError(
                    f"{classifier.name}: cannot be cut at '{point}': what comes behind it looks at"
                    f" what comes before it too; it can be cut at {_listed(classifier)}"
                )
            made[one] = graph.node_copy(one, made.__getitem__)
        behind = behind or one is node
    features = classifier.features
    extra = features.extra if isinstance(features, WithConv) else None
    return Rest(fx.GraphModule(whole, graph), extra)


def _recorder(graph: fx.GraphModule, node: fx.Node) -> bool:
    called = node.op == "call_module" and graph.get_submodule(str(node.target))
    return isinstance(called, FeatureRecorder)


def _listed(classifier: Classifier) -> str:
    return ", ".join(f"{cut.point} (stride {cut.stride})" for cut in cuts_of(classifier)[-8:])


def _graph_of(classifier: Classifier) -> fx.GraphModule:
    features = classifier.features
    graph = features.backbone if isinstance(features, WithConv) else features
    if not isinstance(graph, fx.GraphModule):
        raise ModelError(
            f"{classifier.name}: its features are no chain of layers that could be cut (it ends in"
            " tokens, keeps channels last, or its scores are not linear in its last grid)"
        )
    return graph


def _dominating(nodes: list[fx.Node]) -> list[fx.Node]:
    """Return the nodes through which alone later ones depend on earlier ones."""
    place = {node: i for i, node in enumerate(nodes)}
    reach = [max((place[user] for user in node.users), default=i) for i, node in enumerate(nodes)]
    # Weights are read where they are used, whatever lies between; of what is given to a network,
    # all but the picture is for recorders.
    first = next(node for node in nodes if node.op == "placeholder")
    constant = [n.op == "get_attr" or (n.op == "placeholder" and n is not first) for n in nodes]
    found, farthest = [], -1
    for i, node in enumerate(nodes):
        if node.op not in ("placeholder", "output", "get_attr") and farthest <= i:
            found.append(node)
        if not constant[i]:
            farthest = max(farthest, reach[i])
    return found


def _shortest(graph: fx.GraphModule, node: fx.Node) -> str | None:
    """Return the shortest path whose last tensor is that of a node; None where there is none."""
    parts = str(node.meta.get("path", "")).split(".")
    for depth in range(1, len(parts) + 1):
        point = ".".join(parts[:depth])
        if point and last_node(graph, point) is node:
            return point
    return None
