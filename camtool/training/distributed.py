"""One process of several: who it is, and what the processes tell each other.

Under `torchrun` and `srun` every process finds its number in the environment. Tensors on GPUs go by
NCCL; what steers the run (stop, trouble, counts) goes by gloo, so that no GPU ever waits for it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, cast, final

import torch
import torch.distributed as dist

from camtool.errors import ModelError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn


_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGEST_MMAP_THRESHOLD: Final = 32 << 20
_TIMEOUT: Final = timedelta(minutes=15)
_GONE: Final = (
    "closed by peer", "reset by peer", "broken pipe", "timed out", "timeout", "nccl", "gloo",
)  # fmt: skip


@final
@dataclass(frozen=True)
class Processes:
    """This process and its peers.

    Attributes:
        rank: number of this process, from 0.
        world: number of processes.
        device: where this process computes.
        control: the gloo group that steers; None for a single process.
    """

    rank: int
    world: int
    device: torch.device
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the files and speaks."""
        return self.rank == 0

    def any(self, flags: Sequence[bool]) -> list[bool]:
        """Return for each flag whether any process raised it."""
        if self.control is None:
            return list(flags)
        values = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(values, dist.ReduceOp.MAX, self.control)
        return [bool(v) for v in values.tolist()]

    def sum(self, values: Sequence[float]) -> list[float]:
        """Return the sums over all processes, in float64."""
        if self.control is None:
            return list(map(float, values))
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, dist.ReduceOp.SUM, self.control)
        return [float(v) for v in total.tolist()]

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.control is not None:
            dist.barrier(self.control)


@contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Join the other processes of the job, if there are any, and leave them at the end.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ModelError: the device is not there, or has too little memory for what is done within.
        RunError: the other processes cannot be reached, or one of them ended.
    """
    try:
        with _joined(device) as peers:
            yield peers
    except torch.OutOfMemoryError as error:
        raise ModelError(
            "the GPU has too little memory for a step: raise train.accumulate, or lower"
            " train.batch_size (in validation: run.batch_size)"
        ) from error


@contextmanager
def _joined(device: str) -> Iterator[Processes]:
    rank, world, local = _place(os.environ)
    chosen = _device(device, local)
    if world == 1:
        yield Processes(0, 1, chosen)
        return
    _set_address(os.environ)
    try:
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo", rank=rank, world_size=world,
            timeout=_TIMEOUT,
        )  # fmt: skip
        control = dist.new_group(backend="gloo", timeout=_TIMEOUT)
        yield Processes(rank, world, chosen, cast("dist.ProcessGroup", control))
    except RuntimeError as error:
        if not any(sign in str(error).lower() for sign in _GONE):
            raise
        raise RunError(
            f"process {rank} of {world}: another process of this job ended or cannot be reached"
            f" ({str(error).splitlines()[0][:200]}); start the job again with --resume"
        ) from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _place(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Return (rank, world size, rank on this machine) as torchrun or srun tell them.

    SLURM's own variables count only within `srun`: a batch script has some of them too.
    """
    if "RANK" in environment and "WORLD_SIZE" in environment:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    elif "SLURM_STEP_NUM_TASKS" in environment:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    else:
        return 0, 1, 0
    try:
        rank, world, local = (int(environment.get(name, "0")) for name in names)
    except ValueError as error:
        raise RunError(f"{', '.join(names)}: not numbers in this job's environment") from error
    return rank, world, local


def _set_address(environment: os._Environ[str]) -> None:
    if environment.get("SLURM_STEP_NUM_NODES", "1") == "1":
        environment.setdefault("MASTER_ADDR", "127.0.0.1")
        job = int(environment.get("SLURM_JOB_ID", "0"))
        environment.setdefault("MASTER_PORT", str(20000 + job % 10000))
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in environment:
            raise RunError(f"{name} is not set: the processes of several machines meet there")


def _device(name: str, local: int) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is here: use --device cpu, or auto")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    # srun may show each task its own GPU only.
    device = torch.device("cuda", local % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return device


def synchronized(module: nn.Module) -> nn.Module:
    """Return a module with synchronized batch norms in place of its own; names and weights stay.

    By timm's function, not torch's: timm's batch norms hold the activation behind them, which
    torch's replacement would leave out. Whoever looks for modules must do so afterwards: the batch
    norms are other objects then.
    """
    from timm.layers.norm_act import convert_sync_batchnorm

    converted: nn.Module = convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
    return converted


def keep_freed_memory() -> bool:
    """Ask glibc to keep the memory that a step frees; tell whether it does.

    No result depends on it. On a CPU, glibc gives the large tensors of a forward pass back to the
    system once the step is over, and every page of them is faulted in anew in the next one: that
    doubled the time of a forward pass.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    done = (mallopt(_TRIM_THRESHOLD, -1), mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD))
    return all(done)
