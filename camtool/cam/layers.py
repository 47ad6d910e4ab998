"""Layers by name: those that the network calls, as its own code names them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from torch import fx, nn

from camtool.errors import ModelError, shorten
from camtool.models.splitting import UnsplitHead, WholeNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.models.classifier import Classifier

__all__ = ["check_layers", "check_linear", "default_layer", "find_layer", "layer_names"]

_SHOWN = 40


def layer_names(classifier: Classifier) -> dict[str, nn.Module]:
    """Return the layers that can be named, in the order of the network's code.

    A list of layers stands for its last.
    """
    root = _root(classifier)
    return {
        name: called
        for name, module in root.named_modules()
        if name and (called := _called(module)) is not None
    }


def find_layer(classifier: Classifier, name: str) -> nn.Module:
    """Return the layer of a name.

    Raises:
        ModelError: there is none; the message names those that exist, nearest first.
    """
    known = layer_names(classifier)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, len(known), cutoff=0.0)
    others = f" and {len(near) - _SHOWN:,} more" if len(near) > _SHOWN else ""
    raise ModelError(
        f"{classifier.name} has no layer '{shorten(name)}'; its layers, nearest first:"
        f" {', '.join(near[:_SHOWN])}{others}"
    )


def default_layer(classifier: Classifier) -> str | None:
    """Return the last layer with a grid, or None where this is the classifier's own features.

    Raises:
        ModelError: no layer of the network has a grid.
    """
    head = classifier.head
    if not isinstance(head, UnsplitHead):
        return None
    if head.layer is None:
        raise ModelError(f"{classifier.name}: no layer gives a grid of the picture")
    return head.layer


def check_layers(classifier: Classifier, names: Sequence[str]) -> None:
    """Refuse layers that the network does not have; no name asks for the last with a grid.

    Raises:
        ModelError: it has no such layer.
    """
    if not names:
        default_layer(classifier)
    for name in names:
        find_layer(classifier, name)


def check_linear(classifier: Classifier) -> None:
    """Refuse a network whose scores are not linear in its features.

    Raises:
        ModelError: they are not; the message says what lies between.
    """
    if isinstance(classifier.head, UnsplitHead):
        raise ModelError(classifier.head.reason)


def _root(classifier: Classifier) -> nn.Module:
    """The module in which names are those of the network's own code."""
    for module in classifier.features.modules():
        if isinstance(module, WholeNetwork):
            return module.network
        if isinstance(module, fx.GraphModule):
            return module
    return classifier.features


def _called(module: nn.Module) -> nn.Module | None:
    """The layer whose output is that of `module`; None for what holds layers and is not called."""
    if isinstance(module, nn.ModuleList):
        return _called(module[-1]) if len(module) else None
    return None if type(module) is nn.Module or isinstance(module, nn.ModuleDict) else module
