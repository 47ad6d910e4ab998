"""Learning rate schedules: pure functions of the step, so that a resume needs no state."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.settings import Settings

__all__ = ["SCHEDULES", "Constant", "Cosine", "OneCycle", "Schedule", "StepDecay"]


class _Schedule(Settings):
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
class Constant(_Schedule):
    """The same rate throughout."""

    summary: ClassVar[str] = "the same rate throughout"

    name: Literal["constant"] = "constant"

    def shape(self, epoch: float, epochs: float) -> float:  # noqa: ARG002
        """Return 1."""
        return 1.0


@final
class StepDecay(_Schedule):
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
class Cosine(_Schedule):
    """Half a cosine from the full rate to `final` of it (Loshchilov and Hutter 2017)."""

    summary: ClassVar[str] = "half a cosine down to a share of the rate"

    name: Literal["cosine"] = "cosine"

    final: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the rate at the end."""

    def shape(self, epoch: float, epochs: float) -> float:
        """Return the cosine."""
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@final
class OneCycle(_Schedule):
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

SCHEDULES: tuple[type[Constant | StepDecay | Cosine | OneCycle], ...] = (
    Constant, StepDecay, Cosine, OneCycle,
)  # fmt: skip
"""The members of `Schedule`, for the tables that are derived from the code."""
