"""What is optimised: a classifier, and what a training method adds to it while it trains.

These modules are apart from the methods' settings, which commands read that never import torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camtool.models.classifier import StagedForward, modules_with_weights
from camtool.models.heads import Head
from camtool.models.layers import published_start
from camtool.models.poolings import Gap

if TYPE_CHECKING:
    from camtool.models.classifier import Classifier, Forward
    from camtool.models.foreground import ForegroundHead
    from camtool.models.stages import Rest


class Trainee(nn.Module):
    """A classifier whose forward pass gives what a step needs: here the logits, shape (B, C)."""

    def __init__(self, classifier: Classifier) -> None:
        """Wrap a prepared classifier."""
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor, *_: Any) -> Any:  # noqa: ANN401 (a trainee's own)
        """Return the logits of images (B, 3, H, W)."""
        return self.classifier(images).logits

    def new_modules(self) -> list[nn.Module]:
        """Return the modules whose own weights are new beside pretrained ones, none twice."""
        return self.classifier.new_modules()


def scaled(maps: Tensor) -> Tensor:
    """Scale maps (..., h, w) by their own range to [0, 1]; a constant map becomes 0."""
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low).clamp_min(torch.finfo(maps.dtype).tiny)


def maps_of_labels(maps: Tensor, targets: Tensor) -> Tensor:
    """Return one scaled map an image, shape (B, 1, h, w), of the maps (B, C, h, w) of all classes.

    `targets` are class indices (B,), or float (B, C): of several labels the largest of their maps
    at each place counts, and without any the map is 0.
    """
    if targets.ndim == 1:
        index = targets.view(-1, 1, 1, 1).expand(-1, 1, *maps.shape[2:])
        return scaled(maps.gather(1, index))
    present = (targets > 0).to(maps.dtype)
    return (scaled(maps) * present[:, :, None, None]).amax(1, keepdim=True)


@final
class AttentionDropout(nn.Module):
    """Multiplies features by a drop mask or by an importance map, both made from their own mean."""

    def __init__(self, threshold: float) -> None:
        """Take the share of an image's maximum above which places are dropped."""
        super().__init__()
        self.threshold = threshold

    def forward(self, features: Tensor, drop: Tensor | None, number: int) -> Tensor:
        """Return the features (B, K, h, w), dropped or weighed in training.

        `drop` is bool, a value for each such layer of the network: drop or weigh; None: neither.
        `number` tells which value is this layer's.
        """
        if drop is None or not self.training:
            return features
        attention = features.mean(1, keepdim=True)
        top = attention.amax((2, 3), keepdim=True)
        mask = (attention < self.threshold * top).to(features.dtype)
        return features * torch.where(drop[number], mask, attention.sigmoid())


@final
class AttentionTrainee(Trainee):
    """Draws reach the layers within the features, and the one at their end, as an argument."""

    def __init__(self, classifier: Classifier, threshold: float) -> None:
        """Take a classifier whose features have the other layers already."""
        super().__init__(classifier)
        self.last = AttentionDropout(threshold)

    def forward(self, images: Tensor, drop: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W); `drop` as the layers take it, last last."""
        within = (drop,) if len(drop) > 1 else ()
        features: Tensor = self.classifier.features(images, *within)
        logits: Tensor = self.classifier.head(self.last(features, drop, -1))
        return logits


@final
class HidingTrainee(Trainee):
    """Puts one colour over the hidden pixels."""

    fill: Tensor

    def __init__(self, classifier: Classifier, fill: tuple[float, float, float]) -> None:
        """Take the colour R, G, B, each in [0, 1], before the classifier's normalisation."""
        super().__init__(classifier)
        spec = classifier.spec
        colour = (torch.tensor(fill) - torch.tensor(spec.mean)) / torch.tensor(spec.std)
        self.register_buffer("fill", colour.view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Return logits (B, C) of images (B, 3, H, W) without `hidden`, bool of (B, 1, H, W)."""
        shown = torch.where(hidden, self.fill.to(images.dtype), images)
        logits: Tensor = self.classifier(shown).logits
        return logits


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


_LEAST_SHARE = 0.25
"""Of the best score: what the score of a picture's class counts as at least, since a share of next
to nothing, or of less, would drown all others."""
_FIRST_WEIGHT, _LEAST_WEIGHT, _MOST_WEIGHT = 0.5, 0.05, 20.0
_GAIN = 0.1
"""How fast λ follows: its logarithm moves by so much of the distance, a step."""


@final
class ForegroundTrainee(Trainee):
    """A frozen network with its foreground head, of which the head alone is trained."""

    log_weight: Tensor

    def __init__(
        self, classifier: Classifier, rest: Rest, background: float, temperature: float
    ) -> None:
        """Freeze the network.

        Args:
            classifier: with its foreground head.
            rest: the features behind the head's cut.
            background: share of the class's score that is to be left.
            temperature: of the relaxed Bernoulli sample.
        """
        super().__init__(classifier.requires_grad_(False))
        self.head.requires_grad_(True)
        # No module of this one: its weights are the network's own.
        self._rest = (rest.requires_grad_(False).eval(),)
        self.background, self.temperature = background, temperature
        self.register_buffer("log_weight", torch.tensor(math.log(_FIRST_WEIGHT)))

    @property
    def head(self) -> ForegroundHead:
        """The head."""
        head = self.classifier.foreground
        assert head is not None
        return head

    def train(self, mode: bool = True) -> Self:
        """Let the head go into training mode, or out of it; the network never does."""
        self.training = mode
        self.classifier.eval()
        self.head.train(mode)
        return self

    def new_modules(self) -> list[nn.Module]:
        """Return none: all that is trained has one rate."""
        return []

    def forward(
        self, images: Tensor, targets: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Cover the class, and look at what is left of it.

        Args:
            images: shape (B, 3, H, W).
            targets: as the step takes them; None for the network's own best guesses. Of several
                classes an image the one with the highest score counts.
            generator: of the sample, on the CPU.

        Returns:
            The mean share of the class's score that is left, the mean of M, and λ, scalars; the
            logits of the features under M and those of the whole picture, (B, C); the classes, (B,)
        """
        with torch.no_grad():
            seen: StagedForward = self.classifier(images)
            logits = seen.logits.float()
            classes = _one_class(logits, targets)
            maps = self.classifier.head.class_maps(seen.features, classes[:, None])
        covering = self.head(seen, maps)
        foreground = covering.sigmoid()
        sample = self._sampled(covering, generator)
        cut = seen.stages[1]
        rest = self._rest[0].to(cut.device)
        left = self.classifier.head(rest(cut * (1 - sample).to(cut.dtype))).float()
        whole = torch.maximum(_of_class(logits, classes), _LEAST_SHARE * logits.amax(1))
        share = (F.relu(_of_class(left, classes)) / whole.clamp_min(1e-3)).mean()
        weight = self.log_weight.exp()
        if self.training:
            self._follow(share.detach())
        under = self._under(seen, foreground)
        return share, foreground.mean(), weight, under, seen.logits, classes

    def _sampled(self, logits: Tensor, generator: torch.Generator) -> Tensor:
        """Draw from the relaxed Bernoulli distribution (Maddison et al. 2017; Jang et al. 2017)."""
        drawn = torch.rand(logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
        noise = (drawn.log() - torch.log1p(-drawn)).to(logits)
        return ((logits + noise) / self.temperature).sigmoid()

    def _under(self, seen: Forward, foreground: Tensor) -> Tensor:
        """Return the logits of the features' mean where the foreground is."""
        features = seen.features.float()
        mask = F.adaptive_avg_pool2d(foreground, (features.shape[2], features.shape[3]))
        mean = (features * mask).sum((2, 3)) / mask.sum((2, 3)).clamp_min(1e-6)
        logits: Tensor = self.classifier.head(mean[:, :, None, None])
        return logits

    @torch.no_grad()
    def _follow(self, share: Tensor) -> None:
        """Move λ: up where less of the class is left than is asked for, and down where more is."""
        moved = self.log_weight + _GAIN * (self.background - share)
        self.log_weight.copy_(moved.clamp(math.log(_LEAST_WEIGHT), math.log(_MOST_WEIGHT)))


def _of_class(logits: Tensor, classes: Tensor) -> Tensor:
    return logits.gather(1, classes[:, None])[:, 0]


def _one_class(logits: Tensor, targets: Tensor | None) -> Tensor:
    """Return a class an image, (B,): the only one, the best of several, or the best of all."""
    if targets is None:
        return logits.argmax(1)
    if targets.ndim == 1:
        return targets
    return logits.masked_fill(targets <= 0, -torch.inf).argmax(1)
