"""What a training method is: it prepares a classifier, wraps it, and makes one step's loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, final

from camtool.settings import Settings

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import Trainee


class StepResult(NamedTuple):
    """Result of one step's forward pass.

    Example:
        >>> import torch
        >>> result = StepResult(loss=torch.tensor(0.7), logits=torch.zeros(2, 3))
        >>> result.loss.item() < 1
        True

    Attributes:
        loss: a scalar to go backward from.
        logits: shape (B, C), for the running accuracy; the pictures behind them may be mixed or
            partly hidden.
        figures: what else is told of an epoch: means over the batch, as the method names them.
    """

    loss: Tensor
    logits: Tensor
    figures: tuple[Tensor, ...] = ()


class TrainingMethod(Settings, ABC):
    """A way of training; composable with any network.

    Example:
        >>> from camtool.settings import members
        >>> from camtool.training.methods import Method
        >>> [method.model_fields["name"].default for method in members(Method, TrainingMethod)]
        ['none', 'hide-and-seek', 'cutmix', 'adl', 'acol', 'spg', 'foreground']

    A network that was trained is rebuilt for use by
    `method.prepare(model.build(seed, num_classes))` and `load_state_dict` of the classifier's
    state: `prepare` gives it the head that the method trains, if that is not the network's own.
    """

    summary: ClassVar[str]
    paper: ClassVar[str]

    own_head: ClassVar[bool] = False
    """Whether a head of the method takes the place of the network's own, whatever that is."""

    keeps_network: ClassVar[bool] = False
    """Whether the network keeps its weights and its classes, and no label is needed."""

    figures: ClassVar[tuple[str, ...]] = ()
    """Names of `StepResult.figures`; none is a share of right classes."""

    def prepare(self, classifier: Classifier, seed: int = 0) -> Classifier:  # noqa: ARG002
        """Return the classifier that is trained and that localizes afterwards, with its head.

        `seed` draws what is new. Here: the classifier as it is.
        """
        return classifier

    def trainee(self, classifier: Classifier, seed: int) -> Trainee:
        """Return the module whose parameters are optimised.

        It keeps the prepared classifier as `.classifier`, tells its `new_modules()`, and does
        all the work of a step in one forward pass, so that it can be wrapped for many processes.
        """
        from camtool.training.methods.trainees import Trainee

        return Trainee(self.prepare(classifier, seed))

    @abstractmethod
    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Run the forward pass of one step.

        Args:
            trainee: what `trainee` returned, possibly wrapped; in training mode.
            images: normalised, float of shape (B, 3, H, W).
            targets: int64 of shape (B,), or float of shape (B, C) for several labels an image.
            loss: what is minimised.
            generator: of all random choices of the method; on the CPU, whatever the device, so
                that a run that is taken up again repeats bit for bit. (Dropout layers draw from
                torch's own.)
        """


@final
class Plain(TrainingMethod):
    """The classifier learns the labels of whole pictures, as in the CAM paper.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> from camtool.training.losses import CrossEntropy
        >>> model = ModelSettings(backbone="timm/test_resnet.r160_in1k", weights="none")
        >>> method = Plain()
        >>> trainee = method.trainee(model.build(seed=0, num_classes=3), seed=0)
        >>> images, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 2])
        >>> method.step(trainee, images, labels, CrossEntropy(), torch.Generator()).logits.shape
        torch.Size([2, 3])
    """

    summary: ClassVar[str] = "labels of whole pictures"
    paper: ClassVar[str] = "Zhou et al., CVPR 2016, arXiv:1512.04150"

    name: Literal["none"] = "none"

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Run the forward pass; nothing is random."""
        del generator
        logits = trainee(images)
        return StepResult(loss(logits, targets), logits)
