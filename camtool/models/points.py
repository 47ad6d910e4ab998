"""Places within a backbone's features, by name, and layers that are put there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from camtool.errors import ModelError
from camtool.models.layers import Grown

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["insert"]


def insert(classifier: Classifier, layers: dict[str, nn.Module]) -> None:
    """Put layers without weights behind places within the features of a classifier.

    The features then take a second argument, by default None; each layer is called with the tensor
    at its place, that argument, and its number in the order of `layers`.

    Args:
        classifier: in evaluation mode; changed in place, but the names of its weights stay.
        layers: by point, a layer's or a block's path in the backbone such as `layer3` or
            `blocks.5`; the last tensor that is made in it is meant. A layer is called as
            `layer(tensor, given, number)` and returns a tensor of the same shape.

    Raises:
        ModelError: there is no such place (the message names near ones), or no grid of features
            (B, K, h, w) is there.
    """
    features = classifier.features
    cut = features.backbone if isinstance(features, Grown) else features
    if not layers:
        return
    if not isinstance(cut, fx.GraphModule):
        raise ModelError(f"{classifier.name} keeps channels last, or tokens; no layer fits within")
    for number, (point, layer) in enumerate(layers.items()):
        _insert(cut, point, layer, number)
        _check_grid(classifier, point, layer)


def _insert(cut: fx.GraphModule, point: str, layer: nn.Module, number: int) -> None:
    node = _last_node(cut, point)
    given = _given(cut)
    name = f"inserted_{number}"
    cut.add_submodule(name, layer)
    with cut.graph.inserting_after(node):
        call = cut.graph.call_module(name, (node, given, number))
    node.replace_all_uses_with(call, lambda user: user is not call)
    cut.recompile()


def _check_grid(classifier: Classifier, point: str, layer: nn.Module) -> None:
    """Refuse tokens, and a grid whose channels come last: its sides are not the picture's."""
    seen: list[tuple[int, ...]] = []
    handle = layer.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    width, height = classifier.spec.size
    with torch.inference_mode():
        classifier.features(torch.zeros(1, 3, height, width))
    handle.remove()
    (shape,) = seen
    if len(shape) != 4 or abs(shape[2] * width - shape[3] * height) > max(width, height):
        raise ModelError(
            f"{classifier.name}: '{point}' gives {shape}, which is no grid of features"
            " (B, K, h, w): choose another layer"
        )


def _given(cut: fx.GraphModule) -> fx.Node:
    """The placeholder of the second argument, made when it is not there yet."""
    placeholders: list[fx.Node] = [n for n in cut.graph.nodes if n.op == "placeholder"]
    last = placeholders[-1]
    if len(placeholders) > 1:
        return last
    with cut.graph.inserting_after(last):
        return cut.graph.placeholder("given", default_value=None)


def _last_node(cut: fx.GraphModule, point: str) -> fx.Node:
    nodes: list[fx.Node] = [n for n in cut.graph.nodes if n.op != "output"]
    paths = {n: str(n.meta.get("path", "")) for n in nodes}
    found = [n for n, path in paths.items() if f"{path}.".startswith(f"{point}.")]
    if found:
        return found[-1]
    parts = [path.split(".") for path in paths.values() if path]
    known = {".".join(p[:depth]) for p in parts for depth in range(1, len(p) + 1)}
    near = difflib.get_close_matches(point, sorted(known), 3) or sorted({p[0] for p in parts})
    raise ModelError(f"no layer '{point}' in the backbone's features; there are {', '.join(near)}")
