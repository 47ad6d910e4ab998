"""Occlusion: a square slides over the image, and where the score drops, the class is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, model_validator

from camtool.cam.method import Chunk, MapMethod, Score, check_call, check_probabilities
from camtool.errors import ModelError

if TYPE_CHECKING:
    from typing import Self

    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["Occlusion"]


@final
class Occlusion(MapMethod):
    """Occlusion: `M_c(x, y) = mean of S_c(I) - S_c(I without the square)` over squares there.

    The square is filled with 0 of the normalised input, the mean colour. It slides by a stride;
    the last of a row is cut off at the border. Zeiler, Fergus: Visualizing and Understanding
    Convolutional Networks, ECCV 2014, arXiv:1311.2901, section 4.2.
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
        """Refuse one class, whose probability says nothing, and a square that hides all."""
        width, height = classifier.spec.size
        if self.side >= max(width, height):
            raise ModelError(
                f"{classifier.name}: a square of side {self.side} hides its whole input of"
                f" {width}×{height}: set cam.side to less"
            )
        if self.score == "probability":
            check_probabilities(classifier, "score: logit")

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.sliding import pooled

        check_call(classifier, images, classes)
        logits = forward.logits.float()
        before = logits.softmax(1) if self.score == "probability" else logits
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
        from camtool.cam.passes import score_in_chunks
        from camtool.cam.sliding import spread, windows

        image_hw = (image.shape[1], image.shape[2])
        squares = windows(image_hw, self.side, self.stride)

        def run(start: int, stop: int) -> Tensor:
            occluded = image.repeat(stop - start, 1, 1, 1)
            for one, (y0, x0, y1, x1) in zip(occluded, squares[start:stop], strict=True):
                one[:, y0:y1, x0:x1] = 0
            logits: Tensor = classifier(occluded).logits
            return logits

        after = score_in_chunks(run, len(squares), self.chunk, classes, self.score)
        return spread(before - after, squares, image_hw)
