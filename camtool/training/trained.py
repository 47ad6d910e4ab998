"""Networks out of the checkpoints of `camtool train`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from camtool.annotations import NetworkClasses
from camtool.errors import ModelError
from camtool.runs.checkpoint_store import CLASSES, WEIGHTS, read_checkpoint
from camtool.training.methods import Method, TrainingMethod

if TYPE_CHECKING:
    from pathlib import Path

    from camtool.models import ModelSettings
    from camtool.models.classifier import Classifier
    from camtool.structures import InputSpec


def read_classes(folder: Path) -> NetworkClasses:
    """Return the classes of a checkpoint's network.

    Raises:
        ModelError: the class map is damaged.
    """
    path = folder / CLASSES
    try:
        return NetworkClasses.from_json(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a class map ({error})") from error


def build_trained(model: ModelSettings, folder: Path, seed: int) -> Classifier:
    """Return a trained network in evaluation mode, on the CPU.

    Args:
        model: the network; its section in the checkpoint's experiment.
        folder: the checkpoint.
        seed: of weights that are overwritten.

    Raises:
        ModelError: the checkpoint is damaged, or of another network.
    """
    import safetensors
    import safetensors.torch

    from camtool.models.weights import with_linear_weights

    description = read_checkpoint(folder)
    bare = model.model_copy(update={"weights": "none", "linear_weights": None})
    classifier = _method(description, folder).prepare(bare.build(seed, len(read_classes(folder))))
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
    if model.linear_weights is not None:
        with_linear_weights(classifier.eval(), model.linear_weights)
    return classifier.eval()


def _method(description: dict[str, Any], folder: Path) -> TrainingMethod:
    """The training method, which may have given the network a head of its own."""
    try:
        told = json.dumps(description["experiment"]["train"]["method"])
        method: TrainingMethod = TypeAdapter(Method).validate_json(told)
    except (KeyError, TypeError, ValidationError) as error:
        raise ModelError(f"{folder}: damaged: no training method in it ({error})") from error
    return method


def input_to_json(spec: InputSpec) -> dict[str, Any]:
    """Return the preprocessing as checkpoints hold it."""
    return {
        "size": list(spec.size),
        "mean": list(spec.mean),
        "std": list(spec.std),
        "interpolation": spec.interpolation,
        "crop_fraction": spec.crop_fraction,
    }


def _input_of(description: dict[str, Any], folder: Path, spec: InputSpec) -> InputSpec:
    try:
        given = description["input"]
        return replace(
            spec,
            size=tuple(given["size"]),
            mean=tuple(given["mean"]),
            std=tuple(given["std"]),
            interpolation=given["interpolation"],
            crop_fraction=given["crop_fraction"],
        )
    except (KeyError, TypeError) as error:
        raise ModelError(f"{folder}: damaged: no preprocessing in it ({error})") from error
