"""Plain training."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.training.methods.base import StepResult, TrainingMethod

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from camtool.training.losses import Loss

__all__ = ["Plain"]


@final
class Plain(TrainingMethod):
    """The classifier learns the labels of whole pictures, as in the CAM paper."""

    summary: ClassVar[str] = "labels of whole pictures"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, arXiv:1512.04150"

    name: Literal["none"] = "none"

    def step(
        self,
        trainee: nn.Module,
        images: Tensor,
        targets: Tensor,
        loss: Loss,
        generator: torch.Generator,  # noqa: ARG002 (the methods' common signature)
    ) -> StepResult:
        """Run the forward pass; nothing is random."""
        logits = trainee(images)
        return StepResult(loss(logits, targets), logits)
