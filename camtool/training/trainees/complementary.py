"""Two complementary branches on one grid of features (Zhang et al. 2018, ACoL)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor, nn

from camtool.models.heads import Head
from camtool.models.layers import published_start
from camtool.models.poolings import Gap
from camtool.training.trainees.base import Trainee
from camtool.training.trainees.maps import maps_of_labels, scaled

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier

__all__ = ["ComplementaryHead", "ComplementaryTrainee", "complementary_head"]


def _branch(inputs: int, units: int, classes: int, dropout: float) -> nn.Sequential:
    first, second = nn.Conv2d(inputs, units, 3, padding=1), nn.Conv2d(units, units, 3, padding=1)
    for hidden in (first, second):
        nn.init.kaiming_normal_(hidden.weight, nonlinearity="relu")
        nn.init.zeros_(hidden.bias)  # type: ignore[arg-type]
    return nn.Sequential(
        nn.Dropout(dropout), first, nn.ReLU(inplace=True),
        nn.Dropout(dropout), second, nn.ReLU(inplace=True),
        published_start(nn.Conv2d(units, classes, 1)),
    )  # fmt: skip


@final
class ComplementaryHead(Head):
    """Branch A decides, branch B adds to the map what A did not need.

    `class_maps` are localization maps in [0, 1], the larger of both branches' scaled maps. They are
    no parts of the logits, unlike other heads' maps. `bias` is that of branch A, whose own map's
    mean plus bias is the logit.
    """

    def __init__(self, first: nn.Sequential, second: nn.Sequential, threshold: float) -> None:
        """Take branches A and B, each from features to a map a class, and δ."""
        super().__init__()
        self.pooling = Gap()
        self.first = first
        self.second = second
        self.threshold = threshold

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits of branch A."""
        return self.pooling.pool(self.first(features))

    def both(self, features: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both branches; B is blind where A's map of `targets` is high."""
        maps: Tensor = self.first(features)
        left = self._left(features, maps_of_labels(maps.detach(), targets))
        return self.pooling.pool(maps), self.pooling.pool(self.second(left))

    def class_maps(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the localization maps; branch B runs once for each class of the image."""
        everywhere = scaled(self.first(features))
        found = []
        for column in classes.unbind(1):
            index = column.view(-1, 1, 1, 1).expand(-1, 1, *everywhere.shape[2:])
            first = everywhere.gather(1, index)
            second = scaled(self.second(self._left(features, first))).gather(1, index)
            found.append(torch.maximum(first, second))
        return torch.cat(found, 1)

    def bias(self) -> Tensor:
        """Return the bias of branch A's last convolution."""
        return self.first.get_parameter("6.bias")

    @property
    def channels(self) -> int:
        """Number of feature channels K."""
        return self.first.get_parameter("1.weight").shape[1]

    def _left(self, features: Tensor, heat: Tensor) -> Tensor:
        return features * (heat < self.threshold).to(features.dtype)


def complementary_head(
    classifier: Classifier, channels: int, dropout: float, threshold: float, seed: int
) -> ComplementaryHead:
    """Return a new head for a classifier's features, drawn by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = (classifier.head.channels, channels, classifier.num_classes, dropout)
        return ComplementaryHead(_branch(*sizes), _branch(*sizes), threshold)


@final
class ComplementaryTrainee(Trainee):
    """A classifier with the head above."""

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (B, C) of both branches; the map of `targets` is erased for B."""
        head = self.classifier.head
        if not isinstance(head, ComplementaryHead):
            raise TypeError("the classifier was not prepared for complementary learning")
        features: Tensor = self.classifier.features(images)
        return head.both(features, targets)
