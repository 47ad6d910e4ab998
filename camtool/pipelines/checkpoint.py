"""Checkpoints of `camtool train`: what they hold, and how a run goes on.

What a checkpoint folder is, and that it is whole or not there, is `camtool.runs.checkpoint_store`;
networks out of them are `camtool.pipelines.trained`.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import safetensors
import safetensors.torch
import torch

from camtool.errors import ModelError, RunError, shorten
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.trained import InputRecord, read_classes
from camtool.runs.checkpoint_store import (
    CLASSES,
    STATE,
    WEIGHTS,
    CheckpointStore,
    read_checkpoint,
)
from camtool.settings import differences
from camtool.training.loop import EpochSums, Position
from camtool.training.seeds import get_random_state, set_random_state
from camtool.training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from camtool.training.data import ExampleSets
    from camtool.training.loop import Loop


_log = logging.getLogger("camtool")


@final
@dataclass
class TrainingRecord:
    """What a run has come to beside its weights: stored in `checkpoint.json`, as JSON.

    Attributes:
        history: a row for each finished epoch.
        metrics: those of the validation of just these weights; None where there was none.
        best: what the rule says of the best epoch so far, and what decides among equals; more is
            better. None before the first validation.
        best_epoch: that epoch, counted from 1; 0 for none, or for the fitted layer that training
            began with.
    """

    history: list[dict[str, Any]]
    metrics: dict[str, float] | None = None
    best: list[float] | None = None
    best_epoch: int = 0


@final
class Checkpoints:
    """The checkpoints of one experiment."""

    def __init__(self, experiment: Experiment, sets: ExampleSets) -> None:
        """Describe them; nothing is touched."""
        self.store = CheckpointStore(experiment.run.dir)
        self._experiment = experiment
        self._classes = sets.classes
        self._images = len(sets.train)
        # Without validation the last checkpoint is the best one, whatever was asked.
        self._rule = experiment.train.best if sets.val else "last"
        self._held = {"images": sets.held, "count": len(sets.val), "official_test": sets.on_test}

    def save(self, loop: Loop, done: TrainingRecord, *, best: bool = False) -> None:
        """Write a checkpoint; every process calls it, the first one writes.

        Raises:
            ModelError: the weights are not finite; the checkpoint before stays as it was.
            RunError: it cannot be written; likewise.
        """
        _check_finite(loop)
        state = pack_state(loop)
        if loop.processes.is_first:
            files = {
                WEIGHTS: safetensors.torch.save(_weights(loop)),
                CLASSES: json.dumps(self._classes.to_json(), ensure_ascii=False, indent=1).encode(),
                STATE: state,
            }
            self.store.save(files, self._description(loop, done, best=best))
            if best:
                self.store.mark_best(self.store.last)
        loop.processes.barrier()

    def _description(self, loop: Loop, done: TrainingRecord, *, best: bool) -> dict[str, Any]:
        packages = ("torch", "torchvision", "timm", "numpy", "pillow")
        return {
            "schema_version": 1,
            "program": {"name": "camtool", "version": version("camtool")},
            "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
            # On a CPU their number decides in which order sums are made.
            "threads": torch.get_num_threads(),
            "experiment": self._experiment.model_dump(mode="json"),
            "input": {key: getattr(loop.spec, key) for key in InputRecord.model_fields},
            "threshold": getattr(self._experiment.localize.boxes, "threshold", None),
            "epoch": loop.position.epoch,
            "step": loop.position.step,
            "metrics": done.metrics,
            "is_best": best,
            "training_images": self._images,
            "validated_on": self._held if self._held["count"] else None,
            "best": {
                "rule": self._rule,
                "uses_boxes": self._rule in TrainSettings.USES_BOXES,
                "value": done.best,
                "epoch": done.best_epoch,
            },
            "history": done.history,
        }

    def resume(self, loop: Loop) -> TrainingRecord | None:
        """Put a loop where the newest whole checkpoint is; None where there is no checkpoint.

        Raises:
            RunError: the folder holds a run of other settings, classes or number of images.
            ModelError: every checkpoint is damaged.
        """
        damage: list[ModelError] = []
        for folder in (self.store.last, self.store.previous):
            if not folder.exists():
                continue
            try:
                description = read_checkpoint(folder)
                self._check_same(description)
                self._check_same_data(description, folder)
                restore_state(loop, read_state(folder / STATE), folder / STATE)
            except ModelError as error:
                damage.append(error)
                _log.warning("%s; trying the checkpoint before it", error)
                continue
            if loop.processes.is_first:
                self._mend_best(folder, description)
            best = description["best"]
            return TrainingRecord(
                list(description["history"]), description["metrics"], best["value"], best["epoch"]
            )
        if damage:
            raise ModelError(f"{damage[0]}; no older checkpoint is whole: start with another --out")
        return None

    def _mend_best(self, folder: Path, description: Mapping[str, Any]) -> None:
        """Mark a checkpoint as the best one, if a kill came before that was done."""
        if description["is_best"] and not _same_place(self.store, description):
            self.store.mark_best(folder)

    def _check_same(self, description: Mapping[str, Any]) -> None:
        held = identity(description.get("experiment", {}))
        own = identity(self._experiment.model_dump(mode="json"))
        if changed := differences(held, own):
            raise RunError(
                f"{self._experiment.run.dir} holds a training run of other settings"
                f" ({', '.join(changed[:5])} differs): choose another --out"
            )

    def _check_same_data(self, description: Mapping[str, Any], folder: Path) -> None:
        """Refuse to go on with data that changed: the settings may name the same folder still."""
        names = read_classes(folder).names
        if names != self._classes.names:
            others = sorted(set(names) ^ set(self._classes.names)) or ["in another order"]
            raise RunError(
                f"{self._experiment.run.dir} holds a training run of other classes than the data"
                f" have now ({', '.join(shorten(o, 40) for o in others[:5])}): choose another --out"
            )
        if (held := description.get("training_images", self._images)) != self._images:
            raise RunError(
                f"{self._experiment.run.dir} holds a training run of {held} images, and now there"
                f" are {self._images} to train on: bring the data back, or choose another --out"
            )


def identity(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of an experiment, as JSON data, must be equal for training to go on."""
    # A damaged file may have anything for a section.
    parts = {name: value for name, value in experiment.items() if isinstance(value, dict)}
    free = {
        "train": TrainSettings.FREE,
        "data": ("cache_mb",),
        "localize": ("overlays", "classes"),
    }
    sections = {
        name: {k: v for k, v in parts.get(name, {}).items() if k not in keys}
        for name, keys in free.items()
    }
    seed = parts.get("run", {}).get("seed")
    return {"model": experiment.get("model"), **sections, "run": {"seed": seed}}


def _check_finite(loop: Loop) -> None:
    """Refuse weights that the last step broke, though its loss was finite."""
    values = loop.module.state_dict().values()
    broken = any(v.is_floating_point() and not bool(v.isfinite().all()) for v in values)
    if loop.processes.any([broken])[0]:
        raise ModelError(
            f"the weights are not finite in epoch {loop.position.epoch + 1}, step"
            f" {loop.position.step:,}: stopped, nothing of it saved; lower"
            " train.optimizer.learning_rate, or set train.clip"
        )


def _weights(loop: Loop) -> dict[str, Tensor]:
    """The weights to use: the moving average where there is one."""
    network = loop.average.network if loop.average else loop.module.classifier
    return {k: v.detach().cpu().contiguous().clone() for k, v in network.state_dict().items()}


def _same_place(store: CheckpointStore, description: Mapping[str, Any]) -> bool:
    """Whether `best` is of the same step as a description."""
    try:
        best = read_checkpoint(store.best)
    except ModelError:
        return False
    return bool(best["epoch"] == description["epoch"] and best["step"] == description["step"])


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
