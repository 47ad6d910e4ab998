"""Layers of a network by name, and their features and gradients; the network is left as it was."""

from __future__ import annotations

import difflib
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, fx, nn

from camtool.errors import ModelError, shorten
from camtool.models.grids import Layout, require_layout
from camtool.models.splitting import UnsplitHead, WholeNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from camtool.models.classifier import Classifier, Forward

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


_HALF = (torch.float16, torch.bfloat16)


def check_overflow(
    classifier: Classifier, place: str, values: torch.Tensor, kind: torch.dtype | None = None
) -> None:
    """Refuse infinities and NaNs of a network that works in half precision.

    Args:
        classifier: the network.
        place: what the values are, for the message.
        values: any shape.
        kind: what the network works in; by default the type of the values.

    Raises:
        ModelError: there are some.
    """
    kind = kind or values.dtype
    if kind in _HALF and not values.isfinite().all():
        name = str(kind).removeprefix("torch.")
        remedy = "float32" if kind == torch.bfloat16 else "bfloat16 or float32"
        raise ModelError(f"{classifier.name}: {place} overflows in {name}: use {remedy}")


@contextmanager
def capture(
    classifier: Classifier, layers: Sequence[str] = (), *, gradients: bool = True
) -> Iterator[Capture]:
    """Watch layers of a network, within the `with` alone.

    Hooks live as long as the `with`, and act on the passes of this thread only. Gradients are had
    by `torch.autograd.grad` at the outputs of the layers, which are made the leaves of the graph:
    nothing before the first layer is differentiated, frozen parameters do not matter, and no
    `.grad` of the user is written. Works inside `torch.no_grad` and `torch.inference_mode`.

    Args:
        classifier: the network.
        layers: names of layers; none means the last one with a grid.
        gradients: whether gradients will be asked for; otherwise no graph is kept.

    Raises:
        ModelError: no such layer; the message names those that exist.
    """
    default = default_layer(classifier) if not layers else None
    names = tuple(layers) or ((default,) if default is not None else ())
    watched = Capture(classifier, names, gradients)
    modules = [find_layer(classifier, name) for name in names]
    # Weights that autocast cast in inference mode could not take part in a graph.
    torch.clear_autocast_cache()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for place, module in enumerate(modules):
            handle = module.register_forward_hook(watched.hook(place))
            stack.callback(handle.remove)
        yield watched


@final
class Capture:
    """The layers under watch; made by `capture`."""

    def __init__(self, classifier: Classifier, names: tuple[str, ...], gradients: bool) -> None:
        """Take the network, the names of the layers (none: its features), and the purpose."""
        self.classifier = classifier
        self.names = names
        self.gradients_wanted = gradients
        self._outputs: dict[int, Tensor] = {}
        self._logits = torch.empty(0)
        self._layouts: list[Layout] = []
        self._replacement: Tensor | None = None
        self._calls: dict[int, int] = {}
        self._calls_in_scores: dict[int, int] = {}
        self._watching = True
        self._thread = threading.get_ident()

    def hook(self, place: int) -> Callable[[nn.Module, object, object], Tensor | None]:
        """Return a forward hook for the layer at a place among the names."""

        def keep(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            if threading.get_ident() != self._thread or not self._watching:
                return None
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise ModelError(
                    f"layer '{self.names[place]}' gives a {kind}, not one tensor: name a layer"
                    " around it, or within"
                )
            self._calls[place] = self._calls.get(place, 0) + 1
            if self._replacement is not None:
                # A layer that is called several times counts by its last call.
                last = self._calls[place] == self._calls_in_scores[place]
                return self._replacement if last else None
            return self._keep(place, output)

        return keep

    def scores(self, images: Tensor, forward: Forward | None = None) -> Tensor:
        """Run the network, keep the outputs of the layers, and return the logits, shape (B, C).

        Args:
            images: input, shape (B, 3, H, W).
            forward: what the network answered to `images`: spares the pass where its features
                are the layer.

        Raises:
            ModelError: a layer has no grid or was not called.
        """
        self._outputs.clear()
        self._calls.clear()
        logits: Tensor
        if self.names:
            logits = self.classifier(_ordinary(images)).logits
        else:
            features = (forward or self.classifier(_ordinary(images))).features
            with torch.set_grad_enabled(self.gradients_wanted):
                logits = self.classifier.head(self._keep(0, _ordinary(features).detach()))
        # A layer in a part that switches gradients on for itself must not leave them so.
        torch.set_grad_enabled(False)
        for place, name in enumerate(self.names):
            if place not in self._outputs:
                raise ModelError(
                    f"layer '{name}' is not used when the network classifies: name another"
                )
        self._layouts = [
            require_layout(self._outputs[i].shape, images.shape, name)
            for i, name in enumerate(self._labels())
        ]
        self._calls_in_scores = dict(self._calls)
        for place, name in enumerate(self._labels()):
            check_overflow(self.classifier, f"layer '{name}'", self._outputs[place])
        self._logits = logits
        return logits.detach()

    def grids(self) -> list[Tensor]:
        """Return the features at each layer, float32 of shape (B, K, h, w)."""
        return [
            layout.grid(self._outputs[i].detach()).float() for i, layout in enumerate(self._layouts)
        ]

    def gradients(self, classes: Tensor) -> list[Tensor]:
        """Return the gradient of one class score an image at each layer, float32 (B, K, h, w).

        Images do not touch each other in evaluation mode, so the gradient of the sum over a batch
        holds that of each image's own score. Can be asked again for other classes.

        Args:
            classes: a class index for each image, int64 of shape (B,).

        Raises:
            ModelError: the scores do not depend on a layer in a way that can be differentiated.
        """
        outputs = [self._outputs[i] for i in range(len(self._layouts))]
        found: tuple[Tensor | None, ...] = (None,)
        if self._logits.requires_grad:
            with torch.enable_grad():
                score = self._logits.gather(1, classes[:, None]).sum()
            found = torch.autograd.grad(score, outputs, retain_graph=True, allow_unused=True)
        grids = []
        for gradient, layout, name in zip(found, self._layouts, self._labels(), strict=False):
            if gradient is None:
                raise ModelError(
                    f"{self.classifier.name}: its scores have no gradient at layer '{name}'; use a"
                    " method without gradients, or name another layer"
                )
            check_overflow(self.classifier, f"the gradient at layer '{name}'", gradient)
            self._check_read(gradient, layout, name)
            grids.append(layout.grid(gradient).float())
        return grids

    def _check_read(self, gradient: Tensor, layout: Layout, name: str) -> None:
        """Refuse tokens of which the scores read the class token alone."""
        if layout.prefix and not layout.grid(gradient).any() and gradient.any():
            default = default_layer(self.classifier) or "features"
            raise ModelError(
                f"{self.classifier.name}: its scores read the class token alone of layer '{name}',"
                f" and no patch: name a layer before it; by default it is '{default}'"
            )

    def plain_scores(self, images: Tensor) -> Tensor:
        """Return the logits, shape (B, C), of other images; what was kept stays."""
        self._watching = False
        try:
            logits: Tensor = self.classifier(_ordinary(images)).logits
            return logits
        finally:
            self._watching = True

    def rescored(self, images: Tensor, grid: Tensor) -> Tensor:
        """Return the logits, shape (B, C), with another grid in place of the only layer's own.

        Args:
            images: B copies of one image that `scores` has seen alone.
            grid: features for the layer, shape (B, K, h, w).
        """
        output = self._outputs[0].detach().expand(len(grid), *self._outputs[0].shape[1:])
        replaced = self._layouts[0].replaced(output, grid.to(output.dtype))
        if not self.names:
            logits: Tensor = self.classifier.head(replaced)
            return logits
        self._replacement = replaced
        self._calls.clear()
        try:
            again: Tensor = self.classifier(_ordinary(images)).logits
            return again
        finally:
            self._replacement = None

    def _keep(self, place: int, output: Tensor) -> Tensor:
        """Remember an output; what goes on is a copy, which may be overwritten in place."""
        if output.requires_grad:
            # Behind another layer that is watched: already in the graph.
            self._outputs[place] = output
            return output.clone()
        leaf = output.detach()
        if self.gradients_wanted:
            leaf.requires_grad_()
            torch.set_grad_enabled(True)
        self._outputs[place] = leaf
        return leaf.clone()

    def _labels(self) -> tuple[str, ...]:
        return self.names or ("features",)


def _ordinary(tensor: Tensor) -> Tensor:
    """The tensor as one that may take part in a graph: of inference mode, a copy."""
    return tensor.clone() if tensor.is_inference() else tensor
