"""What every localizer is: a pure function from a network, images and classes to maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from camtool.errors import ModelError
from camtool.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward
    from camtool.structures import ScoredBox

PASSES_NOTE = "(+1): one more where a layer is named, or the network has no linear head"
"""What the costs of the methods leave to be said once."""

Chunk = Annotated[int, Field(ge=1, le=4096)]
"""Setting: how many variants of an image pass the network at once; the bound on memory."""

Score = Literal["probability", "logit"]
"""Setting: the probability of the class (see `model.scores`), or its score before that."""


class MapMethod(Settings, ABC):
    """A way to see where in an image a class is.

    Example:
        >>> from camtool.cam import GradCam
        >>> isinstance(GradCam(), MapMethod), GradCam.needs, GradCam.passes
        (True, 'gradient, layer', '1 (+1) forward, 1 backward a class')

    A method leaves the network as it was: no hook, mode, gradient or parameter is changed, also
    after an exception. Its maps are raw: no image is scaled or resized for the eye, so a box rule
    or a metric chooses its own normalisation.
    """

    paper: ClassVar[str]
    """Where it comes from."""

    needs: ClassVar[str]
    """What it needs of the network."""

    passes: ClassVar[str]
    """Its cost, in forward and backward passes an image; the first forward is the classification.
    """

    gradients: ClassVar[bool] = False
    """Whether it differentiates; the forward pass must then not have run in inference mode."""

    @abstractmethod
    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps of some classes of each image.

        Args:
            classifier: the network, in evaluation mode.
            images: its input, shape (B, 3, H, W), normalised.
            forward: what the network answered to `images`.
            classes: class indices, int64 of shape (B, n).

        Returns:
            Maps of shape (B, n, h, w), float32, covering the whole input, rows from top to bottom,
            any range.

        Raises:
            ModelError: the network lacks what the method needs.
            ValueError: a class index that the network does not have.
        """

    def localized(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> tuple[Tensor, list[list[tuple[ScoredBox, ...]]] | None]:
        """Return maps and, of a method that finds boxes itself, these.

        Arguments and errors are those of `maps`.

        Returns:
            Maps, and for each image and class the boxes, best first, in pixels of the input; None
            where boxes are made of the maps by a rule.
        """
        return self.maps(classifier, images, forward, classes), None

    def strongest(self, boxes: Sequence[ScoredBox]) -> tuple[ScoredBox, ...]:
        """Choose among boxes of a class that the method found in several views, strongest first."""
        return tuple(sorted(boxes, key=lambda b: -b.score))

    def prepare(self, classifier: Classifier) -> None:
        """Put on a network what the method needs beside it; its scores stay as they are.

        Raises:
            ModelError: what comes with camtool is damaged.
        """

    def check(self, classifier: Classifier) -> None:
        """Refuse a network that lacks what the method needs, before the first image.

        Raises:
            ModelError: it does; the message says what is missing and names a remedy.
        """


class LayerMethod(MapMethod):
    """A method that looks at one layer of the network."""

    layer: str | None = None
    """The layer, as the network's code names it; by default the last one with a grid."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The layer as `capture` takes it: none stands for the last one with a grid."""
        return () if self.layer is None else (self.layer,)

    def check(self, classifier: Classifier) -> None:
        """Refuse a network without such a layer."""
        from camtool.cam.capture import check_layers

        check_layers(classifier, self.layers)


def check_mode(classifier: Classifier) -> None:
    """Refuse a network that would change as it runs.

    Raises:
        ModelError: it is in training mode: batch norm would learn from the images.
    """
    if classifier.training:
        raise ModelError(f"{classifier.name} is in training mode: call its eval() first")


def check_call(classifier: Classifier, images: Tensor, classes: Tensor) -> None:
    """Refuse a network that would change as it runs, and indices that are no class of it.

    Raises:
        ModelError: the network is in training mode.
        ValueError: an index is out of range, or the array is not (B, n) for B images, or empty.
    """
    check_mode(classifier)
    if classes.ndim != 2 or not classes.numel() or len(classes) != len(images):
        raise ValueError(
            f"classes must be of shape (B, n), n at least 1, for {len(images)} images; got"
            f" {tuple(classes.shape)}"
        )
    count = classifier.num_classes
    wrong = classes[(classes < 0) | (classes >= count)]
    if len(wrong):
        raise ValueError(
            f"class {int(wrong[0])} is out of range: the network has {count:,} classes,"
            f" 0 to {count - 1}"
        )
