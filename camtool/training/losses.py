"""What training minimises: one loss for pictures of one class, one for pictures of several."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor


class BaseLoss(Settings, ABC):
    """From logits and labels to a number to minimise."""

    summary: ClassVar[str]
    multi_label: ClassVar[bool]
    """Whether an image may have several classes or none."""

    @property
    def scores(self) -> Literal["softmax", "sigmoid"]:
        """How the scores of a network that it trained become probabilities."""
        return "sigmoid" if self.multi_label else "softmax"

    @abstractmethod
    def of_guessing(self, classes: int) -> float:
        """Return the loss of a network of `classes` classes that tells none from another."""

    @abstractmethod
    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss, a scalar.

        Args:
            logits: shape (B, C), any range.
            targets: class indices, int64 of shape (B,), or float of shape (B, C).
        """


@final
class CrossEntropy(BaseLoss):
    """Softmax cross-entropy: `-Σ_c t_c log softmax(s)_c`, for pictures of one class.

    With label smoothing ε the target is `t_c = (1 - ε) [c = label] + ε / C` (Szegedy et al.,
    CVPR 2016, arXiv:1512.00567).
    """

    summary: ClassVar[str] = "softmax cross-entropy, one class an image"
    multi_label: ClassVar[bool] = False

    name: Literal["cross-entropy"] = "cross-entropy"

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """ε: how much of the target is spread evenly over all classes."""

    def of_guessing(self, classes: int) -> float:
        """Return `log C`."""
        return math.log(classes)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the images; float targets are taken as probabilities."""
        import torch.nn.functional as F

        return F.cross_entropy(logits, targets, label_smoothing=self.label_smoothing)


@final
class Logistic(BaseLoss):
    """Logistic loss of each class by itself: `mean_bc log(1 + exp(-y_bc s_bc))`, `y = ±1`.

    For pictures of several classes (Oquab et al., CVPR 2015, with the mean over classes for their
    sum). Class indices are read as pictures of exactly that class.
    """

    summary: ClassVar[str] = "logistic loss a class, several classes an image"
    multi_label: ClassVar[bool] = True

    name: Literal["logistic"] = "logistic"

    def of_guessing(self, classes: int) -> float:
        """Return `log 2`, whatever the number of classes."""
        del classes
        return math.log(2)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over images and classes."""
        import torch.nn.functional as F

        if targets.ndim == 1:
            targets = F.one_hot(targets, logits.shape[1])
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


Loss = Annotated[CrossEntropy | Logistic, Field(discriminator="name")]
"""Every loss."""
