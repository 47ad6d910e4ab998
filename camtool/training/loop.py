"""The loop over the steps of an epoch: forward, backward, step, and what is counted on the way."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Literal, final

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from camtool.errors import ModelError, RunError, SettingsError
from camtool.progress import EpochProgress
from camtool.training.batches import PackedBatch
from camtool.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import nn
    from torch.optim import Optimizer
    from torch.utils.data import DataLoader

    from camtool.structures import InputSpec
    from camtool.training.batches import Batch, BatchOrder
    from camtool.training.distributed import Processes
    from camtool.training.methods import TrainingMethod
    from camtool.training.optimizer import Rates
    from camtool.training.settings import TrainSettings


_GPU_CHECK_STEPS: Final = 20
_TOO_MANY_FILES: Final = "Too many open files"
_WORKER_GONE: Final = ("exited unexpectedly", "is killed by signal")  # a data loader's own words

Precision = Literal["float32", "bfloat16", "float16"]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which forward passes run.

    Raises:
        SettingsError: the device does not have this format.
    """
    if precision == "float32":
        return nullcontext()
    if device.type == "cpu" and precision == "float16":
        raise SettingsError("train.precision: float16 needs a GPU; a CPU takes bfloat16 or float32")
    if device.type == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        raise SettingsError("train.precision: this GPU has no bfloat16; take float16 or float32")
    return torch.autocast(device.type, getattr(torch, precision))


def scaler_for(precision: Precision, device: torch.device) -> torch.amp.GradScaler:
    """Return the scaler of losses, which only float16 needs; otherwise it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")


@final
class MovingAverage:
    """A copy of a network whose weights follow it slowly.

    After n updates a weight moves by `1 - min(decay, (1 + n) / (10 + n))` of its distance, so that
    the random beginning is soon forgotten. Running statistics are averaged alike, counters copied.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start as a copy of `network`."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Follow `network` by one step."""
        share = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        current = network.state_dict()
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name].to(value.dtype), share)
            else:
                value.copy_(current[name])


class EpochEnd(Enum):
    """How a pass over an epoch ended."""

    WHOLE = auto()
    STOPPED = auto()


@final
@dataclass
class Position:
    """Where a run stands: the epoch, from 0, and the steps of it that are done."""

    epoch: int = 0
    step: int = 0


@final
@dataclass
class EpochSums:
    """What an epoch adds up, over all images of this process.

    Attributes:
        values: float64 of shape (3 + n,): loss times images, images with the right class, images,
            and the method's n figures times images.
        unreadable: images that could not be read.
    """

    values: Tensor
    unreadable: int = 0

    @classmethod
    def zero(cls, method: TrainingMethod) -> EpochSums:
        """Return the sums of an epoch's beginning."""
        return cls(torch.zeros(3 + len(method.figures), dtype=torch.float64))

    def row(self, method: TrainingMethod) -> dict[str, float]:
        """Return the means: the loss, top-1 accuracy in percent if it is learned, and figures."""
        loss, right, images, *others = self.values.tolist()
        figures = dict(zip(method.figures, (value / images for value in others), strict=True))
        learned = {} if method.keeps_network else {"top1": 100 * right / images}
        return {"loss": loss / images, **learned, **figures}


@final
@dataclass
class Loop:
    """Everything that a step needs.

    Attributes:
        settings: how to train.
        seed: of the run.
        spec: what the network's input looks like.
        processes: this process and its peers.
        module: what is optimised, as built by the training method.
        new: modules that are not pretrained.
        rates: factors on the learning rates of modules, and those that stay as they are.
        loader: batches in the order of `order`.
        order: which epoch and step come next.
        average: the moving average of the classifier; None for none.
        stop: asked at every step's end; True ends the loop.
        save: called every `checkpoint_steps` steps.
        warn: told of each unreadable image.
    """

    settings: TrainSettings
    seed: int
    spec: InputSpec
    processes: Processes
    module: Any
    new: list[nn.Module]
    rates: Rates
    loader: DataLoader[Batch | PackedBatch]
    order: BatchOrder
    average: MovingAverage | None
    stop: Callable[[], bool]
    save: Callable[[], None]
    warn: Callable[[str, str], None]
    position: Position = field(default_factory=Position)
    progress: EpochProgress | None = None

    def __post_init__(self) -> None:
        """Set optimizer, scaler and wrapper up."""
        device = self.processes.device
        self.sums = EpochSums.zero(self.settings.method)
        self.optimizer: Optimizer = self.settings.optimizer.build(
            self.module, self.new, self.rates.factors
        )
        self.scaler = scaler_for(self.settings.precision, device)
        self.wrapped = self._wrap()
        self._generator = torch.Generator()
        self._mean = torch.tensor(self.spec.mean, device=device)[:, None, None]
        self._std = torch.tensor(self.spec.std, device=device)[:, None, None]
        self._loss: float | None = None

    def _wrap(self) -> Any:  # noqa: ANN401 (the method's own module, or its wrapper)
        if self.settings.compile:
            self.module.compile()
        if self.processes.world == 1:
            return self.module
        device = self.processes.device
        return DistributedDataParallel(
            self.module, device_ids=[device] if device.type == "cuda" else None
        )

    def close(self) -> None:
        """End the processes that prepare batches.

        Without this they are told to end by a signal when Python exits, and wait some seconds, as
        they do for batch systems whose signals go to every process of a job.
        """
        del self.loader

    def epoch(self) -> EpochEnd:
        """Do the rest of the current epoch.

        Raises:
            ModelError: the loss is not finite.
            DataError: a hundred images in a row cannot be read.
            RunError: a process that reads images was killed.
        """
        self.order.epoch, self.order.start = self.position.epoch, self.position.step
        self.sums.values = self.sums.values.to(self.processes.device)
        self._into_training()
        self.progress = EpochProgress(
            self.position.epoch, self.settings.epochs, self.order.steps, self.position.step,
            shown=self.processes.is_first,
        )  # fmt: skip
        try:
            for batches in self._steps():
                self._step(batches)
                self.position.step += 1
                loss = self._shown_loss()
                self.progress.step(self.order.batch_size, loss)
                if self._agreed_stop(loss):
                    return EpochEnd.STOPPED
                if self._is_save_due():
                    self.save()
        finally:
            self.progress.end()
        return EpochEnd.WHOLE

    def _into_training(self) -> None:
        self.module.train()
        if self.settings.batch_norm == "stored":
            new = {part for module in self.new for part in module.modules()}
            for part in self.module.modules():
                if isinstance(part, _BatchNorm) and part not in new:
                    part.eval()
        for part in self.rates.frozen:
            part.eval()

    def _steps(self) -> Iterator[list[Batch]]:
        """Yield the micro-batches of one step after the other."""
        pending: list[Batch] = []
        for batch in self._batches():
            batch.check()
            self.sums.unreadable += len(batch.unreadable)
            for path, reason in batch.unreadable:
                self.warn(path, reason)
            pending.append(batch)
            if len(pending) == self.settings.accumulate:
                yield pending
                pending = []

    def _batches(self) -> Iterator[Batch]:
        try:
            for batch in self.loader:
                yield batch.unpacked() if isinstance(batch, PackedBatch) else batch
        except (RuntimeError, ConnectionError, EOFError) as error:
            if _TOO_MANY_FILES in str(error):
                raise RunError(
                    "too many open files: raise the limit (ulimit -n 1024), or lower run.workers,"
                    " and start again with --resume"
                ) from error
            gone = isinstance(error, ConnectionError | EOFError)
            if not (gone or any(sign in str(error) for sign in _WORKER_GONE)):
                raise
            raise RunError(
                "a process that reads images was ended from outside, mostly for want of memory:"
                " lower run.workers or data.cache_mb, and start again with --resume"
            ) from error

    def _step(self, batches: list[Batch]) -> None:
        rate = self.settings.optimizer.rate * self._factor()
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last or self.processes.world == 1 else self.wrapped.no_sync():
                self._backward(batch, number)
        if self.settings.clip is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.module.classifier)

    def _factor(self) -> float:
        step = self.position.epoch * self.order.steps + self.position.step
        return self.settings.schedule.factor(step, self.order.steps, self.settings.epochs)

    def _backward(self, batch: Batch, number: int) -> None:
        device = self.processes.device
        targets = batch.labels if self.settings.loss.multi_label else batch.targets
        targets = targets.to(device, non_blocking=True)
        # All that is random in a step comes from a seed of its own: it is the same after a resume.
        seed = derive_seed(
            self.seed, "step", self.position.epoch, self.position.step, number, self.processes.rank
        )
        torch.manual_seed(seed)
        self._generator.manual_seed(seed)
        with autocast(self.settings.precision, device):
            result = self.settings.method.step(
                self.wrapped, self._input(batch.images), targets, self.settings.loss,
                self._generator,
            )  # fmt: skip
        self.scaler.scale(result.loss / self.settings.accumulate).backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            truth = batch.labels.to(device, non_blocking=True)
            right = truth.gather(1, result.logits.argmax(1, keepdim=True)).sum()
            count = len(batch.images)
            self.sums.values[0] += result.loss.detach() * count
            self.sums.values[1] += right
            self.sums.values[2] += count
            for place, figure in enumerate(result.figures, 3):
                self.sums.values[place] += figure * count

    def _input(self, images: Tensor) -> Tensor:
        """Bring uint8 images to the device and normalise them as `localize` does."""
        values = images.to(self.processes.device, non_blocking=True).float() / 255
        values = (values - self._mean) / self._std
        if self.settings.channels_last:
            values = values.contiguous(memory_format=torch.channels_last)
        return values

    def _looks_often(self) -> bool:
        """Whether to look at the loss of every step: on a GPU every look makes it wait."""
        return self.processes.device.type == "cpu"

    def _checked_now(self) -> bool:
        """Whether the loss is looked at now, and before anything is saved."""
        return (
            self._looks_often()
            or self.position.step in (self.order.steps, 1)
            or self.position.step % _GPU_CHECK_STEPS == 0
            or self._is_save_due()
        )

    def _shown_loss(self) -> float:
        if self._loss is None or self._checked_now():
            return self._look()
        return self._loss

    def _look(self) -> float:
        loss, _, images = self.sums.values[:3].tolist()
        self._loss = loss / images
        return self._loss

    def _agreed_stop(self, loss: float) -> bool:
        """Ask all processes whether any wants to stop, or met a loss that is not finite."""
        stop, broken = self.processes.any([self.stop(), not math.isfinite(loss)])
        if stop and not broken and not self._checked_now():
            # Nothing is saved that was not looked at.
            (broken,) = self.processes.any([not math.isfinite(self._look())])
        if broken:
            raise ModelError(
                f"the loss is not finite in epoch {self.position.epoch + 1}, step"
                f" {self.position.step:,}: stopped, nothing of it saved; lower"
                " train.optimizer.learning_rate, or set train.clip"
            )
        return stop

    def _is_save_due(self) -> bool:
        every = self.settings.checkpoint_steps
        # The epoch's end is saved with its validation.
        return bool(
            every and self.position.step % every == 0 and self.position.step < self.order.steps
        )
