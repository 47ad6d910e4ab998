"""One seed for every purpose, derived from the run's seed.

Randomness that depends only on (seed, purpose, place) needs no state to be carried from step to
step: it is the same after a resume, for any number of workers, and on every rank.
"""

from __future__ import annotations

import hashlib

__all__ = ["derive_seed"]


def derive_seed(seed: int, *place: str | int) -> int:
    """Return a seed in [0, 2**63) for one purpose: `derive_seed(0, "sample", epoch, index)`."""
    text = "\0".join(map(str, (seed, *place)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
