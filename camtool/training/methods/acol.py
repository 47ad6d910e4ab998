"""Adversarial complementary learning: a second classifier sees what the first one did not use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.training.methods.method import StepResult, TrainingMethod

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import ComplementaryTrainee


@final
class Acol(TrainingMethod):
    """Two branches of convolutions on the same features, each with a map a class and GAP (ACoL).

    The features of branch B are set to 0 where the map of branch A for the picture's class, scaled
    to [0, 1], reaches the threshold: `loss = loss(A) + loss(B)`. The localization map is the
    larger of the two branches' scaled maps at each place, the logits are branch A's.
    Zhang et al., CVPR 2018, arXiv:1804.06962.

    Example:
        >>> from camtool.models import ModelSettings
        >>> model = ModelSettings(backbone="timm/test_resnet.r160_in1k", weights="none")
        >>> network = Acol(channels=8).prepare(model.build(seed=0, num_classes=3))
        >>> type(network.head).__name__, network.num_classes
        ('ComplementaryHead', 3)
    """

    summary: ClassVar[str] = "a second classifier on what the first one left"
    paper: ClassVar[str] = "Zhang et al., CVPR 2018, arXiv:1804.06962"
    own_head: ClassVar[bool] = True

    name: Literal["acol"] = "acol"

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.6
    """δ: where the scaled map of branch A reaches it, branch B sees nothing."""

    channels: Annotated[int, Field(ge=1, le=65536)] = 1024
    """Units of the two 3×3 convolutions of each branch."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout before each of the 3×3 convolutions."""

    def prepare(self, classifier: Classifier, seed: int = 0) -> Classifier:
        """Put the two branches on the features, in place of the network's own head."""
        from camtool.training.methods.trainees import complementary_head

        head = complementary_head(classifier, self.channels, self.dropout, self.threshold, seed)
        classifier.replace_head(head)
        return classifier

    def trainee(self, classifier: Classifier, seed: int) -> ComplementaryTrainee:
        """Return the classifier, which answers with the logits of both branches."""
        from camtool.training.methods.trainees import ComplementaryTrainee

        return ComplementaryTrainee(self.prepare(classifier, seed))

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Let both branches learn the labels; nothing is random but dropout."""
        del generator
        first, second = trainee(images, targets)
        return StepResult(loss(first, targets) + loss(second, targets), first)
