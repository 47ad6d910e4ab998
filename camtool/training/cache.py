"""Decoded images in memory that all workers share, up to a limit."""

from __future__ import annotations

import shutil
import tempfile
from typing import TYPE_CHECKING, Final, final

import torch
from torch import Tensor, multiprocessing

if TYPE_CHECKING:
    from multiprocessing.synchronize import Lock

__all__ = ["PixelCache"]

_SHARE: Final = 0.5  # of the free shared memory, at most


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
        self._limit = min(limit, int(free * _SHARE))
        self._pixels = _shared(torch.empty(self._limit, dtype=torch.uint8))
        # Offset, height and width of each image; the offset is written last and tells it is there.
        self._places = _shared(torch.full((images, 3), -1, dtype=torch.int64))
        self._used = _shared(torch.zeros(1, dtype=torch.int64))
        self._lock: Lock = multiprocessing.get_context("forkserver").Lock()

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
