"""A classifier whose features also learn masks that it made itself (Zhang et al. 2018, SPG)."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camtool.models.classifier import modules_with_weights
from camtool.training.trainees.base import Trainee
from camtool.training.trainees.maps import maps_of_labels, scaled

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier
    from camtool.models.heads import Head

__all__ = ["GuidedTrainee", "Note", "mask_loss"]


@final
class Note(nn.Module):
    """Writes the tensor that passes down into a list, if one is given."""

    def forward(self, features: Tensor, notes: list[Tensor] | None, number: int) -> Tensor:  # noqa: ARG002
        """Return the features as they are."""
        if notes is not None:
            notes.append(features)
        return features


def mask_loss(logits: Tensor, guide: Tensor, low: float, high: float) -> Tensor:
    """Return the mean logistic loss of `logits` where `guide` is sure; 0 where it never is.

    Both are (B, 1, ·, ·); the guide, in [0, 1], is brought to the grid of the logits. It is
    foreground above `high`, background below `low`.
    """
    guide = F.interpolate(guide.detach(), logits.shape[2:], mode="bilinear", align_corners=False)
    foreground = guide > high
    sure = foreground | (guide < low)
    losses = F.binary_cross_entropy_with_logits(
        logits, foreground.to(logits.dtype), reduction="none"
    )
    return (losses * sure).sum() / sure.sum().clamp_min(1)


@torch.no_grad()
def _heat(head: Head, features: Tensor, targets: Tensor) -> Tensor:
    """The scaled map of each image's labels, shape (B, 1, h, w)."""
    if targets.ndim == 1:
        return scaled(head.class_maps(features, targets[:, None]))
    every = torch.arange(targets.shape[1], device=targets.device).expand(len(targets), -1)
    return maps_of_labels(head.class_maps(features, every), targets)


def _drawn(inputs: int, units: int) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, units, 3, padding=1)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return [layer, nn.ReLU(inplace=True)]


@final
class GuidedTrainee(Trainee):
    """A classifier with branches B at some points and C at the last features."""

    def __init__(self, classifier: Classifier, points: int, channels: int, seed: int) -> None:
        """Add the branches to a classifier that was prepared with so many points."""
        super().__init__(classifier)
        self.points = points
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            # The points' channels are known only by a pass.
            classifier.eval()
            with torch.inference_mode():
                width, height = classifier.spec.size
                at = self._places(torch.zeros(1, 3, height, width))
            self.firsts = nn.ModuleList(nn.Sequential(*_drawn(f.shape[1], channels)) for f in at)
            self.shared = nn.Sequential(*_drawn(channels, channels), nn.Conv2d(channels, 1, 1))
            last = at[-1].shape[1]
            self.refined = nn.Sequential(
                *_drawn(last, channels), *_drawn(channels, channels), nn.Conv2d(channels, 1, 1)
            )

    def _places(self, images: Tensor) -> list[Tensor]:
        """Features at the points and at the end, from the front to the back."""
        notes: list[Tensor] = []
        given = (notes,) if self.points else ()
        last = self.classifier.features(images, *given)
        return [*notes, last]

    def forward(
        self,
        images: Tensor,
        targets: Tensor,
        guide: tuple[float, float],
        refine: tuple[float, float],
    ) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and the sum of the branches' losses, a scalar.

        Args:
            images: shape (B, 3, H, W).
            targets: as the step takes them; the classes whose maps guide.
            guide: (low, high) of the masks for B.
            refine: (low, high) of the mask for C.
        """
        places = self._places(images)
        head, last = self.classifier.head, places[-1]
        total, heat, sides = images.new_zeros(()), _heat(head, last, targets), []
        for first, features in zip(reversed(self.firsts), reversed(places), strict=True):
            side: Tensor = self.shared(first(features))
            total = total + mask_loss(side, heat, *guide)
            heat = side.sigmoid()
            sides.append(F.interpolate(heat, last.shape[2:], mode="bilinear", align_corners=False))
        fused = torch.stack(sides).mean(0)
        return head(last), total + mask_loss(self.refined(last), fused, *refine)

    def new_modules(self) -> list[nn.Module]:
        """Return those of the classifier and, beside pretrained weights, the branches' layers."""
        if not self.classifier.pretrained:
            return []
        branches = (self.firsts, self.shared, self.refined)
        added = [m for branch in branches for m in modules_with_weights(branch)]
        return [*self.classifier.new_modules(), *added]
