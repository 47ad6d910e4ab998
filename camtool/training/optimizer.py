"""Optimizers, the learning rate over a run, and the rates of parts of a network.

Schedules are pure functions of the step, so that a resume needs no state.
"""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, final

from pydantic import Field, model_validator

from camtool.errors import ModelError, shorten
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn
    from torch.optim import Optimizer

    from camtool.models.classifier import Classifier


class BaseOptimizer(Settings):
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
class Sgd(BaseOptimizer):
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
class AdamW(BaseOptimizer):
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


class BaseSchedule(Settings):
    """Base of the schedules."""

    summary: ClassVar[str]

    warmup_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs over which the rate first rises linearly; fractions count."""

    @abstractmethod
    def shape(self, epoch: float, epochs: float) -> float:
        """Return the factor after `epoch` of `epochs` epochs, before any warm-up."""

    def factor(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Return what the optimizer's learning rate is multiplied with.

        Args:
            step: number of the step in the run, from 0.
            steps_per_epoch: steps in an epoch.
            epochs: epochs of the run.
        """
        warmup = round(self.warmup_epochs * steps_per_epoch)
        rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
        return rise * self.shape(step / steps_per_epoch, epochs)


@final
class Constant(BaseSchedule):
    """The same rate throughout."""

    summary: ClassVar[str] = "the same rate throughout"

    name: Literal["constant"] = "constant"

    def shape(self, epoch: float, epochs: float) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0


@final
class StepDecay(BaseSchedule):
    """The rate is multiplied by `gamma` every `every` epochs: what the CAM paper's solver does."""

    summary: ClassVar[str] = "multiplied by gamma every few epochs (the CAM paper's)"

    name: Literal["step"] = "step"

    every: Annotated[float, Field(gt=0)] = 10.0
    """Epochs between two drops; fractions count."""

    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Factor of a drop."""

    def shape(self, epoch: float, epochs: float) -> float:  # noqa: ARG002
        """Return `gamma` to the power of the drops so far."""
        # A step's epoch is a quotient: an exact multiple must not fall short of itself.
        return float(self.gamma ** math.floor(epoch / self.every + 1e-9))


@final
class Cosine(BaseSchedule):
    """Half a cosine from the full rate to `final` of it (Loshchilov and Hutter 2017)."""

    summary: ClassVar[str] = "half a cosine down to a share of the rate"

    name: Literal["cosine"] = "cosine"

    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the rate at the end."""

    def shape(self, epoch: float, epochs: float) -> float:
        """Return the cosine."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@final
class OneCycle(BaseSchedule):
    """Up and down once, by half cosines (Smith and Topin 2018; as torch's OneCycleLR).

    The optimizer's learning rate is the peak. Momentum is left alone.
    """

    summary: ClassVar[str] = "up to the rate and down again, by half cosines"

    name: Literal["one-cycle"] = "one-cycle"

    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the run in which the rate rises."""

    start: Annotated[float, Field(gt=0, le=1)] = 0.04
    """Share of the peak at the beginning."""

    end: Annotated[float, Field(ge=0, le=1)] = 4e-6
    """Share of the peak at the end."""

    def shape(self, epoch: float, epochs: float) -> float:
        """Return the point on the cycle."""
        done = epoch / epochs
        if done < self.rise:
            return _between(self.start, 1.0, done / self.rise)
        return _between(1.0, self.end, (done - self.rise) / (1 - self.rise))


def _between(first: float, last: float, done: float) -> float:
    """Half a cosine from `first` to `last`."""
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


Schedule = Annotated[Constant | StepDecay | Cosine | OneCycle, Field(discriminator="name")]
"""Every schedule."""


class Rates(NamedTuple):
    """What was asked of each module.

    Attributes:
        factors: by the module's `id`, the factor on its learning rate; those not in it have 1.
        frozen: modules that stay as they are: no gradient, no new statistics, no dropout.
    """

    factors: dict[int, float]
    frozen: list[nn.Module]


def rates_of(classifier: Classifier, asked: Mapping[str, float]) -> Rates:
    """Return the factor of each module with a name in `asked`, or within one; freeze those of 0.

    Args:
        classifier: its parameters of factor 0 lose their gradient.
        asked: factors by a layer's or block's path in the backbone (`blocks.3`), or `head`. Where
            several names fit, the longest counts.

    Raises:
        ModelError: a name is no module's (names near ones), or nothing is left to train.
    """
    names = {_own_name(path): module for path, module in classifier.named_modules()}
    for name in asked:
        _check(name, names, classifier.name)
    factors, frozen = {}, []
    for name, module in names.items():
        fitting = [given for given in asked if f"{name}.".startswith(f"{given}.")]
        if not fitting:
            continue
        factors[id(module)] = asked[max(fitting, key=len)]
        if factors[id(module)] == 0:
            frozen.append(module)
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in classifier.parameters()):
        raise ModelError(
            "train.rates: every part of the network has the factor 0; leave one to be trained"
        )
    return Rates(factors, frozen)


def _own_name(path: str) -> str:
    """A module's name without what camtool put around the backbone; empty for this itself."""
    if path in ("features", "features.backbone"):
        return ""
    return path.removeprefix("features.").removeprefix("backbone.")


def _check(name: str, names: Mapping[str, nn.Module], network: str) -> None:
    if name in names and name:
        return
    near = difflib.get_close_matches(name, names, 5, cutoff=0.3)
    near = near or sorted({known.split(".")[0] for known in names if known})
    raise ModelError(
        f"train.rates: {network} has no module '{shorten(name)}'; there are {', '.join(near)}"
    )
