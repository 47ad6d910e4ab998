"""Self-produced guidance: confident parts of the network's own maps teach its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.training.methods.method import StepResult, TrainingMethod

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import GuidedTrainee


_Share = Annotated[float, Field(ge=0, le=1)]
_Pair = Annotated[tuple[_Share, _Share], Field(strict=False)]


@final
class Spg(TrainingMethod):
    """Self-produced guidance (SPG): masks of sure foreground and sure background.

    A mask of a map O in [0, 1] is 1 where `O > high`, 0 where `O < low`, and not looked at between.
    Branch B at the last features learns the mask of the class's scaled map, B at each further
    point the mask of the B behind it; they share their second layers. Branch C at the last features
    learns the mask of the mean of all B: `loss + w·(Σ_B bce + bce_C)`. The masks carry no
    gradient. In use only the classifier is left, and its map is the plain one.
    Zhang et al., ECCV 2018, arXiv:1807.08902; there B sits at two stages of an Inception network.

    Example:
        >>> from camtool.models import ModelSettings
        >>> model = ModelSettings(backbone="timm/test_resnet.r160_in1k", weights="none")
        >>> method = Spg(points=("layer3",), channels=8)
        >>> trainee = method.trainee(model.build(seed=0, num_classes=3), seed=0)
        >>> len(trainee.firsts)  # branches B: at the point, and at the last features
        2
    """

    summary: ClassVar[str] = "the network's own sure masks teach its features"
    paper: ClassVar[str] = "Zhang et al., ECCV 2018, arXiv:1807.08902"

    name: Literal["spg"] = "spg"

    points: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Layers or blocks of the backbone that have a branch B of their own (`layer3`), beside the
    last features; from the front to the back."""

    guide: _Pair = (0.05, 0.5)
    """(low, high) of the masks that teach B."""

    refine: _Pair = (0.1, 0.7)
    """(low, high) of the mask that teaches C."""

    channels: Annotated[int, Field(ge=1, le=65536)] = 512
    """Units of the branches' convolutions."""

    weight: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Weight w of the branches' losses."""

    @model_validator(mode="after")
    def _in_order(self) -> Spg:
        for key in ("guide", "refine"):
            low, high = getattr(self, key)
            if low > high:
                raise ValueError(f"{key}: low ({low:g}) is above high ({high:g})")
        return self

    def prepare(self, classifier: Classifier, seed: int = 0) -> Classifier:  # noqa: ARG002
        """Make the points' features readable; in use nothing changes.

        Raises:
            ModelError: the backbone has no such layer.
        """
        from camtool.models.layers import FeatureRecorder, insert

        insert(classifier, {point: FeatureRecorder() for point in self.points})
        return classifier

    def trainee(self, classifier: Classifier, seed: int) -> GuidedTrainee:
        """Return the classifier with branches B and C, new by `seed`."""
        from camtool.training.methods.trainees import GuidedTrainee

        prepared = self.prepare(classifier, seed)
        return GuidedTrainee(prepared, len(self.points), self.channels, seed)

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Learn the labels and the masks; nothing is random."""
        del generator
        logits, guidance = trainee(images, targets, self.guide, self.refine)
        return StepResult(loss(logits, targets) + self.weight * guidance, logits)
