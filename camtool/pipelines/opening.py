"""From what names a network, or is one, to a classifier that can localize, and its settings.

A name, a run folder or checkpoint of `camtool train`, a module of torch's: whatever is wrong about
them is the program's own error, with the parameter of `Localizer` that it is about.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import torch
from torch import nn

from camtool.annotations import NetworkClasses
from camtool.cam import CAMS, MapMethod
from camtool.errors import ModelError, SettingsError, shorten
from camtool.images import CenterCrop
from camtool.models import ModelSettings
from camtool.models.backbones import timm_spec
from camtool.models.building import classifier_of
from camtool.models.classifier import Classifier
from camtool.models.settings import is_backbone
from camtool.pipelines.experiment import BaseClassChoice, Listed, LocalizeSettings, TopK
from camtool.pipelines.trained import build_trained, read_classes, with_model
from camtool.settings.written import similar
from camtool.structures import InputSpec

Model = str | Path | nn.Module | ModelSettings
"""What a localizer is made of: `timm/NAME`, `torchvision/NAME` or `paper/NAME`; a run folder or a
checkpoint of `camtool train`; a module from images to class scores; or settings."""

Names = str | Sequence[str] | NetworkClasses
"""The classes of a network in the order of its scores."""

Choice = int | str | Sequence[str | int] | BaseClassChoice
"""Which classes get a map: the most probable ones, so many; those named; or a setting."""

_EXAMPLE: Final = "mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)"


class Network(NamedTuple):
    """A network, its classes, and the settings that it was trained with, where it was here."""

    classifier: Classifier
    names: NetworkClasses
    trained: LocalizeSettings | None = None


@final
@dataclass(frozen=True, slots=True)
class GivenInput:
    """What a caller says of a network's input, in place of what is known of it.

    Attributes:
        size: side of a square, or (width, height).
        mean: for each colour, or for all, of values in [0, 1].
        std: likewise.
    """

    size: int | tuple[int, int] | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None

    def checked(self) -> dict[str, Any]:
        """Return what is given, as fields of `InputSpec`.

        Raises:
            SettingsError: a size of no pixels, or means and deviations of other values than [0, 1].
        """
        given: dict[str, Any] = {}
        if self.size is not None:
            given["size"] = _size(self.size)
        if self.mean is not None:
            given["mean"] = _colours("mean", self.mean, 0)
        if self.std is not None:
            given["std"] = _colours("std", self.std, 1e-6)
        return given


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or not all(isinstance(s, int) and 1 <= s <= 1 << 16 for s in sides):
        raise SettingsError(f"size: expected a side or (width, height) in pixels, got {size!r}")
    return sides[0], sides[1]


def _colours(name: str, given: float | Sequence[float], least: float) -> tuple[float, ...]:
    values = (given,) * 3 if isinstance(given, int | float) else tuple(map(float, given))
    if len(values) != 3:
        raise SettingsError(f"{name}: expected one number or three, got {len(values)}")
    if not all(least <= value <= 1 for value in values):
        raise SettingsError(
            f"{name}: is of values in [0, 1], got {', '.join(f'{v:g}' for v in values)}; divide by"
            f" 255 what is of 0 to 255, e.g. {_EXAMPLE}"
        )
    return values


def open_network(model: Model, given: GivenInput, names: Names | None, seed: int) -> Network:
    """Return a network in evaluation mode, with its classes.

    Args:
        model: what names the network, or is it; a module is copied.
        given: what is said of its input.
        names: its classes; None for what is known of them.
        seed: of random weights.

    Raises:
        SettingsError: no such kind of network, or other names than it has classes.
        ModelError: the network cannot be built, or answers no class scores.
    """
    trained = None
    if isinstance(model, str | Path):
        model, trained = _named(model)
    if isinstance(model, nn.Module):
        classifier, known = _of_module(model, given), None
    elif isinstance(model, ModelSettings):
        classifier, known = _built(model, seed)
        own = classifier.spec.size
        classifier.spec = replace(classifier.spec, **given.checked())
        check_input_sizes(classifier, [classifier.spec.size], own)
    else:
        raise SettingsError(
            f"model: expected a name, a folder, a torch module or ModelSettings, got an object of"
            f" type {type(model).__name__}"
        )
    return Network(classifier, _classes(classifier, names, known), trained)


def _named(model: str | Path) -> tuple[ModelSettings, LocalizeSettings | None]:
    if isinstance(model, str) and is_backbone(model):
        return ModelSettings(backbone=model), None
    if not Path(model).exists():
        text = shorten(str(model), 200)
        hint = ""
        if re.fullmatch(r"[\w.\-]+", str(model)):
            hint = f" (timm/{text} and torchvision/{text} are two networks: name the library)"
        raise ModelError(
            f"{text}: neither a network (timm/NAME, torchvision/NAME, paper/NAME), nor a folder or"
            f" file that is there{hint}"
        )
    experiment = with_model(Path(model), None, ())
    return experiment.model, experiment.localize


def _built(model: ModelSettings, seed: int) -> tuple[Classifier, NetworkClasses | None]:
    """The network, and its classes as its checkpoint names them."""
    model = model.resolved()
    folder = model.checkpoint
    if folder is None:
        return model.build(seed), None
    return build_trained(model, folder, seed), read_classes(folder)


def _of_module(module: nn.Module, given: GivenInput) -> Classifier:
    """The copy of a module as a classifier: the caller's own keeps its mode, place and weights."""
    if next(module.parameters(), None) is None:
        raise ModelError(f"{type(module).__name__}: has no weights")
    try:
        copied = copy.deepcopy(module).eval()
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{type(module).__name__}: cannot be copied ({shorten(str(error), 200)})"
        ) from error
    if isinstance(copied, Classifier):
        copied.spec = replace(copied.spec, **given.checked())
        return copied
    spec = _spec_of(module, given)
    return classifier_of(copied.to("cpu", torch.float32), spec)


def _spec_of(module: nn.Module, given: GivenInput) -> InputSpec:
    """What the input of a module must look like, by what is given and what timm wrote on it."""
    checked = given.checked()
    if getattr(module, "pretrained_cfg", None):
        return replace(timm_spec(module), **checked)
    if missing := [name for name in ("size", "mean", "std") if name not in checked]:
        raise SettingsError(
            f"{' and '.join(missing)}: a {type(module).__name__} does not say what input it was"
            f" trained with, and on another its maps are wrong: give {', '.join(missing)}, as for"
            f" torchvision's own weights size=224, {_EXAMPLE}"
        )
    return InputSpec(interpolation="bilinear", crop_fraction=0.875, **checked)


def _classes(
    classifier: Classifier, given: Names | None, known: NetworkClasses | None
) -> NetworkClasses:
    if given is not None:
        return _given_classes(classifier, given)
    if (own := classifier.class_names) is not None:
        return NetworkClasses.named(own)
    if known is not None:
        return known
    if classifier.num_classes == 1000:
        return NetworkClasses.of_imagenet()
    return NetworkClasses.numbered(classifier.num_classes)


def _given_classes(classifier: Classifier, given: Names) -> NetworkClasses:
    if isinstance(given, NetworkClasses):
        names = given
    else:
        texts = _texts("class_names", given)
        if twice := [text for i, text in enumerate(texts) if text in texts[:i]]:
            raise SettingsError(f"class_names: '{shorten(twice[0])}' stands for two classes")
        names = NetworkClasses.named(texts)
    if len(names) != classifier.num_classes:
        raise SettingsError(
            f"class_names: {len(names):,} names (first: '{shorten(names.names[0])}'), but"
            f" {classifier.name} has {classifier.num_classes:,} classes"
        )
    return names


def _texts(parameter: str, given: str | Iterable[Any]) -> tuple[str, ...]:
    """Return names in their order; text is one name."""
    if isinstance(given, str):
        return (given,)
    if isinstance(given, Mapping | Set | Path) or not isinstance(given, Iterable):
        raise SettingsError(
            f"{parameter}: expected names in their order, got a {type(given).__name__}; give a list"
        )
    texts = tuple(given)
    if wrong := [one for one in texts if not isinstance(one, str)]:
        raise SettingsError(
            f"{parameter}: expected text, got {shorten(repr(wrong[0]))}; put it in quotes"
        )
    if not texts:
        raise SettingsError(f"{parameter}: no name in it")
    return texts


def chosen_settings(
    settings: LocalizeSettings | None,
    trained: LocalizeSettings | None = None,
    *,
    method: str | MapMethod | None = None,
    threshold: float | str | Mapping[str, Any] | None = None,
    classes: Choice | None = None,
    given: GivenInput | None = None,
) -> LocalizeSettings:
    """Return settings with what a caller says in few words in place of their own.

    Args:
        settings: what is set here holds.
        trained: what the network was trained with: what is not set there is as here.
        method: of maps.
        threshold: of the box rule.
        classes: that get a map.
        given: what is said of the network's input; its size goes before that of the settings.

    Raises:
        SettingsError: no such method, a threshold that is none, or a rule without one.
    """
    base = settings or trained or LocalizeSettings()
    if settings is not None and trained is not None:
        kept = {k: v for k, v in trained if k not in settings.model_fields_set}
        base = settings.model_copy(update=kept)
    changed: dict[str, Any] = {}
    if method is not None:
        changed["cam"] = _method(method, base.cam)
    if threshold is not None:
        changed["boxes"] = _with_threshold(base.boxes, threshold)
    if classes is not None:
        changed["classes"] = _choice(classes)
    size = given.checked().get("size") if given is not None else None
    if size is not None:
        if isinstance(base.preprocess, CenterCrop) and size[0] != size[1]:
            raise SettingsError("size: center-crop makes squares: give one side, or use squeeze")
        changed["preprocess"] = base.preprocess.model_copy(update={"size": None})
    return base.model_copy(update=changed)


def _method(method: str | MapMethod, own: MapMethod) -> MapMethod:
    if isinstance(method, MapMethod):
        return method
    if not isinstance(method, str):
        raise SettingsError(
            f"method: expected a name or one of camtool.cam, got an object of type"
            f" {type(method).__name__}"
        )
    if method == vars(own)["name"]:
        return own  # with the settings that it has
    kinds: dict[str, type[MapMethod]] = {str(c.model_fields["name"].default): c for c in CAMS}
    if method in kinds:
        return kinds[method]()
    near = similar(method, kinds)
    hint = f"; did you mean '{near}'?" if near else f"; there are: {', '.join(kinds)}"
    raise SettingsError(f"method: no method '{shorten(method)}'{hint}")


def _with_threshold(rule: Any, threshold: float | str | Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Return a box rule with another threshold, checked by the rule's own class."""
    setting = getattr(rule, "threshold_setting", None)
    if setting is None:
        raise SettingsError(f"threshold: the box rule {rule.name} has none")
    value = dict(threshold) if isinstance(threshold, Mapping) else threshold
    several = setting.endswith("s")
    return type(rule)(**{**dict(rule), setting: (value,) if several else value})


def _choice(classes: Choice) -> BaseClassChoice:
    if isinstance(classes, BaseClassChoice):
        return classes
    if isinstance(classes, int) and not isinstance(classes, bool):
        return TopK(k=classes)
    if isinstance(classes, str):
        return Listed(classes=(classes,))
    if isinstance(classes, Sequence):
        names = [str(c) if isinstance(c, int) else c for c in classes]
        return Listed(classes=_texts("classes", names))
    raise SettingsError(
        f"classes: expected a number of classes or their names, got an object of type"
        f" {type(classes).__name__}"
    )


def check_input_sizes(
    classifier: Classifier,
    sizes: Iterable[tuple[int, int]],
    own: tuple[int, int] | None = None,
) -> None:
    """Refuse a size that the network does not take, before the first image.

    Its own size costs nothing; each other one a pass.

    Args:
        classifier: the network, in evaluation mode.
        sizes: (width, height) of the inputs.
        own: its own size; None for that which its specification names.

    Raises:
        ModelError: it does not; the message names its own size.
    """
    own = own or classifier.spec.size
    weight = next(classifier.parameters())
    for width, height in dict.fromkeys(sizes):
        if (width, height) == own:
            continue
        try:
            with torch.no_grad():
                classifier(weight.new_zeros(1, 3, height, width))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"{classifier.name} takes no input of {width}×{height}, which size, or"
                f" localize.preprocess.size and localize.views, lead to ({shorten(str(error))});"
                f" its own size is {own[0]}×{own[1]}: leave sizes out, and use views"
                " without other scales; of most transformers of timm's model.input_size resamples"
                " the positions"
            ) from error


def device_of(name: str | torch.device) -> torch.device:
    """Return the device of a name; `auto` is a GPU where there is one.

    Raises:
        SettingsError: no name of a device.
        ModelError: it is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingsError(
            f"device: no device '{shorten(str(name))}': give auto, cpu or cuda"
        ) from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError("no CUDA device is here: use --device cpu, or auto")
    return device
