"""The attention of a vision transformer, recorded as the network runs.

Fused kernels never write their attention down, so within the `with` each call is made again as the
product it stands for: `softmax(Q Kᵀ / √d) V`. Only the calls of this thread are, and no module is
touched.
"""

from __future__ import annotations

import inspect
import math
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from camtool.errors import ModelError
from camtool.models.grids import Layout, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch.utils.hooks import RemovableHandle

    from camtool.models.classifier import Classifier

_FUSED = F.scaled_dot_product_attention
_FUSED_NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_MULTI_HEAD = F.multi_head_attention_forward
_MULTI_HEAD_NAMES = tuple(inspect.signature(_MULTI_HEAD).parameters)
_SOFTMAXES = (Tensor.softmax, torch.softmax, F.softmax)


@final
class AttentionRecorder(TorchFunctionMode):
    """Within the `with`, keeps every self-attention of this thread's passes.

    Attributes:
        maps: attention of each call, rows adding up to 1, shape (B, heads, N, N); with `leaves`
            these are leaves of the graph, at which gradients can be asked for.
        mixed: attention with other keys than queries came before the last of them, so these are
            not the whole way from the picture to the tokens.
    """

    def __init__(self, *, leaves: bool = False) -> None:
        """Begin without a call."""
        super().__init__()
        self.maps: list[Tensor] = []
        self.mixed = False
        self._leaves = leaves
        self._seen_other = False

    def __torch_function__(  # noqa: D105 (documented by torch)
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        given = dict(kwargs or {})
        if func is _FUSED:
            return self._fused(**dict(zip(_FUSED_NAMES, args, strict=False)), **given)
        if func is _MULTI_HEAD:
            return self._multi_head(dict(zip(_MULTI_HEAD_NAMES, args, strict=False)) | given)
        result = func(*args, **given)
        square = isinstance(result, Tensor) and result.ndim == 4
        if func in _SOFTMAXES and square and result.shape[2] == result.shape[3]:
            return self._kept(result)
        self._seen_other |= func in _SOFTMAXES and square
        return result

    def _kept(self, attention: Tensor) -> Tensor:
        self.mixed |= self._seen_other
        if self._leaves:
            attention = attention.detach().requires_grad_()
        self.maps.append(attention)
        return attention

    def _fused(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        **others: Any,  # noqa: ANN401
    ) -> Tensor:
        if is_causal or others.get("enable_gqa") or query.shape[-2] != key.shape[-2]:
            self._seen_other = True
            rest = {"attn_mask": attn_mask, "dropout_p": dropout_p, "is_causal": is_causal}
            return _FUSED(query, key, value, **rest, scale=scale, **others)  # type: ignore[arg-type]
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
        return self._kept(_softmax(query * factor @ key.mT, attn_mask)) @ value

    def _multi_head(self, given: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """The attention of `torch.nn.MultiheadAttention`; inputs are (N, B, K)."""
        wanted, averaged = given.get("need_weights", True), given.get("average_attn_weights", True)
        asked = {**given, "need_weights": True, "average_attn_weights": False}
        output, attention = _MULTI_HEAD(**asked)
        if attention is None:
            return output, None
        value, heads = given["value"], given["num_heads"]
        own = given["query"] is given["key"] or torch.equal(given["query"], given["key"])
        if own and given["in_proj_weight"] is not None and attention.ndim == 4:
            attention = self._kept(attention)
            output = _joined(attention, value, heads, given)
        if not wanted:
            return output, None
        return output, attention.mean(1) if averaged else attention


def _softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return scores.softmax(-1)


def _joined(attention: Tensor, value: Tensor, heads: int, given: dict[str, Any]) -> Tensor:
    """What multi-head attention gives, (N, B, K), from the attention (B, heads, N, N)."""
    tokens, batch, width = value.shape
    bias = given["in_proj_bias"]
    projected = F.linear(
        value, given["in_proj_weight"][2 * width :], None if bias is None else bias[2 * width :]
    )
    split = projected.view(tokens, batch, heads, -1).permute(1, 2, 0, 3)
    joined = (attention @ split).permute(2, 0, 1, 3).reshape(tokens, batch, width)
    return F.linear(joined, given["out_proj_weight"], given["out_proj_bias"])


class Block(NamedTuple):
    """The outermost layer that holds one attention, and the tokens (B, N, K) it gave."""

    module: nn.Module
    tokens: Tensor


class RecordedAttention(NamedTuple):
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


def record_attention(
    classifier: Classifier, images: Tensor, *, leaves: bool = False
) -> RecordedAttention:
    """Run a network and keep its attentions over all tokens of the picture.

    Args:
        classifier: the network.
        images: shape (B, 3, H, W).
        leaves: make the attentions leaves of the graph; to be called with gradients on.

    Raises:
        ModelError: no attention of the network is over all tokens of the picture.
    """
    recorder = AttentionRecorder(leaves=leaves)
    seen: dict[int, Block] = {}
    with ExitStack() as stack:
        for module in classifier.modules():
            for handle in _watch(module, recorder, seen):
                stack.callback(handle.remove)
        with recorder:
            logits = classifier(images).logits
    pairs = [(recorder.maps[number], block) for number, block in sorted(seen.items())]
    layout = None if recorder.mixed else _layout(pairs, images)
    if layout is None:
        raise ModelError(
            f"{classifier.name} has no attention of all parts of the picture to all (windows, and"
            " fewer keys than queries, do not count): use another method"
        )
    maps, blocks = zip(*pairs, strict=True)
    return RecordedAttention(list(maps), list(blocks), layout, logits)


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


def _watch(
    module: nn.Module, recorder: AttentionRecorder, seen: dict[int, Block]
) -> list[RemovableHandle]:
    """Note a module that holds exactly one attention; who ends later is further outside."""
    thread = threading.get_ident()
    counts: list[int] = []

    def before(*_: object) -> None:
        if threading.get_ident() == thread:
            counts.append(len(recorder.maps))

    def after(_module: nn.Module, _inputs: object, output: object) -> None:
        if threading.get_ident() != thread:
            return
        first = counts.pop()
        if len(recorder.maps) == first + 1 and isinstance(output, Tensor) and output.ndim == 3:
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
        attention: shape (B, N, N), rows record_attention to columns.
        layout: with a class token (the first of those without a place), its row counts; without
            one, the mean of the rows of all patches.
    """
    row = attention[:, 0] if layout.prefix else attention.mean(1)
    return row[:, layout.prefix :].reshape(-1, layout.height, layout.width)
