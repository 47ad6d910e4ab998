"""Predictions judged one after the other, or on all cores where that is the faster way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from camtool.parallel import cores_here, ordered_map

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from camtool.evaluation.judging import Judge, Judged
    from camtool.structures import Annotation, Prediction

__all__ = ["judge_all"]

Pair = tuple["Annotation", "Prediction"]

_AT_ONCE: Final = 16
"""To hand over a single image costs about as much as to score a small one."""


def judge_all(
    judge: Judge, pairs: Iterable[Pair], workers: int | None = None
) -> Iterator[tuple[Prediction, Judged]]:
    """Yield each prediction with how it fares, in order; the same for any number of workers.

    Maps are read and scored by threads, since what takes time there holds no lock of the
    interpreter. Everything else is quicker in one thread. Few images are under way at a time.

    Args:
        judge: judges single images; its maps may be loaded from several threads at once.
        pairs: annotation and prediction of each image.
        workers: number of threads; as many as there are cores when not given.
    """

    def judged(some: Sequence[Pair]) -> list[tuple[Prediction, Judged]]:
        return [(prediction, judge.judge(truth, prediction)) for truth, prediction in some]

    with_maps = judge.settings.protocol.needs_maps or judge.sweeper is not None
    workers = (workers or cores_here()) if with_maps else 1
    if workers == 1:
        yield from chain.from_iterable(map(judged, ([pair] for pair in pairs)))
        return
    with ThreadPoolExecutor(workers) as pool:
        source = iter(pairs)
        chunks = iter(lambda: list(islice(source, _AT_ONCE)), [])
        yield from chain.from_iterable(ordered_map(judged, chunks, pool, 2 * workers))
