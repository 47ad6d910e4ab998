"""Small runs for the tests of the run folder."""

from __future__ import annotations

import numpy as np

from camtool.runs import RunFolder, Shard
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox, ScoreMap

IDENTITY = {"localize": {"cam": {"name": "cam"}}, "inputs": "1f"}


def prediction(number: int) -> tuple[Prediction, list[ScoreMap]]:
    """An image with one class or two; every fifth cannot be read."""
    name = f"image{number:04d}"
    if number % 5 == 4:
        return Prediction(name, f"{name}.jpg", None, error="empty file (0 bytes)"), []
    random = np.random.default_rng(number)
    size = 40 + number, 30
    count = 1 + number % 2
    classes = tuple(
        ClassPrediction(f"n{rank}", 0.5, (ScoredBox(Box(1, 2, 3 + number, 4), 1.0),), rank, rank)
        for rank in range(1, count + 1)
    )
    maps = [
        ScoreMap(random.normal(size=(3, 4)).astype(np.float32), (0, 0, *size), size)
        for _ in range(count)
    ]
    return Prediction(name, f"{name}.jpg", size, classes), maps


def append(folder: RunFolder, numbers) -> None:
    pairs = [prediction(n) for n in numbers]
    folder.append([p for p, _ in pairs], [m for _, m in pairs])


def different(held, own) -> list[str]:
    return [k for k in own if held.get(k) != own[k]]


def write_run(path, images: int, shards: int = 1, part: int = 4) -> None:
    for index in range(shards):
        shard = Shard(index, shards)
        folder = RunFolder(path, shard, images, IDENTITY)
        folder.check(different)
        if folder.is_finished():
            continue
        with folder.open("a: 1\n", different):
            own = list(range(index, images, shards))
            for start in range(0, len(own), part):
                append(folder, own[start : start + part])
            assert folder.done() == shard.share(images)
            # With fewer images than shards, the last ones have nothing to wait for.
            assert folder.is_complete() == (index >= min(shards, images) - 1)
            if folder.is_complete():
                folder.assemble({"schema_version": 1})


def contents(path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}
