"""Maps from how the score changes when parts of the image are hidden, or seen alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.cam.method import Chunk, MapMethod, Score, check_call
from camtool.errors import ModelError

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from camtool.cam.passes import Window
    from camtool.models.classifier import Classifier, Forward


@final
class Rise(MapMethod):
    """RISE: `M_c = (1 / (N p)) Σ_i p_c(I ⊙ M_i) M_i` over N random masks.

    A mask is a grid of s×s cells, each 1 with probability p, brought to a little more than the
    image's size (bilinear) and cut out at a random place. Masked pixels become 0 of the normalised
    input, the mean colour. Petsiuk, Das, Saenko: RISE, BMVC 2018, https://arxiv.org/abs/1806.07421.

    Needs: nothing but scores. Cost: 1 + N forward (N = 4,000 masks).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = Rise(masks=20).maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 8, 12])
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

        from camtool.cam.passes import pooled, score_in_chunks

        grids, shifts = self._draw(image.shape[1:])

        def masks(start: int, stop: int) -> Tensor:
            chosen = grids[start:stop], shifts[start:stop]
            return self._masks(*chosen, image.shape[1:]).to(image)

        def run(start: int, stop: int) -> Tensor:
            logits: Tensor = classifier(image * masks(start, stop)).logits
            return logits

        scores = score_in_chunks(run, self.masks, self.chunk, classes, classifier.probabilities)
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


@final
class Occlusion(MapMethod):
    """Occlusion: `M_c(x, y) = mean of S_c(I) - S_c(I without the square)` over squares there.

    The square is filled with 0 of the normalised input, the mean colour. It slides by a stride; the
    last of a row is cut off at the border. Zeiler, Fergus: Visualizing and Understanding
    Convolutional Networks, ECCV 2014, https://arxiv.org/abs/1311.2901, section 4.2.

    Needs: nothing but scores. Cost: 1 + N forward (N = 169 squares at 224 pixels).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = Occlusion().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 4, 6])
    """

    paper: ClassVar[str] = "Zeiler, Fergus, ECCV 2014, arXiv:1311.2901"
    needs: ClassVar[str] = "nothing but scores"
    passes: ClassVar[str] = "1 + N forward (N = 169 squares at 224 pixels)"

    name: Literal["occlusion"] = "occlusion"

    side: Annotated[int, Field(ge=1)] = 32
    """Side of the square, in pixels of the network's input."""

    stride: Annotated[int, Field(ge=1)] = 16
    """Step of the square, and side of the cell that is one value of the map."""

    score: Score = "probability"
    """Whose drop is measured; the paper's is the probability."""

    chunk: Chunk = 32
    """Occluded images that pass the network at once: the bound on memory."""

    @model_validator(mode="after")
    def _covering(self) -> Self:
        if self.stride > self.side:
            raise ValueError(
                f"stride ({self.stride}) is more than side ({self.side}): the square would leave"
                f" pixels out; set stride to {self.side} or less"
            )
        return self

    def check(self, classifier: Classifier) -> None:
        """Refuse a square that hides all."""
        width, height = classifier.spec.size
        if self.side >= max(width, height):
            raise ModelError(
                f"{classifier.name}: a square of side {self.side} hides its whole input of"
                f" {width}×{height}: set cam.side to less"
            )

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.passes import pooled

        check_call(classifier, images, classes)
        logits = forward.logits.float()
        before = classifier.probabilities(logits) if self.score == "probability" else logits
        with torch.no_grad():
            drops = [
                self._one(classifier, image, c, s[c])
                for image, c, s in zip(images, classes, before, strict=True)
            ]
        return pooled(torch.stack(drops), self.stride)

    def _one(
        self, classifier: Classifier, image: Tensor, classes: Tensor, before: Tensor
    ) -> Tensor:
        """Mean drop at each pixel, shape (n, H, W)."""
        from camtool.cam.passes import score_in_chunks, spread, windows

        image_hw = (image.shape[1], image.shape[2])
        squares = windows(image_hw, self.side, self.stride)

        def run(start: int, stop: int) -> Tensor:
            occluded = image.repeat(stop - start, 1, 1, 1)
            for one, (y0, x0, y1, x1) in zip(occluded, squares[start:stop], strict=True):
                one[:, y0:y1, x0:x1] = 0
            logits: Tensor = classifier(occluded).logits
            return logits

        asked = classifier.probabilities if self.score == "probability" else None
        after = score_in_chunks(run, len(squares), self.chunk, classes, asked)
        return spread(before - after, squares, image_hw)


@final
class Patches(MapMethod):
    """Patches: `M_c(x, y) = mean of p_c(P)^q` over the square patches P that cover the pixel.

    Patches of side `min(H, W) / λ` for each scale λ lie on a grid in which neighbours overlap by a
    given share or more; each is brought to the size of the input. The paper looks at about 500
    patches of 8 scales that overlap by half or more. Oquab, Bottou, Laptev, Sivic: Learning and
    Transferring Mid-Level Image Representations using Convolutional Neural Networks, CVPR 2014,
    https://doi.org/10.1109/CVPR.2014.222, where q = 1 gives the maps and q = 5 the score of the
    whole image (`image_scores`).

    Needs: nothing but scores. Cost: 1 + N forward (N = 408 patches of a square).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> method = Patches(scales=(1, 2))
        >>> maps = method.maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 8, 12])
    """

    paper: ClassVar[str] = "Oquab et al., CVPR 2014"
    needs: ClassVar[str] = "nothing but scores"
    passes: ClassVar[str] = "1 + N forward (N = 408 patches of a square)"

    name: Literal["patches"] = "patches"

    scales: Annotated[tuple[Annotated[float, Field(ge=1, le=32)], ...], Field(min_length=1)] = (
        1.0, 1.3, 1.6, 2.0, 2.3, 2.6, 3.0, 3.6,
    )  # fmt: skip
    """Scales λ: how often a patch fits into the shorter side of the image."""

    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.75
    """Least overlap of neighbours, as a share of their side."""

    power: Annotated[float, Field(gt=0)] = 1.0
    """Exponent q of a patch's score in the mean."""

    score: Score = "probability"
    """What a patch is worth; a logit may be negative and has no other power than 1."""

    stride: Annotated[int, Field(ge=1, le=64)] = 8
    """Side of the square of pixels whose mean is one value of the map."""

    chunk: Chunk = 32
    """Patches that pass the network at once: the bound on memory."""

    @model_validator(mode="after")
    def _of_numbers_above_0(self) -> Self:
        if self.score == "logit" and self.power != 1:
            raise ValueError(
                f"a logit may be negative, which has no power of {self.power:g}: set power to 1, or"
                " score to probability"
            )
        return self

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.passes import pooled, spread

        del forward
        check_call(classifier, images, classes)
        image_hw = (images.shape[2], images.shape[3])
        squares = self.squares(image_hw)
        maps = [
            spread(self._values(classifier, image, squares, c), squares, image_hw)
            for image, c in zip(images, classes, strict=True)
        ]
        return pooled(torch.stack(maps), self.stride)

    def image_scores(self, classifier: Classifier, images: Tensor, classes: Tensor) -> Tensor:
        """Return the paper's score of whole images, `mean of p_c(P)^q` over all patches.

        Args:
            classifier: the network.
            images: shape (B, 3, H, W).
            classes: class indices, int64 of shape (B, n).

        Returns:
            Shape (B, n).
        """
        import torch

        check_call(classifier, images, classes)
        squares = self.squares((images.shape[2], images.shape[3]))
        return torch.stack(
            [
                self._values(classifier, image, squares, c).mean(0)
                for image, c in zip(images, classes, strict=True)
            ]
        )

    def squares(self, image_hw: tuple[int, int]) -> list[Window]:
        """Return the patches (y0, x0, y1, x1), half-open, of all scales, each inside the image."""
        from camtool.cam.passes import windows

        found: list[Window] = []
        for scale in self.scales:
            side = max(1, round(min(image_hw) / scale))
            stride = max(1, int(side * (1 - self.overlap)))
            for y0, x0, _, _ in windows(image_hw, side, stride):
                y, x = min(y0, image_hw[0] - side), min(x0, image_hw[1] - side)
                found.append((y, x, y + side, x + side))
        return found

    def _values(
        self, classifier: Classifier, image: Tensor, squares: list[Window], classes: Tensor
    ) -> Tensor:
        import torch
        import torch.nn.functional as F

        from camtool.cam.passes import score_in_chunks

        # The one size that the network is known to take: some take no other.
        size = (image.shape[1], image.shape[2])

        def run(start: int, stop: int) -> Tensor:
            cut = [
                F.interpolate(image[None, :, y0:y1, x0:x1], size, mode="bilinear")
                for y0, x0, y1, x1 in squares[start:stop]
            ]
            with torch.no_grad():
                logits: Tensor = classifier(torch.cat(cut)).logits
            return logits

        asked = classifier.probabilities if self.score == "probability" else None
        return score_in_chunks(run, len(squares), self.chunk, classes, asked) ** self.power
