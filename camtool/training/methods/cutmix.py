"""CutMix: a rectangle of one picture is pasted into another, and the labels are mixed likewise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

import numpy as np
from pydantic import Field

from camtool.training.methods.method import StepResult, TrainingMethod

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.training.losses import Loss


@final
class CutMix(TrainingMethod):
    """`x = M·x_a + (1 - M)·x_b` and `loss = λ·loss(y_a) + (1 - λ)·loss(y_b)`.

    M is 0 in a rectangle of the picture's proportions around a random centre, of the share `1 - λ`
    of its area, `λ ~ Beta(β, β)`. Where the border cuts the rectangle off, λ is set to the share
    that is really left. One rectangle a batch. Yun et al., ICCV 2019, arXiv:1905.04899.

    Example:
        >>> import torch
        >>> x0, y0, x1, y1 = CutMix().rectangle((32, 48), torch.Generator().manual_seed(0))
        >>> 0 <= x0 <= x1 <= 48 and 0 <= y0 <= y1 <= 32
        True
    """

    summary: ClassVar[str] = "pasted rectangles, mixed labels"
    paper: ClassVar[str] = "Yun et al., ICCV 2019, arXiv:1905.04899"

    name: Literal["cutmix"] = "cutmix"

    beta: Annotated[float, Field(gt=0, le=100)] = 1.0
    """β of the Beta distribution of λ; 1: every share is as likely."""

    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Probability that a batch is mixed."""

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Mix the batch with itself in another order, and learn both labels."""
        import torch

        if torch.rand((), generator=generator) >= self.probability:
            logits = trainee(images)
            return StepResult(loss(logits, targets), logits)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        x0, y0, x1, y1 = self.rectangle(images.shape[2:], generator)
        mixed = images.clone()
        mixed[:, :, y0:y1, x0:x1] = images[order, :, y0:y1, x0:x1]
        kept = 1 - (x1 - x0) * (y1 - y0) / (images.shape[2] * images.shape[3])
        logits = trainee(mixed)
        mean = kept * loss(logits, targets) + (1 - kept) * loss(logits, targets[order])
        return StepResult(mean, logits)

    def rectangle(self, shape: tuple[int, ...], generator: Generator) -> tuple[int, int, int, int]:
        """Return (x0, y0, x1, y1), half-open, within a picture of `shape` (H, W); may be empty."""
        import torch

        height, width = shape
        seed = int(torch.randint(2**62, (), generator=generator))
        share = math.sqrt(1 - np.random.default_rng(seed).beta(self.beta, self.beta))
        half_w, half_h = int(width * share) // 2, int(height * share) // 2
        x = int(torch.randint(width, (), generator=generator))
        y = int(torch.randint(height, (), generator=generator))
        return (
            max(0, x - half_w),
            max(0, y - half_h),
            min(width, x + half_w),
            min(height, y + half_h),
        )
