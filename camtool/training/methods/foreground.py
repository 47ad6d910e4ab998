"""Training a foreground head on a frozen network: which places it needs to see the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

from pydantic import Field

from camtool.errors import ModelError
from camtool.training.augment import ResizeOnly
from camtool.training.methods.method import StepResult, TrainingMethod
from camtool.training.optimizer import AdamW, OneCycle

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from camtool.models.classifier import Classifier
    from camtool.training.losses import Loss
    from camtool.training.methods.trainees import ForegroundTrainee


@final
class Foreground(TrainingMethod):
    """A foreground head on the frozen network learns which places show the class.

    The head (`camtool.models.foreground`) gives a map M in [0, 1]. The features at the cut are
    covered by M̃, a relaxed Bernoulli sample of M, and the rest of the network sees what is left:

        loss = max(0, s(x·(1 − M̃))) / s(x)  +  λ · mean(M)  +  w · loss of the features under M

    with s the score of the class. Every step moves λ so that the first term, what is left of the
    class, stays at `background`: M is as small as that allows, whatever the pictures. Without the
    sampling M would settle at one value everywhere. The idea is that of Wu et al., *Background
    Activation Suppression*, CVPR 2022.

    No weight of the network changes, so classes and class activation maps stay to the last bit.
    Classes are those of the pictures' labels where the network knows all of them, else its own best
    guesses: no label is needed. Takes minutes on a CPU. What is not set of `train` is: 6 epochs (of
    few pictures more, for 160 steps), batches of 16, AdamW at 0.004 in one cycle, pictures as a
    whole and mirrored, the last epoch.
    `localize` then takes `cam: foreground` with a threshold of 0.5, unless told otherwise.

    Example:
        >>> from camtool.models import ModelSettings
        >>> model = ModelSettings(backbone="timm/test_resnet.r160_in1k", weights="none")
        >>> trainee = Foreground(stride=8).trainee(model.build(seed=0, num_classes=3), seed=0)
        >>> trainee.classifier.foreground.points
        ('layer1', 'layer2')
        >>> {name.split(".")[1] for name, p in trainee.named_parameters() if p.requires_grad}
        {'foreground'}
    """

    summary: ClassVar[str] = "a frozen network: which places it needs to see the class"
    paper: ClassVar[str] = "after Wu et al., CVPR 2022, arXiv:2112.00580"
    keeps_network: ClassVar[bool] = True
    figures: ClassVar[tuple[str, ...]] = ("area", "background")

    RECIPE: ClassVar[dict[str, Any]] = {
        "epochs": 6,
        "batch_size": 16,
        "optimizer": AdamW(learning_rate=4e-3),
        "schedule": OneCycle(),
        "augment": ResizeOnly(),
        "best": "last",
    }
    """What is taken of `train` where nothing is set."""

    name: Literal["foreground"] = "foreground"

    stride: Annotated[int, Field(ge=2, le=64)] = 16
    """Pixels of the input a step of the grid of M: the network is cut at its last place of it."""

    point: str | None = None
    """The cut, by a layer's or block's path in the backbone, in place of the stride."""

    head: Literal["auto", "new", "packaged"] = "auto"
    """Weights to begin with: new ones, or those of the head that comes with camtool; by default the
    latter where it fits the network's features."""

    labels: Literal["auto", "given", "own"] = "auto"
    """Whose classes are learned from: those of the data, or the network's own best guesses; by
    default the data's where the network knows every one of them."""

    background: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Share of the class's score that is to be left where M is covered. Less makes M larger."""

    temperature: Annotated[float, Field(gt=0, le=10)] = 0.5
    """Of the relaxed Bernoulli sample."""

    class_weight: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Weight w of the loss of the class by the features pooled under M."""

    def prepare(self, classifier: Classifier, seed: int = 0) -> Classifier:
        """Put a head with new weights on the network.

        Raises:
            ModelError: it cannot be cut there, or its scores are not linear in its features.
        """
        from camtool.models.foreground import attach, new_head

        attach(classifier, new_head(classifier, seed, self.stride, self.point))
        return classifier

    def trainee(self, classifier: Classifier, seed: int) -> ForegroundTrainee:
        """Return the network with its head, of which the head alone is trained.

        Raises:
            ModelError: as `prepare`; no head comes with camtool for this network.
        """
        from camtool.models.foreground import attach, new_head, packaged
        from camtool.models.stages import rest_behind
        from camtool.training.methods.trainees import ForegroundTrainee

        head = new_head(classifier, seed, self.stride, self.point)
        if self.head != "new":
            found = packaged(classifier)
            if found is None and self.head == "packaged":
                raise ModelError(
                    f"{classifier.name}: no foreground head comes with camtool for its weights;"
                    " take train.method.head: new"
                )
            if found is not None and (self.head == "packaged" or found.points == head.points):
                head = found
        rest = rest_behind(classifier, head.points[1])
        attach(classifier, head)
        return ForegroundTrainee(classifier, rest, self.background, self.temperature)

    def step(
        self, trainee: nn.Module, images: Tensor, targets: Tensor, loss: Loss, generator: Generator
    ) -> StepResult:
        """Learn to cover the class with as little as it takes; the covering is drawn."""
        own = None if self.labels == "own" else targets
        left, area, weight, under, logits, classes = trainee(images, own, generator)
        total = left + weight * area
        if self.class_weight:
            total = total + self.class_weight * loss(under, targets if own is not None else classes)
        return StepResult(total, logits, (area.detach(), left.detach()))
