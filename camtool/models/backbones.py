"""Networks of torchvision, of timm and of the paper by name, with their preprocessing."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import timm
import torchvision
from timm.data.config import resolve_data_config
from timm.models import _features_fx

from camtool.errors import ModelError, shorten
from camtool.models import paper_networks
from camtool.structures import InputSpec

if TYPE_CHECKING:
    from torch import nn

LIBRARIES = ("paper", "torchvision", "timm")
"""Where networks come from; a backbone's name begins with one of them."""

_STRIDES = (
    "an output stride can be chosen for torchvision/resnet50 and deeper, resnext and wide_resnet,"
    " and for most convolutional networks of timm (resnet, efficientnet, mobilenetv2, regnet,"
    " convnext)"
)
_Colour = tuple[float, float, float]

# These read pretrained weights with a preprocessing of their own inside the network, which turns
# ImageNet's usual mean and deviation into one half; without it the input has to be made so.
_HALVES = ("googlenet", "inception_v3")


def names(library: str) -> list[str]:
    """Return the backbone names of a library in its order, without the library."""
    if library == "timm":
        return list(timm.list_models())
    if library == "paper":
        return list(paper_networks.NETWORKS)
    return list(torchvision.models.list_models(module=torchvision.models))


def create(backbone: str, num_classes: int | None, output_stride: int | None) -> nn.Module:
    """Return the network of a backbone name with random weights by torch's generator.

    Args:
        backbone: LIBRARY/NAME.
        num_classes: number of classes; None: as published.
        output_stride: side of the input over side of the last grid; None: as published.

    Raises:
        ModelError: unknown name, or the network has no such output stride.
    """
    library, name = backbone.split("/", 1)
    _check_name(library, name)
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    try:
        if library == "timm":
            options |= {"output_stride": output_stride} if output_stride else {}
            network: nn.Module = timm.create_model(name, pretrained=False, **options)
            return network
        options |= _dilation(output_stride) if output_stride else {}
        if library == "paper":
            return paper_networks.assemble(name, paper_networks.base_of(name), **options)
        return _torchvision(name, options)
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        if output_stride is None:
            raise ModelError(f"{backbone}: {error}") from error
        raise ModelError(f"{backbone} has no output stride {output_stride}; {_STRIDES}") from error


def set_input_size(backbone: str, network: Any, side: int) -> None:  # noqa: ANN401 (timm adds it)
    """Resample the positions of a transformer of timm's to another size of its input.

    Raises:
        ModelError: the network has no such positions, or takes no input of this size.
    """
    if not hasattr(network, "set_input_size"):
        raise ModelError(
            f"{backbone}: model.input_size is for transformers of timm's whose positions can be"
            " resampled; leave it out, localize.preprocess.size says what the input is"
        )
    try:
        network.set_input_size(img_size=(side, side))
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        reason = shorten(str(error), 200) or type(error).__name__
        raise ModelError(f"{backbone} takes no input of {side}×{side} ({reason})") from error


def spec_of(backbone: str, network: nn.Module) -> InputSpec:
    """Return what the input of a network must look like."""
    library, name = backbone.split("/", 1)
    if library == "timm":
        return timm_spec(network)
    if library == "paper":
        plan = paper_networks.NETWORKS[name]
        return InputSpec((plan.side, plan.side), *_statistics(plan.base), "bilinear", 0.875)
    return _torchvision_spec(name)


def check_classifier(backbone: str, network: nn.Module) -> None:
    """Refuse a network that was published without classes: what it answers are no class scores.

    Raises:
        ModelError: it answers features, or embeddings to be compared with those of texts.
    """
    config: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    embeds = "_clip" in str(config.get("architecture")) and "ft_in" not in str(config.get("tag"))
    if getattr(network, "num_classes", None) == 0 or embeds:
        kind = "embeddings for texts" if embeds else "features"
        raise ModelError(
            f"{backbone} has no classifier: it was published for its {kind}; `camtool train` puts"
            " one on it, model.linear_weights gives it classes from a file, or choose another"
            " backbone"
        )


def leaves(backbone: str) -> tuple[list[Any], list[Any]]:
    """Return the modules and functions that the library declares as not to be traced into."""
    if not backbone.startswith("timm/"):
        return [], []
    return _features_fx.get_notrace_modules(), _features_fx.get_notrace_functions()  # type: ignore[no-untyped-call]


def _check_name(library: str, name: str) -> None:
    known = names(library)
    if name.split(".")[0] in known:
        return
    near = difflib.get_close_matches(name, known, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(f"{library} has no network '{name}'{hint} (`camtool models` lists them)")


def _dilation(output_stride: int) -> dict[str, Any]:
    """The last stages of a ResNet that dilate where they would step."""
    return {"replace_stride_with_dilation": [False, output_stride <= 8, output_stride <= 16]}


def _torchvision(name: str, options: dict[str, Any]) -> nn.Module:
    # These two warn unless told; what they start from is replaced by weights or is random anyway,
    # and their own way to draw it takes seconds.
    if name in _HALVES:
        options |= {"init_weights": False}
    network: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return network


def timm_spec(network: Any) -> InputSpec:  # noqa: ANN401 (timm adds its configuration at run time)
    """Return what the input of a network of timm's must look like, by its configuration."""
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
    mean, std = _statistics(name)
    return InputSpec(
        size=(side, side),
        mean=mean,
        std=std,
        interpolation=transform.interpolation.value,
        crop_fraction=side / resized,
    )


def _statistics(name: str | None) -> tuple[_Colour, _Colour]:
    """Mean and deviation of the input of a network of torchvision."""
    if name in _HALVES:
        return (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    return (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
