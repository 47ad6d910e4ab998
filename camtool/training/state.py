"""The training state: everything that a run needs to go on as if it had never stopped."""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import torch

from camtool.errors import ModelError
from camtool.training.loop import EpochSums, Position
from camtool.training.seeds import get_random_state, set_random_state

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.training.loop import Loop


def pack_state(loop: Loop) -> bytes:
    """Return the state of a loop at a step's end.

    Every process must call this at the same step, since the sums of the epoch are joined.
    """
    sums = loop.processes.sum([*loop.sums.values.tolist(), loop.sums.unreadable])
    state = {
        "module": loop.module.state_dict(),
        "optimizer": loop.optimizer.state_dict(),
        "scaler": loop.scaler.state_dict(),
        "average": loop.average.network.state_dict() if loop.average else None,
        "average_updates": loop.average.updates if loop.average else 0,
        "random": get_random_state(),
        "position": [loop.position.epoch, loop.position.step],
        "sums": sums,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def read_state(path: Path) -> dict[str, Any]:
    """Read a state; only tensors and plain data are ever built.

    Raises:
        ModelError: it cannot be read, or holds anything else.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        # Not torch's own advice, which is to unpickle it all the same.
        raise ModelError(
            f"{path}: not a training state: damaged, or it holds other things than tensors and"
            " plain data, which are never built"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a training state that can be read ({reason})") from error
    return state


def restore_state(loop: Loop, state: dict[str, Any], path: Path) -> None:
    """Put a loop where the state was saved.

    Raises:
        ModelError: the state is of another network or optimizer.
    """
    try:
        loop.module.load_state_dict(state["module"])
        loop.optimizer.load_state_dict(state["optimizer"])
        loop.scaler.load_state_dict(state["scaler"])
        if loop.average is not None:
            loop.average.network.load_state_dict(state["average"])
            loop.average.updates = state["average_updates"]
        set_random_state(state["random"])
        loop.position = Position(*state["position"])
        *values, unreadable = state["sums"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0][:300]
        raise ModelError(f"{path}: not of this network and optimizer ({reason})") from error
    # The sums are those of all processes: one of them takes them over.
    if loop.processes.is_first:
        loop.sums = EpochSums(torch.tensor(values, dtype=torch.float64), int(unreadable))
