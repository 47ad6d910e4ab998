"""Union–find over an array of parents, as all sweeps over runs and pieces use it."""

from __future__ import annotations

from typing import Any

from camtool.boxes.compiled import inlined

__all__ = ["root_of"]


@inlined
def root_of(parents: Any, i: int) -> Any:  # noqa: ANN401
    """Return the root of a set, and halve the way to it for the next time."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i
