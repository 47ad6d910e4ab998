"""Whether a network takes the sizes of input that the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from camtool.errors import ModelError, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camtool.models.classifier import Classifier


def check_input_sizes(classifier: Classifier, sizes: Iterable[tuple[int, int]]) -> None:
    """Refuse a size that the network does not take, before the first image.

    Its own size costs nothing; each other one a pass.

    Args:
        classifier: the network, in evaluation mode.
        sizes: (width, height) of the inputs.

    Raises:
        ModelError: it does not; the message names its own size.
    """
    own = classifier.spec.size
    weight = next(classifier.parameters())
    for width, height in dict.fromkeys(sizes):
        if (width, height) == own:
            continue
        try:
            with torch.no_grad():
                classifier(weight.new_zeros(1, 3, height, width))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ModelError(
                f"{classifier.name} takes no input of {width}×{height}, which"
                f" localize.preprocess.size and localize.views lead to ({shorten(str(error))});"
                f" its own size is {own[0]}×{own[1]}: leave localize.preprocess.size out, and use"
                " views without other scales"
            ) from error
