"""Layers that are put on a backbone or into it, and how new ones start."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar, final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from camtool.errors import ModelError
from camtool.models.grids import require_layout

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def published_start(layer: _Layer) -> _Layer:
    """Draw the weights from N(0, 0.01²) and set the bias to 0, as AlexNet, VGG and NIN start."""
    nn.init.normal_(layer.weight, std=0.01)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolution(inputs: int, units: int, groups: int = 1, kernel: int = 3) -> nn.Sequential:
    """Return a convolution that keeps the grid, and its ReLU."""
    layer = nn.Conv2d(inputs, units, kernel, padding=kernel // 2, groups=groups)
    return nn.Sequential(published_start(layer), nn.ReLU(inplace=True))


class ChannelsFirst(nn.Module):
    """Features of a network that keeps its channels last, in the order (B, K, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        """Wrap features of shape (B, h, w, K)."""
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Return the features with the channels moved forward."""
        result: Tensor = self.features(images).permute(0, 3, 1, 2)
        return result


class PatchGrid(nn.Module):
    """Features of a network that ends in tokens: those of patches, in the order (B, K, h, w)."""

    def __init__(self, features: nn.Module) -> None:
        """Wrap features of shape (B, N, K); class token and registers come first, if any."""
        super().__init__()
        self.features = features

    def forward(self, images: Tensor) -> Tensor:
        """Return the patches where they lie in the picture.

        Raises:
            ModelError: the number of tokens is that of no grid of the picture.
        """
        tokens: Tensor = self.features(images)
        layout = require_layout(tokens.shape, images.shape, "that gives the tokens")
        return layout.grid(tokens)


class WithConv(nn.Module):
    """A backbone's features and the convolution put on them."""

    def __init__(self, backbone: nn.Module, extra: nn.Module) -> None:
        """Join the two."""
        super().__init__()
        self.backbone = backbone
        self.extra = extra

    def forward(self, images: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        """Return the features behind the convolution; what is `given` goes to inserted layers."""
        result: Tensor = self.extra(self.backbone(images, *given))
        return result


@final
class DilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of stride 1 and dilation d that trains fast on a CPU.

    It keeps the grid, padded with 0. The plain one's backward pass on a CPU takes a slow path: with
    output stride 16 it was a third of a training step of EfficientNet-Lite0. A convolution of
    dilation d is the ordinary one on each of d² sub-grids (every d-th row and column), and that is
    not slow. `scripts/bench/dilation.py` compares the two.
    """

    def __init__(self, plain: nn.Conv2d) -> None:
        """Take over the weights and the shape of `plain`."""
        (kernel, _), (step, _) = plain.kernel_size, plain.dilation
        super().__init__(
            plain.in_channels, plain.in_channels, kernel,
            padding=kernel // 2 * step, dilation=step, groups=plain.groups, device="meta",
        )  # fmt: skip
        self.weight, self.bias = plain.weight, plain.bias
        self.train(plain.training)

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolved grid, of the same shape (B, K, h, w)."""
        if input.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(input)
        return self.by_subgrids(input)

    def by_subgrids(self, grid: Tensor) -> Tensor:
        """Convolve every d-th row and column by itself, and put them back in place."""
        b, k, height, width = grid.shape
        d = self.dilation[0]
        last = F.pad(grid.permute(0, 2, 3, 1), (0, 0, 0, -width % d, 0, -height % d))
        h, w = last.shape[1] // d, last.shape[2] // d
        # (B, h, d, w, d, K) → (d·d·B, h, w, K): the channels stay last, as the kernels like it.
        parts = last.reshape(b, h, d, w, d, k).permute(2, 4, 0, 1, 3, 5).reshape(-1, h, w, k)
        done = F.conv2d(
            parts.permute(0, 3, 1, 2), self.weight, self.bias,
            padding=self.kernel_size[0] // 2, groups=self.groups,
        ).permute(0, 2, 3, 1)  # fmt: skip
        whole = done.reshape(d, d, b, h, w, k).permute(2, 3, 0, 4, 1, 5).reshape(b, h * d, w * d, k)
        return whole[:, :height, :width].contiguous().permute(0, 3, 1, 2)


def replace_dilated(network: nn.Module) -> None:
    """Replace, in place, the convolutions within a network that `DilatedDepthwise` can stand for.

    Weights and their names stay.
    """
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d) and _can_stand_for(module):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, DilatedDepthwise(module))


def _can_stand_for(module: nn.Conv2d) -> bool:
    kernel, step = module.kernel_size[0], module.dilation[0]
    if step == 1 or kernel % 2 == 0 or module.padding_mode != "zeros":
        return False
    # timm's "same" convolutions pad as they run; at stride 1 that is the same padding.
    same = type(module).__name__ == "Conv2dSame" or module.padding == (kernel // 2 * step,) * 2
    square = module.kernel_size == (kernel, kernel) and module.dilation == (step, step)
    depthwise = module.groups == module.in_channels == module.out_channels
    return same and square and depthwise and module.stride == (1, 1)


@final
class FeatureRecorder(nn.Module):
    """Writes the tensor that passes down into a list, if one is given."""

    def forward(self, features: Tensor, notes: list[Tensor] | None, number: int) -> Tensor:  # noqa: ARG002
        """Return the features as they are."""
        if notes is not None:
            notes.append(features)
        return features


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
    cut = features.backbone if isinstance(features, WithConv) else features
    if not layers:
        return
    if not isinstance(cut, fx.GraphModule):
        raise ModelError(f"{classifier.name} keeps channels last, or tokens; no layer fits within")
    for number, (point, layer) in enumerate(layers.items()):
        _insert(cut, point, layer, number)
        _check_grid(classifier, point, layer)


def _insert(cut: fx.GraphModule, point: str, layer: nn.Module, number: int) -> None:
    node = last_node(cut, point)
    given = _given(cut)
    name = f"inserted_{sum(n.startswith('inserted_') for n, _ in cut.named_children())}"
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


def last_node(cut: fx.GraphModule, point: str) -> fx.Node:
    """Return the last node that is made in a layer or block.

    Raises:
        ModelError: there is none; the message names near ones.
    """
    nodes: list[fx.Node] = [n for n in cut.graph.nodes if n.op != "output"]
    paths = {n: str(n.meta.get("path", "")) for n in nodes}
    found = [n for n, path in paths.items() if f"{path}.".startswith(f"{point}.")]
    if found:
        return found[-1]
    parts = [path.split(".") for path in paths.values() if path]
    known = {".".join(p[:depth]) for p in parts for depth in range(1, len(p) + 1)}
    near = difflib.get_close_matches(point, sorted(known), 3) or sorted({p[0] for p in parts})
    raise ModelError(f"no layer '{point}' in the backbone's features; there are {', '.join(near)}")
