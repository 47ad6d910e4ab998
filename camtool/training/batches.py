"""Batches of training images: in which order, decoded and kept by whom, augmented and collected.

Every epoch is a permutation of the training set, cut into batches; the images that fill no batch
are left for another epoch. A batch is one step of the optimizer over all processes: each takes
its own slice of it, so that the number of processes changes no step. The order is fixed by the
seed: it is the same after a resume.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from camtool.errors import DataError, ImageReadError, RunError
from camtool.images.decode import decode, quiet_pillow
from camtool.training.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.process import BaseProcess
    from multiprocessing.synchronize import Lock

    from numpy.typing import NDArray

    from camtool.images import ImageSettings
    from camtool.training.augment import Transform
    from camtool.training.data import Example


_SHARDS_AT_ONCE: Final = 4
_CACHE_SHARE: Final = 0.5  # of the free shared memory, at most
_SECONDS_BETWEEN_LOOKS: Final = 2.0
_SECONDS_TO_END: float = 10.0
_MOST_TRIES: Final = 100
_FILES: Final = 1024
_FEWEST_FILES: Final = 64
_ROOM: Final = 2  # times what batches need: other programs share the memory
_log = logging.getLogger("camtool")
_AHEAD: Final = 4  # batches that a worker prepares beyond the one in use


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

    @property
    def images_at_once(self) -> int:
        """Number of images in a micro-batch of one process."""
        return self.batch_size // self.world // self.accumulate

    def __iter__(self) -> Iterator[list[Place]]:
        """Yield the micro-batches of this process."""
        order = permutation(self.count, self.shards, self.seed, self.epoch)
        share = self.batch_size // self.world
        micro = self.images_at_once
        for step in range(self.start, self.steps):
            first = step * self.batch_size + self.rank * share
            for begin in range(first, first + share, micro):
                yield [Place(self.epoch, i) for i in order[begin : begin + micro]]


@final
class PixelCache:
    """Pixels by image number: written once by whoever decodes an image first, read by all.

    Images that do not fit any more are decoded each time. One buffer holds all pixels, so that the
    limit is exact, whatever the number of workers.
    """

    def __init__(self, images: int, limit: int) -> None:
        """Reserve memory.

        Args:
            images: number of images.
            limit: bytes of pixels at most; cut to half of the free shared memory.
        """
        free = shutil.disk_usage(_shared_memory()).free
        self._limit = min(limit, int(free * _CACHE_SHARE))
        self._pixels = _shared(torch.empty(self._limit, dtype=torch.uint8))
        # Offset, height and width of each image; the offset is written last and tells it is there.
        self._places = _shared(torch.full((images, 3), -1, dtype=torch.int64))
        self._used = _shared(torch.zeros(1, dtype=torch.int64))
        self._lock: Lock = torch.multiprocessing.get_context("forkserver").Lock()

    def get(self, index: int) -> Tensor | None:
        """Return an image, uint8 of shape (3, H, W), not to be written to; None if absent."""
        offset, height, width = self._places[index].tolist()
        if offset < 0:
            return None
        return self._pixels[offset : offset + 3 * height * width].view(3, height, width)

    def put(self, index: int, image: Tensor) -> None:
        """Keep an image, uint8 of shape (3, H, W), if there is room."""
        with self._lock:
            offset = int(self._used[0])
            if int(self._places[index, 0]) >= 0 or offset + image.numel() > self._limit:
                return
            self._used[0] = offset + image.numel()
        self._pixels[offset : offset + image.numel()] = image.reshape(-1)
        self._places[index, 1:] = torch.tensor(image.shape[1:])
        self._places[index, 0] = offset


def _shared(values: Tensor) -> Tensor:
    return values.share_memory_()  # type: ignore[no-any-return, no-untyped-call]


def _shared_memory() -> str:
    """The file system that shared tensors live in."""
    try:
        shutil.disk_usage("/dev/shm")
    except OSError:
        return tempfile.gettempdir()
    return "/dev/shm"


def start_worker(_: int = 0) -> None:
    """Prepare this process; a data loader calls it with the worker's number.

    Batch systems send their signals to all processes of a job. They end the job at a step's end, by
    the main process's decision, which until then needs its batches: so a worker that is told to end
    first waits ten seconds for the end of its main process. A main process that is killed tells
    nobody: without a look at it, its workers would stay for good, with their memory.
    """
    for number in (signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    # Not a mask: threads that libraries have started by now would take the signal, and its default.
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    main = multiprocessing.parent_process()
    if main is not None:
        threading.Thread(target=_watch, args=(main, asked), daemon=True).start()
    quiet_pillow().__enter__()


def _watch(main: BaseProcess, asked: threading.Event) -> None:
    """End this process when the main one is gone, or some time after it was asked for."""
    while main.is_alive():
        if asked.wait(_SECONDS_BETWEEN_LOOKS):
            main.join(_SECONDS_TO_END)
            break
    os._exit(0)


class Batch(NamedTuple):
    """One micro-batch.

    Attributes:
        images: uint8, shape (B, 3, H, W); empty where a hundred images in a row are unreadable.
        targets: class indices, int64 of shape (B,).
        labels: for every class whether the image is of it, float32 of shape (B, C).
        unreadable: images that could not be read, (path, reason); others stand in for them.
    """

    images: Tensor
    targets: Tensor
    labels: Tensor
    unreadable: list[tuple[str, str]]

    def check(self) -> None:
        """Refuse a batch for which no image could be read.

        Raises:
            DataError: a hundred images in a row cannot be read.
        """
        if not len(self.images):
            path, reason = self.unreadable[0]
            raise DataError(
                f"{len(set(self.unreadable)):,} training images in a row cannot be read; the first:"
                f" {path}: {reason}"
            )

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU can copy from by itself."""
        return Batch(
            self.images.pin_memory(), self.targets.pin_memory(), self.labels.pin_memory(),
            self.unreadable,
        )  # fmt: skip


class PackedBatch(NamedTuple):
    """A batch whose arrays cross processes through a pipe: for machines short of shared memory.

    Attributes:
        arrays: images, targets and labels of `Batch`.
        unreadable: likewise.
    """

    arrays: tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
    unreadable: list[tuple[str, str]]

    def unpacked(self) -> Batch:
        """Return the batch."""
        images, targets, labels = map(torch.from_numpy, self.arrays)
        return Batch(images, targets, labels, self.unreadable)

    def pin_memory(self) -> Batch:
        """Return the batch in memory that a GPU can copy from by itself."""
        return self.unpacked().pin_memory()


class _Sample(NamedTuple):
    image: Tensor
    labels: tuple[int, ...]
    unreadable: list[tuple[str, str]]


@final
@dataclass
class TrainingImages(Dataset[_Sample]):
    """The training set by place.

    An image that cannot be read is replaced by the next one of the set that can (mostly one of the
    same class), and is named in the batch: batches keep their size, and nothing is silent.

    Attributes:
        examples: the training set.
        transform: the augmentation.
        settings: how image files are read.
        rotate: turn images upright as EXIF says.
        seed: of the run.
        cache: where decoded images are kept; None: nowhere.
    """

    examples: Sequence[Example]
    transform: Transform
    settings: ImageSettings
    rotate: bool
    seed: int
    cache: PixelCache | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.examples)

    def __getitem__(self, place: Place) -> _Sample:
        """Return one image, augmented by a seed of its own; an empty one where none can be read."""
        unreadable: list[tuple[str, str]] = []
        for shift in range(min(_MOST_TRIES, len(self))):
            index = (place.image + shift) % len(self)
            try:
                image = self._decoded(index)
            except ImageReadError as error:
                unreadable.append((error.place, error.reason))
                continue
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive_seed(self.seed, "sample", place.epoch, place.image))
                augmented = self.transform(image)
            return _Sample(augmented, self.examples[index].labels, unreadable)
        # Not raised here: an error that crosses processes arrives with a traceback as its message.
        return _Sample(torch.empty(0), (), unreadable)

    def _decoded(self, index: int) -> Tensor:
        kept = self.cache.get(index) if self.cache is not None else None
        if kept is not None:
            return kept
        source = self.examples[index].source
        picture = decode(source, self.rotate, self.settings.max_pixels).image
        image = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        if self.cache is not None:
            self.cache.put(index, image)
        return image


@final
@dataclass(frozen=True)
class _Collate:
    """Makes a batch of samples; a class, since a worker process cannot be sent a closure."""

    classes: int
    packed: bool

    def __call__(self, samples: Sequence[_Sample]) -> Batch | PackedBatch:
        batch = self._batch(samples)
        if not self.packed:
            return batch
        images, targets, labels = (tensor.numpy() for tensor in batch[:3])
        return PackedBatch((images, targets, labels), batch.unreadable)

    def _batch(self, samples: Sequence[_Sample]) -> Batch:
        lost = [problem for s in samples if not s.labels for problem in s.unreadable]
        if lost:
            return Batch(torch.empty(0), torch.empty(0), torch.empty(0), lost)
        labels = torch.zeros(len(samples), self.classes)
        for row, sample in zip(labels, samples, strict=True):
            row[list(sample.labels)] = 1
        return Batch(
            torch.stack([s.image for s in samples]),
            torch.tensor([s.labels[0] for s in samples]),
            labels,
            [problem for s in samples for problem in s.unreadable],
        )


def loader(
    images: TrainingImages,
    order: BatchOrder,
    classes: int,
    workers: int,
    *,
    size: tuple[int, int],
    pin: bool,
) -> DataLoader[Batch | PackedBatch]:
    """Return the batches of `order`, prepared by `workers` processes (0: by this one).

    Args:
        images: the training set.
        order: which images form which batch.
        classes: number of classes.
        workers: number of processes.
        size: (width, height) of an augmented image.
        pin: whether a GPU copies from the batches.

    Raises:
        RunError: so few files may be open that no process can be started.
    """
    if workers:
        _allow_files()
    # Not forked: this process has threads, of which a fork would have only the locks.
    options: dict[str, Any] = {
        "multiprocessing_context": "forkserver",
        "persistent_workers": True,
        "prefetch_factor": _AHEAD,
        "worker_init_fn": start_worker,
    }
    needed = workers * (_AHEAD + 1) * order.images_at_once * 3 * size[0] * size[1]
    # What a dataset yields and what the batches are made of need not be one type, but for mypy.
    return DataLoader(
        cast("Dataset[Batch | PackedBatch]", images),
        batch_sampler=order,
        collate_fn=_Collate(classes, packed=workers > 0 and _is_short_of_memory(needed)),
        num_workers=workers,
        pin_memory=pin,
        **(options if workers else {}),
    )


def _allow_files() -> None:
    """Raise the soft limit of open files where it is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        soft = min(_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < _FEWEST_FILES:
        raise RunError(
            f"only {soft} files may be open, and processes that read images need {_FEWEST_FILES}:"
            " raise the limit (ulimit -n 1024), or set run.workers=0"
        )


def _is_short_of_memory(needed: int) -> bool:
    """Whether shared memory has no room for so many bytes, which containers rarely give much of."""
    place = _shared_memory()
    free = shutil.disk_usage(place).free
    if free > _ROOM * needed:
        return False
    _log.warning(
        "%s has %d MB left, and batches need up to %d: they go through pipes, which is slower; give"
        " it more (docker run --shm-size), or set run.workers=0",
        place, free >> 20, _ROOM * needed >> 20,
    )  # fmt: skip
    return True
