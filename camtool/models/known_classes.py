"""Classes that pretrained weights know already: their rows of the last layer, for a new network.

A fine-tuned network then begins with the scores of the pretrained one, restricted to the classes
that both have, and need not learn them again from random rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from camtool.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from camtool.models import ModelSettings
    from camtool.models.classifier import Classifier

__all__ = ["KnownRows", "check_can_keep", "check_kept", "keep_rows"]

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
