"""Optimizers, and which parameters get which rate and decay: by the module that owns them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn
    from torch.optim import Optimizer

__all__ = ["OPTIMIZERS", "AdamW", "OptimizerSettings", "Sgd"]


class _Optimizer(Settings):
    """Base of the optimizers."""

    summary: ClassVar[str]

    new_layers: Annotated[float, Field(gt=0)] = 10.0
    """Factor on the learning rate of layers that are not pretrained."""

    decay_all: bool = False
    """Weight decay also on biases and norm layers."""

    def build(
        self,
        trainee: nn.Module,
        new: Iterable[nn.Module],
        factors: Mapping[int, float] | None = None,
    ) -> Optimizer:
        """Return the optimizer of a module's trainable parameters.

        Args:
            trainee: what is trained.
            new: modules in it that are not pretrained.
            factors: more factors on the rates of modules, by their `id`.
        """
        return self.over(self._groups(trainee, new, factors or {}))

    @abstractmethod
    def over(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Return the optimizer of parameter groups; each may hold a `scale` of its rate."""

    @property
    @abstractmethod
    def rate(self) -> float:
        """The learning rate before schedule and group factors."""

    def _groups(
        self, trainee: nn.Module, new: Iterable[nn.Module], factors: Mapping[int, float]
    ) -> list[dict[str, Any]]:
        young = {id(part) for module in new for part in module.modules()}
        kinds: dict[tuple[float, bool], list[nn.Parameter]] = {}
        seen: set[int] = set()
        for module in trainee.modules():
            scale = self.new_layers if id(module) in young else 1.0
            scale *= factors.get(id(module), 1.0)
            for parameter in module.parameters(recurse=False):
                if id(parameter) in seen or not parameter.requires_grad:
                    continue
                seen.add(id(parameter))
                # Biases and the scales of norm layers have one dimension.
                decays = self.decay_all or parameter.ndim > 1
                kinds.setdefault((scale, decays), []).append(parameter)
        return [
            {
                "params": parameters,
                "scale": scale,
                **({} if decays else {"weight_decay": 0.0}),
            }
            for (scale, decays), parameters in kinds.items()
        ]


@final
class Sgd(_Optimizer):
    """Stochastic gradient descent with momentum."""

    summary: ClassVar[str] = "stochastic gradient descent with momentum"

    name: Literal["sgd"] = "sgd"

    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    """The rate of pretrained layers, before the schedule."""

    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last step that goes on."""

    nesterov: bool = False
    """Nesterov's form of momentum."""

    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    """L2 penalty."""

    @model_validator(mode="after")
    def _has_momentum(self) -> Sgd:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: is a form of momentum, which is 0")
        return self

    @property
    def rate(self) -> float:
        """The learning rate before schedule and group factors."""
        return self.learning_rate

    def over(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Return torch's SGD."""
        from torch.optim import SGD

        return SGD(
            groups,
            lr=self.learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
        )


@final
class AdamW(_Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019)."""

    summary: ClassVar[str] = "Adam with decoupled weight decay"

    name: Literal["adamw"] = "adamw"

    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    """The rate of pretrained layers, before the schedule."""

    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (
        0.9,
        0.999,
    )
    """Decay of the two running means."""

    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decay of the weights, times the rate."""

    @property
    def rate(self) -> float:
        """The learning rate before schedule and group factors."""
        return self.learning_rate

    def over(self, groups: list[dict[str, Any]]) -> Optimizer:
        """Return torch's AdamW."""
        from torch.optim import AdamW as TorchAdamW

        return TorchAdamW(
            groups, lr=self.learning_rate, betas=self.betas, weight_decay=self.weight_decay
        )


OptimizerSettings = Annotated[Sgd | AdamW, Field(discriminator="name")]
"""Every optimizer."""

OPTIMIZERS: tuple[type[Sgd | AdamW], ...] = (Sgd, AdamW)
"""The members of `OptimizerSettings`, for the tables that are derived from the code."""
