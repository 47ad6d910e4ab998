"""Patches: a classifier looks at many squares of the image, each alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.cam.method import Chunk, MapMethod, Score, check_call, check_probabilities

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from camtool.cam.sliding import Window
    from camtool.models.classifier import Classifier, Forward

__all__ = ["Patches"]


@final
class Patches(MapMethod):
    """Patches: `M_c(x, y) = mean of p_c(P)^q` over the square patches P that cover the pixel.

    Patches of side `min(H, W) / λ` for each scale λ lie on a grid in which neighbours overlap by a
    given share or more; each is brought to the size of the input. The paper looks at about
    500 patches of 8 scales that overlap by half or more. Oquab, Bottou, Laptev, Sivic: Learning and
    Transferring Mid-Level Image Representations using Convolutional Neural Networks, CVPR 2014,
    where q = 1 gives the maps and q = 5 the score of the whole image (`image_scores`).
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

    def check(self, classifier: Classifier) -> None:
        """Refuse one class, whose probability says nothing."""
        if self.score == "probability":
            check_probabilities(classifier, "score: logit")

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.sliding import pooled, spread

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
        from camtool.cam.sliding import windows

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

        return score_in_chunks(run, len(squares), self.chunk, classes, self.score) ** self.power
