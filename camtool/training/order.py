"""The order in which a run sees its images: fixed by the seed, the same after a resume.

Every epoch is a permutation of the training set, cut into batches; the images that fill no batch
are left for another epoch. A batch is one step of the optimizer over all processes: each takes
its own slice of it, so that the number of processes changes no step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, final

import torch
from torch.utils.data import Sampler

from camtool.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BatchOrder", "Place", "permutation"]

_SHARDS_AT_ONCE: Final = 4


class Place(NamedTuple):
    """Which image, in which epoch: what the seed of its augmentation is made of."""

    epoch: int
    image: int


def permutation(count: int, shards: Sequence[int], seed: int, epoch: int) -> list[int]:
    """Return the numbers 0 … count - 1 in the order of an epoch.

    With `shards`, the sizes of consecutive pieces, the pieces are shuffled and the numbers are
    shuffled within a few pieces at a time: whoever reads them in this order has few files open.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    if not shards:
        return torch.randperm(count, generator=generator).tolist()
    starts = torch.tensor([0, *shards]).cumsum(0).tolist()
    mixed = torch.randperm(len(shards), generator=generator).tolist()
    order: list[int] = []
    for first in range(0, len(mixed), _SHARDS_AT_ONCE):
        chosen = mixed[first : first + _SHARDS_AT_ONCE]
        window = [i for s in chosen for i in range(starts[s], starts[s + 1])]
        order += [window[i] for i in torch.randperm(len(window), generator=generator).tolist()]
    return order


@final
@dataclass
class BatchOrder(Sampler[list[Place]]):
    """The micro-batches of one epoch for one process, from a given step on.

    Attributes:
        count: number of training images.
        batch_size: images a step, over all processes.
        accumulate: micro-batches that a process's share of a step is cut into.
        seed: of the run.
        rank: number of the process.
        world: number of processes.
        shards: sizes of the pieces that are read from front to back; empty for none.
        epoch: the epoch to yield, counted from 0.
        start: the step to begin with.
    """

    count: int
    batch_size: int
    accumulate: int = 1
    seed: int = 0
    rank: int = 0
    world: int = 1
    shards: tuple[int, ...] = ()
    epoch: int = 0
    start: int = 0

    @property
    def steps(self) -> int:
        """Number of steps in an epoch."""
        return self.count // self.batch_size

    def __len__(self) -> int:
        """Return the number of micro-batches that are yielded."""
        return (self.steps - self.start) * self.accumulate

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield the micro-batches of this process."""
        order = permutation(self.count, self.shards, self.seed, self.epoch)
        share = self.batch_size // self.world
        micro = share // self.accumulate
        for step in range(self.start, self.steps):
            first = step * self.batch_size + self.rank * share
            for begin in range(first, first + share, micro):
                yield [Place(self.epoch, i) for i in order[begin : begin + micro]]
