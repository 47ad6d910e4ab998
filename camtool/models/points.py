"""Places within a backbone's features, by name, and layers that are put there."""

from __future__ import annotations

import difflib

from torch import fx, nn

from camtool.errors import ModelError
from camtool.models.layers import Grown

__all__ = ["insert"]


def insert(features: nn.Module, point: str, layer: nn.Module, number: int) -> None:
    """Put a layer without weights behind a place within the features of a network.

    The features then take a second argument, by default None, and the layer is called with the
    tensor at its place, that argument, and its number.

    Args:
        features: of a `Classifier`; changed in place, but the names of its weights stay.
        point: a layer's or a block's path in the backbone, such as `layer3` or `blocks.5`; the
            last tensor that is made in it is meant.
        layer: called as `layer(tensor, given, number)`, returns a tensor of the same shape.
        number: the layer's number among the inserted.

    Raises:
        ModelError: there is no such place; the message names near ones.
    """
    cut = features.backbone if isinstance(features, Grown) else features
    if not isinstance(cut, fx.GraphModule):
        raise ModelError(f"'{point}': this backbone keeps its channels last; no layer fits within")
    node = _last_node(cut, point)
    given = _given(cut)
    name = f"inserted_{number}"
    cut.add_submodule(name, layer)
    with cut.graph.inserting_after(node):
        call = cut.graph.call_module(name, (node, given, number))
    node.replace_all_uses_with(call, lambda user: user is not call)
    cut.recompile()


def _given(cut: fx.GraphModule) -> fx.Node:
    """The placeholder of the second argument, made when it is not there yet."""
    *before, last = (n for n in cut.graph.nodes if n.op == "placeholder")
    if before:
        found: fx.Node = last
        return found
    with cut.graph.inserting_after(last):
        made: fx.Node = cut.graph.placeholder("given", default_value=None)
    return made


def _last_node(cut: fx.GraphModule, point: str) -> fx.Node:
    paths = {n: str(n.meta.get("path", "")) for n in cut.graph.nodes if n.op != "output"}
    found = [n for n, path in paths.items() if f"{path}.".startswith(f"{point}.")]
    if found:
        return found[-1]
    parts = [path.split(".") for path in paths.values() if path]
    known = {".".join(p[:depth]) for p in parts for depth in range(1, len(p) + 1)}
    near = difflib.get_close_matches(point, sorted(known), 3) or sorted({p[0] for p in parts})
    raise ModelError(f"no layer '{point}' in the backbone's features; there are {', '.join(near)}")
