"""Shares of a run that run one by one, or on several machines."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Shard"]


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `index` of `count`: every `count`-th image, from the `index`-th on (from 0)."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 <= self.index < self.count:
            raise ValueError(f"not a shard: {self.index}/{self.count}")

    def share(self, images: int) -> int:
        """Return how many of `images` images are this shard's."""
        return len(range(self.index, images, self.count))

    @property
    def name(self) -> str:
        """Name of the shard's folder of parts."""
        return f"{self.index:05d}-of-{self.count:05d}"
