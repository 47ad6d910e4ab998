"""Learning rates of parts of a network, by the names that its own code gives them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from camtool.errors import ModelError, shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from camtool.models.classifier import Classifier

__all__ = ["Rates", "rates_of"]


class Rates(NamedTuple):
    """What was asked of each module.

    Attributes:
        factors: by the module's `id`, the factor on its learning rate; those not in it have 1.
        frozen: modules that stay as they are: no gradient, no new statistics, no dropout.
    """

    factors: dict[int, float]
    frozen: list[nn.Module]


def rates_of(classifier: Classifier, asked: Mapping[str, float]) -> Rates:
    """Return the factor of each module with a name in `asked`, or within one; freeze those of 0.

    Args:
        classifier: its parameters of factor 0 lose their gradient.
        asked: factors by a layer's or block's path in the backbone (`blocks.3`), or `head`. Where
            several names fit, the longest counts.

    Raises:
        ModelError: a name is no module's (names near ones), or nothing is left to train.
    """
    names = {_own_name(path): module for path, module in classifier.named_modules()}
    for name in asked:
        _check(name, names, classifier.name)
    factors, frozen = {}, []
    for name, module in names.items():
        fitting = [given for given in asked if f"{name}.".startswith(f"{given}.")]
        if not fitting:
            continue
        factors[id(module)] = asked[max(fitting, key=len)]
        if factors[id(module)] == 0:
            frozen.append(module)
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in classifier.parameters()):
        raise ModelError(
            "train.rates: every part of the network has the factor 0; leave one to be trained"
        )
    return Rates(factors, frozen)


def _own_name(path: str) -> str:
    """A module's name without what camtool put around the backbone; empty for this itself."""
    if path in ("features", "features.backbone"):
        return ""
    return path.removeprefix("features.").removeprefix("backbone.")


def _check(name: str, names: Mapping[str, nn.Module], network: str) -> None:
    if name in names and name:
        return
    near = difflib.get_close_matches(name, names, 5, cutoff=0.3)
    near = near or sorted({known.split(".")[0] for known in names if known})
    raise ModelError(
        f"train.rates: {network} has no module '{shorten(name)}'; there are {', '.join(near)}"
    )
