"""Progress on stderr: a bar in a terminal, a line now and then in a log file."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["progress"]

T = TypeVar("T")
_SECONDS_BETWEEN_LINES: Final = 30.0
_log = logging.getLogger("camtool")


def progress(items: Iterable[T], total: int, done: int, unit: str) -> Iterator[T]:
    """Yield the items and tell how far they are, `done` of `total` being finished before."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, initial=done, unit=f" {unit}", file=sys.stderr)
        return
    began = told = time.monotonic()
    for count, item in enumerate(items, 1):
        now = time.monotonic()
        if now - told > _SECONDS_BETWEEN_LINES:
            rate = count / (now - began)
            left = (total - done - count) / rate / 60
            _log.info(
                "%s of %s %s, %.1f a second, about %.0f minutes left",
                f"{done + count:,}", f"{total:,}", unit, rate, left,
            )  # fmt: skip
            told = now
        yield item
