"""Weights that others trained: state files of any trainer, fitted to a network by its own names.

A trainer wraps its network in another, saves it beside its optimizer, and gives the file any
ending. What a file is, its content tells; which prefix its names have, the network's names tell.
Nothing is ever unpickled that could run code.
"""

from __future__ import annotations

import argparse
import collections
import json
import logging
import pickle
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from camtool.errors import ModelError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_log = logging.getLogger("camtool")

_AVERAGED: Final = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
_NESTED: Final = (
    *_AVERAGED, "state_dict", "model_state_dict", "model_state", "model", "network", "net",
    "weights", "params", "module",
)  # fmt: skip
"""Where trainers put the state, the first to be looked at first: averages are what they score."""
_NETWORKS: Final = ("arch", "architecture", "model_name", "backbone", "model")
_CLASSES: Final = ("class_names", "classes", "label_names", "class_to_idx", "idx_to_class")
_WITHIN: Final = ("args", "hyper_parameters", "config", "cfg", "opt", "meta")
_LEVELS: Final = 3
_COUNTS: Final = "num_batches_tracked"

# What checkpoints hold beside tensors that is data and nothing else.
_PLAIN: Final = (
    argparse.Namespace, collections.OrderedDict, collections.defaultdict, dict, np.dtype,
    np.ndarray, *np.float64().__reduce__()[:1], *np.zeros(0).__reduce__()[:1],
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")),
)  # fmt: skip


@dataclass(slots=True)
class StateFile:
    """What a file of weights holds: tensors under the names that the file gives them.

    Attributes:
        path: the file.
        tensors: by name.
        network: name of the network that the file says, without its library; None where it does
            not.
        classes: names of the classes in the order of the scores; None where the file has none.
        told: which of the states in it was read; empty where there is only the one.
    """

    path: Path
    tensors: dict[str, Tensor]
    network: str | None = None
    classes: tuple[str, ...] | None = None
    told: str = ""


@dataclass(slots=True)
class Fitted:
    """A state under the names of a network.

    Attributes:
        tensors: by the network's own names; the last layer may be of another number of classes.
        prefix: what was taken off the file's names.
        missing: names of the network that the file does not have.
        left_out: names of the file that the network does not have.
    """

    tensors: dict[str, Tensor]
    prefix: str = ""
    missing: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


_AGAIN = "copy or download it again"


def read_state_file(path: Path) -> StateFile:
    """Read a file of weights: safetensors, or what `torch.save` wrote, whatever its ending.

    Example:
        >>> from pathlib import Path
        >>> state = {"module.fc.bias": torch.zeros(7)}
        >>> torch.save({"epoch": 3, "state_dict": state}, "own.pth.tar")
        >>> list(read_state_file(Path("own.pth.tar")).tensors)
        ['module.fc.bias']

    Raises:
        ModelError: it cannot be read, holds code, or no state of a network.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: no such file; model.weights is 'imagenet', 'none', a checkpoint of"
            " `camtool train`, or a file of weights (.safetensors, .pth, .pt, .ckpt)"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path}: cannot be read: {reason}") from error
    if not head:
        raise ModelError(f"{path}: empty: no weights in it; {_AGAIN}")
    if head.lstrip().startswith(b"<"):
        raise ModelError(f"{path}: a web page, not a file of weights; fetch the file itself")
    if len(head) == 9 and head[8:9] == b"{":
        return _safetensors(path)
    if not head.startswith((b"PK", b"\x80")):
        raise ModelError(
            f"{path}: not a file of weights: it begins with {head[:8]!r}; expected safetensors or"
            " what torch.save writes"
        )
    return _found_in(path, _unpickled(path))


def _safetensors(path: Path) -> StateFile:
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        found = _found_in(path, {**metadata, "state_dict": safetensors.torch.load_file(path)})
    except (safetensors.SafetensorError, OSError) as error:
        reason = shorten(str(error), 200)
        raise ModelError(f"{path}: damaged or cut short: {reason}; {_AGAIN}") from error
    # There is one state in such a file, under no name.
    return replace(found, told="")


def _unpickled(path: Path) -> object:
    try:
        # Opened here: by the ending of a name torch would choose another reader.
        with path.open("rb") as file, torch.serialization.safe_globals(list(_PLAIN)):
            return torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: holds Python objects beside tensors, and to read these would run code of the"
            " file. If you trust it, write its state with\n"
            f'    m = torch.load("{path.name}", weights_only=False, map_location="cpu")\n'
            '    torch.save(m.state_dict(), "state.pth")\n'
            "where its classes can be imported (m may be a dictionary: then that of the network in"
            " it), and give state.pth"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, IndexError) as error:
        reason = shorten(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
        raise ModelError(f"{path}: damaged or cut short: {reason}; {_AGAIN}") from error


def _found_in(path: Path, content: object) -> StateFile:
    if isinstance(content, Tensor):
        raise ModelError(f"{path}: one tensor, not the state of a network")
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a {type(content).__name__}, not the state of a network")
    place, tensors = _state_in(content, (), _LEVELS)
    if not tensors:
        held = shorten(", ".join(map(str, content)), 200)
        raise ModelError(
            f"{path}: no state of a network in it; it holds: {held or 'nothing'}; write one with"
            ' torch.save(network.state_dict(), "state.pth")'
        )
    others = [key for key in _NESTED if place and key in content and key != place[0]]
    also = [key for key in others if _state_in(content[key], (), 1)[1]]
    more = f" (not the one under {', '.join(map(repr, also))})" if also else ""
    told = f"the state under '{'.'.join(place)}' is read{more}" if place else ""
    return StateFile(path, tensors, _network_in(content), _classes_in(content), told)


def _state_in(
    content: object, place: tuple[str, ...], levels: int
) -> tuple[tuple[str, ...], dict[str, Tensor]]:
    """Return where in a checkpoint the state is, and its tensors; empty where there is none."""
    if not isinstance(content, dict) or "param_groups" in content:
        return place, {}
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor) and v.ndim + 1}
    named = {k: v for k, v in tensors.items() if "." in k}
    if named:
        return place, tensors
    for key in _NESTED if levels else ():
        found = _state_in(content.get(key), (*place, key), levels - 1)
        if found[1]:
            return found
    return place, {}


def _network_in(content: Mapping[str, Any]) -> str | None:
    """Return the name of the network that a checkpoint says, of itself or of its settings."""
    for held in (content, *(_mapping(content.get(key)) for key in _WITHIN)):
        for key in _NETWORKS:
            name = held.get(key)
            if isinstance(name, str) and name and len(name) < 200:
                return name
    return None


def _classes_in(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    for held in (content, *(_mapping(content.get(key)) for key in _WITHIN)):
        for key in _CLASSES:
            if held.get(key) is not None:
                try:
                    return class_names_of(held[key])
                except ValueError:
                    continue
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    if isinstance(value, argparse.Namespace):
        return vars(value)
    return value if isinstance(value, dict) else {}


def class_names_of(value: object) -> tuple[str, ...]:
    """Return names by index, of a list, of `{index: name}` or of `{name: index}`.

    Example:
        >>> class_names_of({"dog": 1, "cat": 0}), class_names_of({"0": "cat", "1": "dog"})
        (('cat', 'dog'), ('cat', 'dog'))

    Raises:
        ValueError: it is none of these, an index lacks, or a name stands twice.
    """
    if isinstance(value, dict) and value:
        if all(type(v) is int for v in value.values()):
            value = {index: name for name, index in value.items()}
        counted = {int(str(index)): name for index, name in value.items()}
        if sorted(counted) != list(range(len(counted))):
            raise ValueError("indices must count from 0 without a gap")
        value = [counted[index] for index in range(len(counted))]
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("expected a list of names, {index: name} or {name: index}")
    if not all(isinstance(name, str) and name for name in value):
        raise ValueError("a name is no text, or empty")
    if len(set(value)) < len(value):
        raise ValueError("a name stands twice")
    return tuple(value)


def read_class_names(path: Path) -> tuple[str, ...]:
    """Read the names of a network's classes: JSON, or a text with a name a line.

    Raises:
        ModelError: it cannot be read, or is no such list.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if text.lstrip()[:1] in ("[", "{"):
            return class_names_of(json.loads(text))
        return class_names_of([line.strip() for line in text.splitlines() if line.strip()])
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path}: not a list of class names: {shorten(str(error), 200)}"
        ) from error


def fit(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Fitted:
    """Put a state under the names of a network, whatever prefix it has.

    Example:
        >>> own = {"conv.weight": torch.zeros(8, 3), "fc.bias": torch.zeros(1000)}
        >>> given = {"module.conv.weight": torch.ones(8, 3), "module.fc.bias": torch.ones(7)}
        >>> fitted = fit(given, own)
        >>> fitted.prefix, {k: tuple(v.shape) for k, v in fitted.tensors.items()}
        ('module.', {'conv.weight': (8, 3), 'fc.bias': (7,)})

    Args:
        state: tensors by the file's names.
        own: the network's, with any number of classes.
    """
    prefix = _prefix(state, own)
    tensors = {k: state[prefix + k] for k in own if prefix + k in state}
    used = {prefix + k for k in tensors}
    # A head that stands beside the wrapped trunk.
    for key in (k for k in own if k not in tensors and k in state and k not in used):
        tensors[key] = state[key]
        used.add(key)
    for key, value in own.items():
        if key not in tensors and key.endswith(_COUNTS):
            tensors[key] = torch.zeros_like(value)
    return Fitted(
        tensors,
        prefix,
        [k for k in own if k not in tensors],
        [k for k in state if k not in used and not k.endswith(_COUNTS)],
    )


def _prefix(state: Iterable[str], own: Mapping[str, Tensor]) -> str:
    """Return what stands before the network's names in most of a file's."""
    by_last: dict[str, list[str]] = {}
    for key in own:
        by_last.setdefault(".".join(key.split(".")[-2:]), []).append(key)
    votes: collections.Counter[str] = collections.Counter()
    for name in state:
        for key in by_last.get(".".join(name.split(".")[-2:]), ()):
            rest = name.removesuffix(key)
            if rest != name or name == key:
                votes[rest if name != key else ""] += rest == "" or rest.endswith(".")
    return max(votes, key=lambda p: (votes[p], -len(p)), default="")


def classes_of(fitted: Fitted, own: Mapping[str, Tensor], classes: int) -> int:
    """Return the number of classes that a state has where the network has `classes`.

    Raises:
        ValueError: a tensor differs in more than the number of classes; says which.
    """
    counts = set()
    for key, value in fitted.tensors.items():
        if value.shape == own[key].shape:
            continue
        if (
            not value.ndim
            or own[key].shape[:1] != (classes,)
            or value.shape[1:] != own[key].shape[1:]
        ):
            raise ValueError(
                f"'{key}' is {tuple(value.shape)} in it, and {tuple(own[key].shape)} in the network"
            )
        counts.add(value.shape[0])
    if len(counts) > 1:
        raise ValueError(f"its last layers have {' and '.join(map(str, sorted(counts)))} classes")
    return counts.pop() if counts else classes
