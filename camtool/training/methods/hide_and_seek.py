"""Hide-and-Seek: random patches of each picture are hidden while it is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.training.methods.method import StepResult, TrainingMethod

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import HidingTrainee


_Share = Annotated[float, Field(ge=0, le=1)]


@final
class HideAndSeek(TrainingMethod):
    """Each picture is divided into square patches, and each patch is hidden by chance.

    `x'(p) = x(p)` where p's patch is shown, the mean colour of the data where it is hidden, so that
    the first layer's input has the same mean. The network cannot rely on the most telling part
    alone. Nothing is hidden outside training. Singh & Lee, ICCV 2017, arXiv:1704.04232.

    Example:
        >>> import torch
        >>> method = HideAndSeek(patches=(8,), probability=1.0)
        >>> hidden = method.hidden(2, (16, 16), torch.Generator().manual_seed(0))
        >>> hidden.shape, bool(hidden.all())
        (torch.Size([2, 1, 16, 16]), True)
    """

    summary: ClassVar[str] = "random patches are hidden"
    paper: ClassVar[str] = "Singh & Lee, ICCV 2017, arXiv:1704.04232"

    name: Literal["hide-and-seek"] = "hide-and-seek"

    patches: Annotated[
        tuple[Annotated[int, Field(ge=0, le=4096)], ...], Field(min_length=1, strict=False)
    ] = (0, 16, 32, 44, 56)
    """Sides of the patches in pixels of the network's input, one drawn an image; 0: nothing is
    hidden in it. The default is the paper's for 224 pixels."""

    probability: _Share = 0.5
    """Probability that a patch is hidden."""

    fill: Annotated[tuple[_Share, _Share, _Share], Field(strict=False)] = (0.485, 0.456, 0.406)
    """Mean colour R, G, B of the training pictures, each in [0, 1]; by default ImageNet's."""

    def trainee(self, classifier: Classifier, seed: int) -> HidingTrainee:
        """Return the classifier behind a layer that hides."""
        from camtool.training.methods.trainees import HidingTrainee

        return HidingTrainee(self.prepare(classifier, seed), self.fill)

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Hide patches, and learn the labels of what is left."""
        hidden = self.hidden(len(images), images.shape[2:], generator)
        logits = trainee(images, hidden.to(images.device))
        return StepResult(loss(logits, targets), logits)

    def hidden(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Return which pixels of `count` images of `shape` (H, W) are hidden: bool (B, 1, H, W)."""
        import torch

        height, width = shape
        result = torch.zeros(count, 1, height, width, dtype=torch.bool)
        choices = torch.randint(len(self.patches), (count,), generator=generator)
        for image, choice in zip(result, choices.tolist(), strict=True):
            side = self.patches[choice]
            if side == 0:
                continue
            grid = torch.rand(-(-height // side), -(-width // side), generator=generator)
            rows = (grid < self.probability).repeat_interleave(side, 0)
            image[0] = rows.repeat_interleave(side, 1)[:height, :width]
        return result
