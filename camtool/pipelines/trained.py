"""Networks out of checkpoints of `camtool train`: to localize with, and to train further."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from camtool.annotations import NetworkClasses
from camtool.errors import ModelError, shorten
from camtool.models import ModelSettings
from camtool.models.heads import ClassMapHead, LinearHead
from camtool.models.settings import is_backbone
from camtool.paths import is_file, is_folder
from camtool.pipelines.experiment import Experiment, LocalizeSettings
from camtool.runs.checkpoint_store import CLASSES, WEIGHTS, checkpoint_folder, read_checkpoint
from camtool.settings import load_settings
from camtool.training.losses import Loss
from camtool.training.methods import Method, TrainingMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camtool.models.classifier import Classifier
    from camtool.structures import InputSpec


S = TypeVar("S", bound=BaseModel)
_Positive = Annotated[float, Field(gt=0, lt=1e6)]
_Mean = Annotated[float, Field(gt=-1e6, lt=1e6)]
_Side = Annotated[int, Field(ge=1, le=1 << 16)]
_log = logging.getLogger("camtool")


class InputRecord(BaseModel):
    """The preprocessing in a checkpoint: see `InputSpec`."""

    size: tuple[_Side, _Side]
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Positive, _Positive, _Positive]
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"]
    crop_fraction: float = Field(gt=0, le=1)


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
        given = InputRecord.model_validate(description["input"])
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
