"""RISE: random masks, and how well the class is seen through them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.method import Chunk, MapMethod, check_call, check_probabilities

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["Rise"]


@final
class Rise(MapMethod):
    """RISE: `M_c = (1 / (N p)) Σ_i p_c(I ⊙ M_i) M_i` over N random masks.

    A mask is a grid of s×s cells, each 1 with probability p, brought to a little more than the
    image's size (bilinear) and cut out at a random place. Masked pixels become 0 of the normalised
    input, the mean colour. Petsiuk, Das, Saenko: RISE, BMVC 2018, arXiv:1806.07421.
    """

    paper: ClassVar[str] = "Petsiuk et al., BMVC 2018, arXiv:1806.07421"
    needs: ClassVar[str] = "nothing but scores"
    passes: ClassVar[str] = "1 + N forward (N = 4,000 masks)"

    name: Literal["rise"] = "rise"

    masks: Annotated[int, Field(ge=1, le=100_000)] = 4000
    """Number of masks N; the paper takes 4,000 for VGG16 and 8,000 for ResNet50."""

    cells: Annotated[int, Field(ge=1, le=32)] = 7
    """Cells s of a mask along each side."""

    probability: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability p that a cell is seen."""

    stride: Annotated[int, Field(ge=1, le=64)] = 8
    """Side of the square of pixels whose mean is one value of the map; masks are smooth."""

    chunk: Chunk = 32
    """Masked images that pass the network at once: the bound on memory."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the masks, which are the same for every image."""

    def check(self, classifier: Classifier) -> None:
        """Refuse one class, whose probability says nothing."""
        check_probabilities(classifier, "use another method")

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        del forward
        check_call(classifier, images, classes)
        with torch.no_grad():
            return torch.stack(
                [self._one(classifier, i, c) for i, c in zip(images, classes, strict=True)]
            )

    def _one(self, classifier: Classifier, image: Tensor, classes: Tensor) -> Tensor:
        import torch

        from camtool.cam.passes import score_in_chunks
        from camtool.cam.sliding import pooled

        grids, shifts = self._draw(image.shape[1:])

        def masks(start: int, stop: int) -> Tensor:
            chosen = grids[start:stop], shifts[start:stop]
            return self._masks(*chosen, image.shape[1:]).to(image)

        def run(start: int, stop: int) -> Tensor:
            logits: Tensor = classifier(image * masks(start, stop)).logits
            return logits

        scores = score_in_chunks(run, self.masks, self.chunk, classes, "probability")
        cells = [max(1, round(n / self.stride)) for n in image.shape[1:]]
        total = scores.new_zeros(len(classes), *cells, dtype=torch.float64)
        # One mask after the other into a sum of doubles: the order of sums is the same whatever
        # the chunk.
        for start in range(0, self.masks, self.chunk):
            stop = min(self.masks, start + self.chunk)
            small = pooled(masks(start, stop).float(), self.stride)[:, 0].double()
            for value, mask in zip(scores[start:stop].double(), small, strict=True):
                total += value[:, None, None] * mask
        return (total / (self.masks * self.probability)).float()

    def _draw(self, image_hw: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Cells (N, s, s), bool, and the places (N, 2) where the masks are cut out."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        grids = torch.empty(self.masks, self.cells, self.cells, dtype=torch.bool)
        # By parts, so that the numbers drawn are never all in memory; the same as drawn at once.
        for part in torch.split(grids, 1000):
            part.copy_(torch.rand(part.shape, generator=generator) < self.probability)
        room = torch.tensor([math.ceil(n / self.cells) for n in image_hw])
        shifts = (torch.rand(self.masks, 2, generator=generator) * room).long()
        return grids, shifts

    def _masks(self, grids: Tensor, shifts: Tensor, image_hw: tuple[int, ...]) -> Tensor:
        import torch
        import torch.nn.functional as F

        height, width = image_hw
        size = [(self.cells + 1) * math.ceil(n / self.cells) for n in image_hw]
        large = F.interpolate(grids[:, None].float(), size, mode="bilinear", align_corners=False)
        cut = [
            one[:, y : y + height, x : x + width]
            for one, (y, x) in zip(large, shifts.tolist(), strict=True)
        ]
        return torch.stack(cut)
