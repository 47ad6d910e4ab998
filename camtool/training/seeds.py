"""Seeds and random generators: one seed for every purpose, derived from the run's seed.

Randomness that depends only on (seed, purpose, place) needs no state to be carried from step to
step: it is the same after a resume, for any number of workers, and on every rank.

Nothing here imports torch before it is called: the settings of data sets, which every
command reads, draw their splits by `derive_seed`.
"""

from __future__ import annotations

import hashlib
import os
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def derive_seed(seed: int, *place: str | int) -> int:
    """Return a seed in [0, 2**63) for one purpose: `derive_seed(0, "sample", epoch, index)`."""
    text = "\0".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def get_random_state() -> dict[str, Any]:
    """Return the states, as data that `torch.load(weights_only=True)` reads back."""
    import torch

    version, internal, gauss = random.getstate()
    numpy: Any = np.random.get_state(legacy=True)  # noqa: NPY002
    name, keys, position, has_gauss, cached = numpy
    return {
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to a state of `get_random_state`."""
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_all(seed: int) -> None:
    """Seed all generators."""
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


@contextmanager
def own_random_state() -> Iterator[None]:
    """Give the caller's generators back as they were."""
    before = get_random_state()
    try:
        yield
    finally:
        set_random_state(before)


@contextmanager
def kernels(*, deterministic: bool) -> Iterator[None]:
    """Choose between any kernels and those whose results repeat; the caller's choice comes back."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    if deterministic:
        # Without it cuBLAS refuses; it is read when its first handle is made.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic or before)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
