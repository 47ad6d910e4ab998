"""The score of an image without a box: filled with the mean colour, each box seen once."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from camtool.cam.segments import Bounds
    from camtool.models.classifier import Classifier

__all__ = ["MaskedBoxes"]

_BEST = 5
_ROUNDING = 1e-6


@final
class MaskedBoxes:
    """What is left of an image's probabilities without a box of it; boxes are remembered."""

    def __init__(self, classifier: Classifier, image: Tensor, logits: Tensor, chunk: int) -> None:
        """Take the network, an image (3, H, W), its logits (C,), and images a pass."""
        self._classifier = classifier
        self._image = image
        self._chunk = chunk
        self._before = logits.detach().float().softmax(0)
        self._best = self._before.topk(min(_BEST, len(logits))).indices
        self._after: dict[Bounds, Tensor] = {}
        self.area = image.shape[1] * image.shape[2]

    def rgb(self) -> NDArray[np.float64]:
        """Return the image without its normalisation, shape (H, W, 3), in [0, 1]."""
        spec = self._classifier.spec
        mean, std = (
            torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (spec.mean, spec.std)
        )
        colours = self._image.double().cpu() * std + mean
        result: NDArray[np.float64] = colours.clamp(0, 1).permute(1, 2, 0).numpy()
        return result

    def see(self, boxes: Iterable[Bounds]) -> None:
        """Let the network see the image without each box, as many at once as a chunk."""
        new = [b for b in dict.fromkeys(boxes) if b not in self._after]
        for start in range(0, len(new), self._chunk):
            part = new[start : start + self._chunk]
            masked = self._image.repeat(len(part), 1, 1, 1)
            for one, (y0, x0, y1, x1) in zip(masked, part, strict=True):
                one[:, y0:y1, x0:x1] = 0
            with torch.no_grad():
                after = self._classifier(masked).logits.float().softmax(1)
            self._after |= dict(zip(part, after, strict=True))

    def drop(self, box: Bounds, index: int | None) -> float:
        """Return how much probability a class loses without a box; None: the five best classes."""
        self.see([box])
        chosen = self._best if index is None else torch.tensor([index], device=self._best.device)
        before, after = (float(p[chosen].sum()) for p in (self._before, self._after[box]))
        # Less is rounding of single precision, and no drop.
        return before - after if abs(before - after) > _ROUNDING * before else 0.0
