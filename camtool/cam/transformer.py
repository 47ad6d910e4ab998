"""A vision transformer under watch: its attentions, and the blocks that hold them."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from camtool.cam.attention import AttentionTap
from camtool.errors import ModelError
from camtool.models.grids import Layout, layout_of

if TYPE_CHECKING:
    from torch.utils.hooks import RemovableHandle

    from camtool.models.classifier import Classifier

__all__ = ["Attended", "attend", "scores_of_tokens", "to_patches"]


class Block(NamedTuple):
    """The outermost layer that holds one attention, and the tokens (B, N, K) it gave."""

    module: nn.Module
    tokens: Tensor


class Attended(NamedTuple):
    """What one pass of a transformer showed.

    Attributes:
        maps: attention of each block, (B, heads, N, N), in the order of the pass.
        blocks: the blocks, one for each attention.
        layout: where the patches lie among the N tokens.
        logits: the network's answer, shape (B, C).
    """

    maps: list[Tensor]
    blocks: list[Block]
    layout: Layout
    logits: Tensor


def attend(classifier: Classifier, images: Tensor, *, leaves: bool = False) -> Attended:
    """Run a network and keep its attentions over all tokens of the picture.

    Args:
        classifier: the network.
        images: shape (B, 3, H, W).
        leaves: make the attentions leaves of the graph; to be called with gradients on.

    Raises:
        ModelError: no attention of the network is over all tokens of the picture.
    """
    tap = AttentionTap(leaves=leaves)
    seen: dict[int, Block] = {}
    with ExitStack() as stack:
        for module in classifier.modules():
            for handle in _watch(module, tap, seen):
                stack.callback(handle.remove)
        with tap:
            logits = classifier(images).logits
    pairs = [(tap.maps[number], block) for number, block in sorted(seen.items())]
    layout = None if tap.mixed else _layout(pairs, images)
    if layout is None:
        raise ModelError(
            f"{classifier.name} has no attention of all parts of the picture to all (windows, and"
            " fewer keys than queries, do not count): use another method"
        )
    maps, blocks = zip(*pairs, strict=True)
    return Attended(list(maps), list(blocks), layout, logits)


def _layout(pairs: list[tuple[Tensor, Block]], images: Tensor) -> Layout | None:
    """The layout of the tokens if every attention is over all of them, and of whole images."""
    if not pairs:
        return None
    layout = layout_of(tuple(pairs[-1][1].tokens.shape), (images.shape[2], images.shape[3]))
    count = 0 if layout is None else layout.cells + layout.prefix
    whole = all(
        m.shape[0] == len(images) and m.shape[2] == count == b.tokens.shape[1] for m, b in pairs
    )
    return layout if whole else None


def _watch(module: nn.Module, tap: AttentionTap, seen: dict[int, Block]) -> list[RemovableHandle]:
    """Note a module that holds exactly one attention; who ends later is further outside."""
    thread = threading.get_ident()
    counts: list[int] = []

    def before(*_: object) -> None:
        if threading.get_ident() == thread:
            counts.append(len(tap.maps))

    def after(_module: nn.Module, _inputs: object, output: object) -> None:
        if threading.get_ident() != thread:
            return
        first = counts.pop()
        if len(tap.maps) == first + 1 and isinstance(output, Tensor) and output.ndim == 3:
            seen[first] = Block(module, output)

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def scores_of_tokens(
    classifier: Classifier, images: Tensor, last: nn.Module, tokens: Tensor
) -> Tensor:
    """Return the logits with `tokens` in place of what block `last` gives, shape (B, C)."""
    thread = threading.get_ident()

    def replace(*_: object) -> Tensor | None:
        if threading.get_ident() != thread:
            return None
        torch.set_grad_enabled(True)
        return tokens

    handle = last.register_forward_hook(replace)
    try:
        with torch.no_grad():
            logits: Tensor = classifier(images).logits
    finally:
        handle.remove()
    return logits


def to_patches(attention: Tensor, layout: Layout) -> Tensor:
    """Return how much each patch is attended to, shape (B, h, w).

    Args:
        attention: shape (B, N, N), rows attend to columns.
        layout: with a class token (the first of those without a place), its row counts; without
            one, the mean of the rows of all patches.
    """
    row = attention[:, 0] if layout.prefix else attention.mean(1)
    return row[:, layout.prefix :].reshape(-1, layout.height, layout.width)
