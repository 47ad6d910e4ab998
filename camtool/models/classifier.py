"""The classifier: features, a head, and what its input must look like."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal, NamedTuple, final

import torch
from torch import Tensor, nn

from camtool.errors import ModelError
from camtool.structures import InputSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camtool.models.foreground import ForegroundHead
    from camtool.models.heads import Head


Probabilities = Literal["softmax", "sigmoid"]
"""How scores become probabilities: one class an image, or each class by itself."""


def modules_with_weights(module: nn.Module) -> list[nn.Module]:
    """Return those modules within, itself included, that have weights of their own."""
    return [one for one in module.modules() if any(True for _ in one.parameters(recurse=False))]


class Forward(NamedTuple):
    """Result of one pass: features (B, K, h, w) and logits (B, C)."""

    features: Tensor
    logits: Tensor


class StagedForward(Forward):
    """Result of one pass of a network with a foreground head.

    Attributes:
        stages: features on the way, at the head's points, from the front to the back.
    """

    stages: tuple[Tensor, ...] = ()


@final
class Classifier(nn.Module):
    """A network whose class scores come from its last grid of features.

    `forward` returns both, so that maps cost no second pass; the classifier itself knows no map.
    """

    def __init__(
        self,
        name: str,
        features: nn.Module,
        head: Head,
        spec: InputSpec,
        untrainable: str | None = None,
    ) -> None:
        """Join the parts: `features` maps images (B, 3, H, W) to (B, K, h, w).

        `untrainable` tells why the features cannot act as in training, if they cannot.
        """
        super().__init__()
        self.untrainable = untrainable
        self._new: tuple[str, ...] | None = None
        self.name = name
        self.features = features
        self.head = head
        self.spec = spec
        self.scores: Probabilities = "softmax" if self.num_classes > 1 else "sigmoid"
        self.class_names: tuple[str, ...] | None = None
        """Names of the classes in the order of the logits, where the weights came with them."""
        self.foreground: ForegroundHead | None = None
        """What tells objects from their surroundings, where it was put on."""

    def forward(self, images: Tensor) -> Forward:
        """Return features and logits of `images`, float of shape (B, 3, H, W), normalised."""
        if self.foreground is None:
            features: Tensor = self.features(images)
            return Forward(features, self.head(features))
        stages: list[Tensor] = []
        features = self.features(images, stages)
        forward = StagedForward(features, self.head(features))
        forward.stages = tuple(stages)
        return forward

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities of classes, of the shape of their `logits` (…, C).

        Softmax, or the sigmoid of each class where the network says by `scores` that an image may
        have several classes or none.
        """
        return logits.softmax(-1) if self.scores == "softmax" else logits.sigmoid()

    def train(self, mode: bool = True) -> Classifier:
        """Go into training mode, or out of it.

        Raises:
            ModelError: the features would not act as in training.
        """
        if mode and self.untrainable is not None:
            raise ModelError(f"{self.name} cannot be trained: {self.untrainable}")
        return super().train(mode)

    def mark_new(self, modules: Iterable[nn.Module]) -> None:
        """Remember which modules hold weights that are new, where all others are pretrained."""
        names = {id(module): name for name, module in self.named_modules()}
        self._new = tuple(names[id(module)] for module in modules)

    def new_modules(self) -> list[nn.Module]:
        """Return the modules whose own weights are new beside pretrained ones, none twice.

        Empty where nothing is pretrained: all layers are then alike.
        """
        return [self.get_submodule(name) for name in self._new or ()]

    @property
    def pretrained(self) -> bool:
        """Whether weights were loaded when the network was built."""
        return self._new is not None

    def replace_head(self, head: Head) -> None:
        """Put another head, with new weights, on the features."""
        kept = [m for m in self.new_modules() if m not in set(self.head.modules())]
        self.head = head.train(self.training)
        if self.pretrained:
            self.mark_new([*kept, *modules_with_weights(head)])

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.head.bias())

    def sha256(self) -> str:
        """Return a hash of all weights and their names, which tells two networks apart."""
        digest = hashlib.sha256()
        for key, value in sorted(self.state_dict().items()):
            digest.update(f"{key} {tuple(value.shape)} {value.dtype}\n".encode())
            # As bytes: numpy has no bfloat16, and of a view that is in order not all is dense.
            plain = torch.empty(value.shape, dtype=value.dtype).copy_(value.detach())
            digest.update(plain.view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
