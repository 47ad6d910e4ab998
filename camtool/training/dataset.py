"""Training images: decoded and augmented in worker processes, collected into batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from camtool.errors import DataError, ImageReadError
from camtool.images.decode import decode
from camtool.training.order import Place
from camtool.training.seeds import derive_seed
from camtool.training.workers import start_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.images import ImageSettings
    from camtool.training.augment import Transform
    from camtool.training.cache import PixelCache
    from camtool.training.data import Example
    from camtool.training.order import BatchOrder

__all__ = ["Batch", "TrainingImages", "loader"]

_MOST_TRIES: Final = 100
_AHEAD: Final = 4  # batches that a worker prepares beyond the one in use


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

    def __call__(self, samples: Sequence[_Sample]) -> Batch:
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
    images: TrainingImages, order: BatchOrder, classes: int, workers: int, *, pin: bool
) -> DataLoader[Batch]:
    """Return the batches of `order`, prepared by `workers` processes (0: by this one)."""
    # Not forked: this process has threads, of which a fork would have only the locks.
    options: dict[str, Any] = {
        "multiprocessing_context": "forkserver",
        "persistent_workers": True,
        "prefetch_factor": _AHEAD,
        "worker_init_fn": start_worker,
    }
    # What a dataset yields and what the batches are made of need not be one type, but for mypy.
    return DataLoader(
        cast("Dataset[Batch]", images),
        batch_sampler=order,
        collate_fn=_Collate(classes),
        num_workers=workers,
        pin_memory=pin,
        **(options if workers else {}),
    )
