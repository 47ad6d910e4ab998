"""Scores that are an affine function of pooled features, though no single linear layer makes them.

    scores = Σ over branches of a_i (W_i norm_i(pooled) + b_i)

Networks that were distilled have two last layers, whose mean they answer; others normalise the
pooled vector by batch norm, whose statistics are fixed in evaluation. Both come to one linear layer
`W pooled + b`, and the class activation map of that is exact (Zhou et al. 2016, equation 2).
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import fx

_SUMS = {operator.add, torch.add, "add"}
_QUOTIENTS = {operator.truediv, torch.div, "div"}
_PRODUCTS = {operator.mul, torch.mul, "mul"}


class Linear(NamedTuple):
    """A linear layer, or one that passes its input on where `weight` is None.

    Attributes:
        weight: float64 of shape (outputs, inputs).
        bias: float64 of shape (outputs,).
        sources: the addresses of the weights that it was made of.
    """

    weight: Tensor | None
    bias: Tensor
    sources: frozenset[int] = frozenset()


class NotAffineError(Exception):
    """An operation between pooling and scores is not affine, or is none that is known."""

    def __init__(self, node: fx.Node) -> None:
        """Take the node of the operation."""
        super().__init__(node.name)
        self.node = node


@final
class AffineEnd:
    """Goes back from the scores over all branches to the one pooled vector they come from."""

    def __init__(
        self,
        passed: Callable[[fx.Node], bool],
        pooling: Callable[[fx.Node], bool],
        layer: Callable[[fx.Node], tuple[Tensor, Tensor | None] | None],
        module: Callable[[fx.Node], nn.Module | None],
    ) -> None:
        """Take what tells the kinds of nodes apart; see `camtool.models.tracing`.

        Args:
            passed: whether a node changes no value in evaluation.
            pooling: whether it pools a grid.
            layer: weight and bias of a linear layer; None for another node.
            module: the module that it calls, if it calls any.
        """
        self._passed, self._pooling, self._layer, self._module = passed, pooling, layer, module
        self.pooled: fx.Node | None = None

    def of(self, node: fx.Node) -> Linear:
        """Return what a node is of the pooled vector.

        Raises:
            NotAffineError: it is no affine function of one pooled vector.
        """
        if self._pooling(node):
            if self.pooled is not None and not _same(self.pooled, node):
                raise NotAffineError(node)
            self.pooled = node
            return Linear(None, torch.zeros(()))
        if node.target in _SUMS or node.target in _QUOTIENTS or node.target in _PRODUCTS:
            return self._arithmetic(node)
        if self._passed(node):
            return self.of(_first(node))
        if (layer := self._layer(node)) is not None:
            return _through(self.of(_first(node)), *layer)
        module = self._module(node)
        if isinstance(module, _BatchNorm) and module.running_var is not None:
            return _normalised(self.of(_first(node)), module)
        raise NotAffineError(node)

    def _arithmetic(self, node: fx.Node) -> Linear:
        first, other = self.of(_first(node)), node.args[1]
        if isinstance(other, int | float) and first.weight is not None:
            if node.target in _SUMS:
                return first._replace(bias=first.bias + other)
            factor = 1 / other if node.target in _QUOTIENTS else other
            return first._replace(weight=first.weight * factor, bias=first.bias * factor)
        if node.target not in _SUMS or isinstance(other, int | float):
            raise NotAffineError(node)
        second = self.of(_node(other, node))
        if first.weight is None or second.weight is None:
            raise NotAffineError(node)
        return Linear(
            first.weight + second.weight,
            first.bias + second.bias,
            first.sources | second.sources,
        )


def _first(node: fx.Node) -> fx.Node:
    return _node(node.args[0] if node.args else None, node)


def _node(value: object, user: fx.Node) -> fx.Node:
    if isinstance(value, torch.fx.Node):
        return value
    raise NotAffineError(user)


def _same(one: fx.Node, other: fx.Node) -> bool:
    """Whether two nodes are the same operation on the same value."""
    return (one.target, one.args, one.kwargs) == (other.target, other.args, other.kwargs)


def _through(before: Linear, weight: Tensor, bias: Tensor | None) -> Linear:
    """A linear layer on another."""
    layer = weight.detach().double()
    shift = layer.new_zeros(len(layer)) if bias is None else bias.detach().double()
    sources = before.sources | {t.data_ptr() for t in (weight, bias) if t is not None}
    if before.weight is None:
        return Linear(layer, shift, sources)
    return Linear(layer @ before.weight, layer @ before.bias + shift, sources)


def _normalised(before: Linear, norm: _BatchNorm) -> Linear:
    """A batch norm with its stored statistics on a linear layer."""
    mean, variance = (t.double() for t in (norm.running_mean, norm.running_var) if t is not None)
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    if before.weight is None:
        return Linear(scale.diag(), shift, before.sources)
    return Linear(scale[:, None] * before.weight, scale * before.bias + shift, before.sources)
