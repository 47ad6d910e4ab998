"""Watches what is called on damaged files: what it raises and says, its time and its memory."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from camtool.annotations import AnnotationSet
from camtool.errors import CamtoolError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_SECONDS = 20
LONGEST_MESSAGE = 1000
_MOST_MEGABYTES = 700
_PEAK = Path("/proc/self/clear_refs")


class TooSlowError(BaseException):
    """No exception that a reader could take for its own."""


@contextlib.contextmanager
def bounded_time() -> Iterator[None]:
    """End with `TooSlowError` what takes more than 20 seconds."""

    def stop(_signal: int, _frame: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Fail where the process comes to need far more memory than before; on Linux only."""
    if not _PEAK.exists():
        yield
        return
    _PEAK.write_text("5")  # the peak counts from here
    before = _megabytes()
    yield
    assert _megabytes() - before < _MOST_MEGABYTES


def _megabytes() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) >> 10


class Fault(NamedTuple):
    """What is wrong with an answer: its kind, which many tries may have, and the details."""

    kind: str
    detail: str


def fault_of(call: Callable[[], object]) -> Fault | None:
    """Return what is wrong with the answer to a damaged file; None where it is well."""
    start = time.perf_counter()
    try:
        with bounded_time():
            answer = call()
    except CamtoolError as error:
        # A settings error has a line for every problem.
        lines = str(error).split("\n") if isinstance(error, SettingsError) else [str(error)]
        return next(filter(None, map(_fault_of_text, lines)), None)
    except TooSlowError as error:
        return Fault(_where(error), "")
    except Exception as error:
        return Fault(_where(error), f"{error!r:.300}")
    if isinstance(answer, AnnotationSet):
        texts = [*map(str, answer.problems), *answer.warnings]
        return next(filter(None, map(_fault_of_text, texts)), None)
    if time.perf_counter() - start > MOST_SECONDS:
        return Fault("too slow", "")
    return None


def _fault_of_text(text: str) -> Fault | None:
    if len(text) > LONGEST_MESSAGE:
        return Fault("a long message", f"{len(text)}: {text[:200]!r} … {text[-150:]!r}")
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text.replace("\n", "")):
        return Fault("control characters in a message", f"{text!r:.400}")
    return None


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/camtool/" in f.filename] or frames
    return f"{type(error).__name__} at {Path(own[-1].filename).name}:{own[-1].lineno}"
