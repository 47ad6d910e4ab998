"""Attention-based dropout: the most active places are dropped, or all are weighed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.training.methods.method import StepResult, TrainingMethod

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import AttentionTrainee


@final
class Adl(TrainingMethod):
    """Attention-based dropout layers (ADL) among the features.

    With `A = mean_k f_k` a layer multiplies the features by `[A < γ·max A]`, which drops the most
    telling places, with the drop rate as probability, else by `sigmoid(A)`. One draw a layer and
    batch; in use the layers do nothing. Choe & Shim, CVPR 2019, arXiv:1908.10028.

    Example:
        >>> from camtool.models import ModelSettings
        >>> model = ModelSettings(backbone="timm/test_resnet.r160_in1k", weights="none")
        >>> trainee = Adl(points=("layer3",)).trainee(model.build(seed=0, num_classes=3), seed=0)
        >>> [type(module).__name__ for module in trainee.modules()].count("AttentionDropout")
        2
    """

    summary: ClassVar[str] = "the most active places of features are dropped"
    paper: ClassVar[str] = "Choe & Shim, CVPR 2019, arXiv:1908.10028"

    name: Literal["adl"] = "adl"

    drop_rate: Annotated[float, Field(ge=0, le=1)] = 0.75
    """Probability that a layer drops instead of weighing."""

    threshold: Annotated[float, Field(ge=0, le=1)] = 0.8
    """γ: places above this share of an image's maximum are dropped."""

    points: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Layers or blocks of the backbone behind which a layer is put (`layer3`, `blocks.5`), beside
    the one at the last features."""

    def prepare(self, classifier: Classifier, seed: int = 0) -> Classifier:  # noqa: ARG002
        """Put the layers into the features; they have no weights, and do nothing in use.

        Raises:
            ModelError: the backbone has no such layer.
        """
        from camtool.models.layers import insert
        from camtool.training.methods.trainees import AttentionDropout

        insert(classifier, {point: AttentionDropout(self.threshold) for point in self.points})
        return classifier

    def trainee(self, classifier: Classifier, seed: int) -> AttentionTrainee:
        """Return the classifier with the layers, and one more at its last features."""
        from camtool.training.methods.trainees import AttentionTrainee

        return AttentionTrainee(self.prepare(classifier, seed), self.threshold)

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Draw what each layer does, and learn the labels."""
        import torch

        drop = torch.rand(len(self.points) + 1, generator=generator) < self.drop_rate
        logits = trainee(images, drop.to(images.device))
        return StepResult(loss(logits, targets), logits)
