"""Checkpoints of `camtool train`: what they hold, how a run goes on, and networks out of them.

What a checkpoint folder is, and that it is whole or not there, is `camtool.runs.checkpoint_store`.
"""

from __future__ import annotations

import io
import json
import logging
import pickle
import platform
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, final

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from camtool.annotations import NetworkClasses
from camtool.errors import ModelError, RunError, shorten
from camtool.models import ModelSettings
from camtool.models.heads import ClassMapHead, LinearHead
from camtool.models.settings import is_backbone
from camtool.paths import is_file, is_folder
from camtool.pipelines.experiment import Experiment, LocalizeSettings
from camtool.runs.checkpoint_store import (
    CLASSES,
    STATE,
    WEIGHTS,
    CheckpointStore,
    checkpoint_folder,
    read_checkpoint,
)
from camtool.settings import differences, load_settings
from camtool.training.loop import EpochSums, Position
from camtool.training.losses import Loss
from camtool.training.methods import Method, TrainingMethod
from camtool.training.seeds import get_random_state, set_random_state
from camtool.training.settings import TrainSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from camtool.models.classifier import Classifier
    from camtool.structures import InputSpec
    from camtool.training.data import ExampleSets
    from camtool.training.loop import Loop


S = TypeVar("S", bound=BaseModel)
_Positive = Annotated[float, Field(gt=0, lt=1e6)]
_Mean = Annotated[float, Field(gt=-1e6, lt=1e6)]
_Side = Annotated[int, Field(ge=1, le=1 << 16)]
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


class _Input(BaseModel):
    """The preprocessing in a checkpoint: see `InputSpec`."""

    size: tuple[_Side, _Side]
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Positive, _Positive, _Positive]
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"]
    crop_fraction: float = Field(gt=0, le=1)


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
            "input": {key: getattr(loop.spec, key) for key in _Input.model_fields},
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


def read_classes(folder: Path) -> NetworkClasses:
    """Return the classes of a checkpoint's network.

    Raises:
        ModelError: the class map is damaged.
    """
    path = folder / CLASSES
    try:
        return NetworkClasses.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: not a class map ({shorten(str(error), 200)})") from error


def build_trained(model: ModelSettings, folder: Path, seed: int) -> Classifier:
    """Return a trained network in evaluation mode, on the CPU.

    Args:
        model: the network; its section in the checkpoint's experiment.
        folder: the checkpoint.
        seed: of weights that are overwritten.

    Raises:
        ModelError: the checkpoint is damaged, or of another network.
    """
    from camtool.models.weights import with_linear_weights

    description = read_checkpoint(folder)
    bare = model.model_copy(update={"weights": "none", "linear_weights": None})
    method: TrainingMethod = _trained(description, folder, "method", Method)
    classifier = method.prepare(bare.build(seed, len(read_classes(folder))))
    path = folder / WEIGHTS
    try:
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error})") from error
    own = classifier.state_dict()
    for key in (*own, *state):
        if key not in own or key not in state or own[key].shape != state[key].shape:
            mine, its = (tuple(s[key].shape) if key in s else "absent" for s in (own, state))
            raise ModelError(
                f"{path}: checkpoint and experiment disagree: '{key}' is {its}, the section model"
                f" asks for {mine}"
            )
    classifier.load_state_dict(state)
    classifier.spec = _input_of(description, folder, classifier.spec)
    if model.scores is None:
        classifier.scores = _trained(description, folder, "loss", Loss).scores
    if model.linear_weights is not None:
        with_linear_weights(classifier.eval(), model.linear_weights)
    return classifier.eval()


def build_onward(
    model: ModelSettings, folder: Path, seed: int, classes: NetworkClasses
) -> Classifier:
    """Return the network of a checkpoint to train further, with a new last layer where it must be.

    Args:
        model: the network; its section in the checkpoint's experiment.
        folder: the checkpoint.
        seed: of the last layer, where classes differ.
        classes: what is trained on; rows of the last layer go by the names of classes.

    Raises:
        ModelError: the checkpoint is damaged, of another network, or of a method of training that
            changes the network; or its head is not linear, and the classes are others.
    """
    held = read_classes(folder)
    method = _trained(read_checkpoint(folder), folder, "method", Method)
    if type(method).prepare is not TrainingMethod.prepare:
        raise ModelError(
            f"{folder}: trained by the method {method.name}, which puts layers of its own into the"
            " network: start from another checkpoint"
        )
    classifier = build_trained(model, folder, seed)
    if held.names == classes.names:
        classifier.mark_new([])
        return classifier
    head = classifier.head
    if not isinstance(head, LinearHead | ClassMapHead):
        raise ModelError(
            f"{folder}: of {len(held)} classes, and its end cannot be given {len(classes)} others:"
            " start from another checkpoint"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layer = torch.nn.Linear(head.weight.shape[1], len(classes))
    kept = [(i, held.by_name[n]) for i, n in enumerate(classes.names) if n in held.by_name]
    with torch.no_grad():
        for new, old in kept:
            layer.weight[new], layer.bias[new] = head.weight[old].reshape(-1), head.offset[old]
    made = type(head)(layer.weight, layer.bias, head.pooling)
    made.dropout = head.dropout
    classifier.mark_new([])
    classifier.replace_head(made)
    _log.info(
        "%s: of %d classes, here are %d: its last layer is new, but for the %d of the same name",
        folder, len(held), len(classes), len(kept),
    )  # fmt: skip
    return classifier


def _trained(description: dict[str, Any], folder: Path, part: str, union: Any) -> Any:  # noqa: ANN401
    """Return a part of the settings of training, which the network goes on to depend on."""
    try:
        given = json.dumps(description["experiment"]["train"][part])
        return TypeAdapter(union).validate_json(given)
    except (KeyError, TypeError, ValidationError) as error:
        raise ModelError(f"{folder}: damaged: no train.{part} in it ({error})") from error


def _input_of(description: dict[str, Any], folder: Path, spec: InputSpec) -> InputSpec:
    """Return the preprocessing that a checkpoint names; what is not there is the network's."""
    try:
        given = _Input.model_validate(description["input"])
    except (KeyError, ValidationError) as error:
        raise ModelError(f"{folder}: damaged: no preprocessing in it ({error})") from error
    return replace(spec, **given.model_dump())


def with_model(model: Path, config: Path | None, overrides: Sequence[str]) -> Experiment:
    """Return the settings under which a trained network localizes.

    The network, its preprocessing, its maps and its boxes (with the threshold) are those of the
    checkpoint; what a settings file and `--set` say of `localize` goes before.

    Args:
        model: a checkpoint folder, a file in it, or a run folder of `camtool train`; a file of
            weights that another trainer wrote; or the name of a backbone, `timm/resnet50`.
        config: a settings file; None for none.
        overrides: texts `key=value`.

    Raises:
        ModelError: nothing of these is there, or a damaged one.
        SettingsError: the settings are not valid.
    """
    folder = checkpoint_folder(model)
    if folder is None:
        return load_settings(Experiment, config, (_as_setting(model), *overrides))
    stored = read_checkpoint(folder).get("experiment", {})
    network = _section(ModelSettings, stored, "model", folder)
    trained = _section(LocalizeSettings, stored, "localize", folder)
    network = network.model_copy(update={"weights": str(folder)})
    if config is None:
        held = {"model": network, "localize": trained}
        stored = {name: section.model_dump(mode="json") for name, section in held.items()}
        return load_settings(Experiment, None, overrides, stored=(str(folder), stored))
    given = load_settings(Experiment, config, overrides)
    kept = {k: v for k, v in trained if k not in given.localize.model_fields_set}
    localize = given.localize.model_copy(update=kept)
    return given.model_copy(update={"model": network, "localize": localize})


def _as_setting(model: Path) -> str:
    """Return the override that a file of weights, or the name of a backbone, stands for."""
    text = str(model)
    if is_file(model):
        return f"model.weights={json.dumps(text)}"
    if is_backbone(text):
        return f"model.backbone={text}"
    what = "a folder without a checkpoint" if is_folder(model) else "no such file or folder"
    raise ModelError(
        f"{shorten(text, 200)}: {what}; --model takes a run of `camtool train` or its folder"
        " checkpoints/best, a file of weights (.safetensors, .pth, .pt, .ckpt), or the name of a"
        " backbone (timm/resnet50)"
    )


def _section(cls: type[S], given: Any, name: str, folder: Path) -> S:  # noqa: ANN401
    try:
        return cls.model_validate_json(json.dumps(given[name]))
    except (ValidationError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}: its section {name} cannot be read: made by another version, or damaged"
            f" ({shorten(str(error), 200)})"
        ) from error
