"""What `camtool train` writes into a checkpoint, and how the newest whole one is found again."""

from __future__ import annotations

import json
import logging
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, final

import safetensors.torch

from camtool.errors import ModelError, RunError, shorten
from camtool.runs.checkpoint_store import CLASSES, STATE, WEIGHTS, CheckpointStore, read_checkpoint
from camtool.settings import differences
from camtool.training.settings import TrainSettings
from camtool.training.state import pack_state, read_state, restore_state
from camtool.training.trained import input_to_json, read_classes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from camtool.pipelines.experiment import Experiment
    from camtool.training.data import ExampleSets
    from camtool.training.loop import Loop


_log = logging.getLogger("camtool")


@final
@dataclass
class Progressed:
    """What a run has come to beside its weights: stored in `checkpoint.json`, as JSON.

    Attributes:
        history: a row for each finished epoch.
        metrics: those of the validation of just these weights; None where there was none.
        best: what the rule says of the best epoch so far, and what decides among equals; more is
            better. None before the first validation.
        best_epoch: that epoch, counted from 1; 0 for none.
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

    def save(self, loop: Loop, done: Progressed, *, best: bool = False) -> None:
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

    def _description(self, loop: Loop, done: Progressed, *, best: bool) -> dict[str, Any]:
        packages = ("torch", "torchvision", "timm", "numpy", "pillow")
        return {
            "schema_version": 1,
            "program": {"name": "camtool", "version": version("camtool")},
            "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
            "experiment": self._experiment.model_dump(mode="json"),
            "input": input_to_json(loop.spec),
            "threshold": getattr(self._experiment.localize.boxes, "threshold", None),
            "epoch": loop.position.epoch,
            "step": loop.position.step,
            "metrics": done.metrics,
            "is_best": best,
            "training_images": self._images,
            "best": {
                "rule": self._rule,
                "uses_boxes": self._rule in TrainSettings.USES_BOXES,
                "value": done.best,
                "epoch": done.best_epoch,
            },
            "history": done.history,
        }

    def resume(self, loop: Loop) -> Progressed | None:
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
            told = description["best"]
            return Progressed(
                list(description["history"]), description["metrics"], told["value"], told["epoch"]
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
    train = {k: v for k, v in experiment.get("train", {}).items() if k not in TrainSettings.FREE}
    data = {k: v for k, v in (experiment.get("data") or {}).items() if k != "cache_mb"}
    localize = {
        k: v for k, v in experiment.get("localize", {}).items() if k not in ("overlays", "classes")
    }
    return {
        "model": experiment.get("model"),
        "data": data,
        "train": train,
        "localize": localize,
        "run": {"seed": experiment.get("run", {}).get("seed")},
    }


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
