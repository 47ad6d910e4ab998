"""Progress on stderr: a bar in a terminal, a line now and then in a log file."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Final, TypeVar, final

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


T = TypeVar("T")
_SECONDS_BETWEEN_LINES: Final = 30.0
_log = logging.getLogger("camtool")


def _is_terminal() -> bool:
    """Whether stderr is a terminal; it may also be closed."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def progress(items: Iterable[T], total: int, done: int, unit: str) -> Iterator[T]:
    """Yield the items and tell how far they are, `done` of `total` being finished before."""
    if _is_terminal():
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


@final
class EpochProgress:
    """Tells of one epoch: step, loss, images a second, and the time left for the whole run."""

    def __init__(self, epoch: int, epochs: int, steps: int, done: int, *, shown: bool) -> None:
        """Start an epoch.

        Args:
            epoch: its number, from 0.
            epochs: number of epochs of the run.
            steps: steps an epoch.
            done: steps of this epoch that were done before.
            shown: say anything at all; one process of several does.
        """
        self._epoch, self._epochs, self._steps = epoch, epochs, steps
        self._begin = self._done = done
        self._images = 0
        self._began = self._told = time.monotonic()
        self._shown = shown
        self._bar = (
            tqdm(total=steps, initial=done, unit=" steps", file=sys.stderr, leave=False,
                 desc=f"epoch {epoch + 1}/{epochs}")
            if shown and _is_terminal() else None
        )  # fmt: skip

    @property
    def seconds(self) -> float:
        """Seconds since the epoch began in this process."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Images a second since then."""
        return self._images / max(self.seconds, 1e-9)

    def step(self, images: int, loss: float) -> None:
        """Note a step."""
        self._images += images
        self._done += 1
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {loss:.3f}, {self.rate:.0f} images/s, {self._left()}")
            self._bar.update()
        elif self._shown and time.monotonic() - self._told > _SECONDS_BETWEEN_LINES:
            self._told = time.monotonic()
            _log.info(
                "epoch %d of %d, step %s of %s: loss %.3f, %.1f images a second, %s",
                self._epoch + 1, self._epochs, f"{self._done:,}", f"{self._steps:,}", loss,
                self.rate, self._left(),
            )  # fmt: skip

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _left(self) -> str:
        steps = self._steps * (self._epochs - self._epoch) - self._done
        minutes = steps * self.seconds / (self._done - self._begin) / 60
        if minutes >= 90:
            return f"about {minutes / 60:.1f} hours left"
        return f"about {minutes:.0f} minutes left"
