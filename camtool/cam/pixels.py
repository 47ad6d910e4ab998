"""The gradient of class scores at the pixels of the input."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from camtool.cam.guided import GuidedRelus
from camtool.cam.overflow import check_overflow
from camtool.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier

__all__ = ["pixel_gradients"]


def pixel_gradients(
    classifier: Classifier, images: Tensor, classes: Tensor, *, guided: bool = False
) -> Tensor:
    """Return `∂S_c / ∂I` of some classes of each image, float32 of shape (B, n, 3, H, W).

    Raises:
        ModelError: the scores do not depend on the pixels in a way that can be differentiated,
            there is no ReLU to be guided, or the gradient overflows in half precision.
    """
    torch.clear_autocast_cache()
    with torch.inference_mode(False), torch.enable_grad():
        # A copy in any case: the user's tensor must not come to require gradients.
        pixels = images.detach().clone().requires_grad_()
        with GuidedRelus() if guided else nullcontext() as relus:
            logits = classifier(pixels).logits
        if relus is not None and not relus.count:
            raise ModelError(f"{classifier.name} has no ReLU that could be guided: guided: false")
        gradients = []
        for column in classes.unbind(1):
            gradient = _gradient(logits.gather(1, column[:, None]).sum(), pixels)
            if gradient is None:
                raise ModelError(
                    f"{classifier.name}: its scores have no gradient at the pixels; use a method"
                    " without gradients"
                )
            check_overflow(classifier, "the gradient at the pixels", gradient, logits.dtype)
            gradients.append(gradient.float())
    return torch.stack(gradients, 1)


def _gradient(score: Tensor, pixels: Tensor) -> Tensor | None:
    if not score.requires_grad:
        return None
    return torch.autograd.grad(score, pixels, retain_graph=True, allow_unused=True)[0]
