"""The gradient of class scores at the pixels of the input, plain or guided."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, final

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from camtool.cam.capture import check_overflow
from camtool.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from camtool.models.classifier import Classifier

_CEILINGS: dict[Any, float] = {
    **dict.fromkeys(
        (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_), float("inf")
    ),
    F.relu6: 6.0,
}
"""The functions that are replaced, each with the value above which it is constant."""


class _Guided(torch.autograd.Function):
    """ReLU, or ReLU6, that passes a gradient where input and gradient are both positive."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ceiling: float) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward((values > 0) & (values < ceiling))
        return values.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:  # noqa: ANN401
        (passes,) = ctx.saved_tensors
        (gradient,) = gradients
        return gradient.relu() * passes, None


@final
class GuidedRelus(TorchFunctionMode):
    """Within the `with`, every ReLU and ReLU6 of this thread is a guided one.

    Springenberg, Dosovitskiy, Brox, Riedmiller: Striving for Simplicity: The All Convolutional
    Net, ICLR 2015 workshop, https://arxiv.org/abs/1412.6806. Other activations are left as they
    are.

    Attributes:
        count: ReLUs that were replaced so far.
    """

    def __init__(self) -> None:
        """Begin without a ReLU."""
        super().__init__()
        self.count = 0

    def __torch_function__(  # noqa: D105 (documented by torch)
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        del types
        six = func is F.hardtanh and _is_relu6(args, kwargs)
        ceiling = 6.0 if six else _CEILINGS.get(func)
        if ceiling is not None:
            self.count += 1
            return _Guided.apply(args[0], ceiling)
        return func(*args, **(kwargs or {}))


def _is_relu6(args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> bool:
    given = dict(zip(("input", "min_val", "max_val"), args, strict=False)) | dict(kwargs or {})
    return bool(given.get("min_val", -1.0) == 0 and given.get("max_val", 1.0) == 6)


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
