"""A parallel map that keeps the order and bounds what is under way."""

from __future__ import annotations

import os
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor, Future

T = TypeVar("T")
R = TypeVar("R")


def cores_here() -> int:
    """Return how many cores this process may use."""
    # The affinity is what a batch system gave, but not every system tells it.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[T], R], items: Iterable[T], executor: Executor | None, window: int
) -> Iterator[R]:
    """Yield `function(item)` for each item, in order, with at most `window` of them begun.

    Without an executor the items are worked off one by one in the caller's thread. When the
    caller stops early, what has not begun is cancelled.
    """
    if executor is None:
        yield from map(function, items)
        return
    source = iter(items)
    pending: deque[Future[R]] = deque()
    try:
        pending.extend(executor.submit(function, item) for item in islice(source, window))
        while pending:
            result = pending.popleft().result()
            pending.extend(executor.submit(function, item) for item in islice(source, 1))
            yield result
    finally:
        for future in pending:
            future.cancel()
