"""Self-taught localization: segments whose boxes, filled with the mean colour, cost the score."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple, final

from pydantic import Field

from camtool.cam.method import Chunk, MapMethod, check_call
from camtool.errors import ModelError
from camtool.geometry import iou
from camtool.structures import Box, ScoredBox

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from camtool.cam.segments import Bounds, MaskedBoxes, Segment
    from camtool.models.classifier import Classifier, Forward


class _Hypothesis(NamedTuple):
    bounds: Bounds
    score: float


@final
class SelfTaught(MapMethod):
    """Self-taught localization: a segment is worth the drop of the score without its box.

    The picture is cut into segments (Felzenszwalb, Huttenlocher) at several scales and in two
    colour spaces. The two neighbours that are most alike by
    `¼ (similar drop + small size + good fill + similar colours)` are merged until one is left.
    Every segment's box is a hypothesis, and non-maximum suppression leaves the best of those that
    overlap. Its score is `drop · (1 - share of the picture)`, since without the whole picture
    nothing is left of any score; the authors' program ranks by the drop (`by_size: false`). The
    map's value at a pixel is the mean score of the hypotheses over it. Bergamo, Bazzani, Anguelov,
    Torresani: Self-taught Object Localization with Deep Networks, 2014,
    https://arxiv.org/abs/1409.3964.

    Needs: nothing but scores; package scikit-image. Cost: 1 + N forward (N different boxes: some
    hundred).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = SelfTaught().maps(network, images, network(images), torch.tensor([[3]]))
        >>> maps.shape
        torch.Size([1, 1, 8, 12])
    """

    paper: ClassVar[str] = "Bergamo et al., 2014, arXiv:1409.3964"
    needs: ClassVar[str] = "nothing but scores; package scikit-image"
    passes: ClassVar[str] = "1 + N forward (N different boxes: some hundred)"

    name: Literal["self-taught"] = "self-taught"

    drop: Literal["class", "class-free"] = "class"
    """Whose score drops: that of the class, or the sum of the image's five best, without a class.
    """

    scales: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] = (100, 200)
    """Scales of the segmentation; larger gives larger segments."""

    spaces: Annotated[tuple[Literal["rgb", "lab"], ...], Field(min_length=1)] = ("rgb", "lab")
    """Colour spaces of the segmentation."""

    min_segment: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Least size of a segment, as a share of the picture."""

    by_size: bool = True
    """Multiply the drop by the share of the picture that is left, so that of two boxes that cost
    the same the smaller is better."""

    overlap: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Intersection over union above which the weaker of two hypotheses is left out."""

    boxes: Annotated[int, Field(ge=0)] = 1
    """Boxes of an image and class, best first, whatever `localize.boxes` says; 0: that rule makes
    them of the map."""

    stride: Annotated[int, Field(ge=1, le=64)] = 8
    """Side of the square of pixels whose mean is one value of the map."""

    chunk: Chunk = 32
    """Masked images that pass the network at once: the bound on memory."""

    def check(self, classifier: Classifier) -> None:
        """Refuse to begin without the library that makes segments."""
        del classifier
        if importlib.util.find_spec("skimage") is None:
            raise ModelError("self-taught needs scikit-image: pip install 'camtool[segments]'")

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        return self.localized(classifier, images, forward, classes)[0]

    def localized(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> tuple[Tensor, list[list[tuple[ScoredBox, ...]]] | None]:
        """Return maps, and boxes in pixels of the input; see `MapMethod.localized`."""
        import torch

        from camtool.cam.passes import pooled, spread
        from camtool.cam.segments import MaskedBoxes

        check_call(classifier, images, classes)
        maps, boxes = [], []
        image_hw = (images.shape[2], images.shape[3])
        for i, wanted in enumerate(classes.tolist()):
            masked = MaskedBoxes(classifier, images[i], forward.logits[i], self.chunk)
            groups = self._segments(masked.rgb())
            masked.see([s.bounds for group in groups for s in group])
            found = {c: self._hypotheses(masked, groups, c) for c in dict.fromkeys(wanted)}
            values = [
                spread(
                    torch.tensor([[h.score] for h in found[c]], device=images.device),
                    [h.bounds for h in found[c]],
                    image_hw,
                )
                for c in wanted
            ]
            maps.append(torch.cat(values))
            boxes.append([self.strongest([_scored(h) for h in found[c]]) for c in wanted])
        return pooled(torch.stack(maps), self.stride), boxes if self.boxes else None

    def _segments(self, rgb: NDArray[np.float64]) -> list[list[Segment]]:
        from camtool.cam.segments import segments

        least = max(1, round(self.min_segment * rgb.shape[0] * rgb.shape[1]))
        return [segments(rgb, space, s, least) for space in self.spaces for s in self.scales]

    def _hypotheses(
        self, masked: MaskedBoxes, groups: list[list[Segment]], index: int
    ) -> list[_Hypothesis]:
        """The boxes of all segments, each box once, with their scores."""
        from camtool.cam.segments import merged

        def drop(bounds: Bounds) -> float:
            return masked.drop(bounds, index if self.drop == "class" else None)

        chosen: dict[Bounds, float] = {}
        for group in groups:
            for segment in (*group, *merged(group, drop, masked.area)):
                y0, x0, y1, x1 = segment.bounds
                left = 1 - (y1 - y0) * (x1 - x0) / masked.area if self.by_size else 1.0
                chosen[segment.bounds] = drop(segment.bounds) * left
        return [_Hypothesis(*item) for item in chosen.items()]

    def strongest(self, boxes: Sequence[ScoredBox]) -> tuple[ScoredBox, ...]:
        """Return the best boxes after non-maximum suppression; none that costs no score."""
        kept: list[ScoredBox] = []
        for one in sorted(boxes, key=lambda b: -b.score):
            if len(kept) == self.boxes or one.score <= 0:
                break
            if all(iou(one.box, other.box) <= self.overlap for other in kept):
                kept.append(one)
        return tuple(kept)


def _scored(hypothesis: _Hypothesis) -> ScoredBox:
    y0, x0, y1, x1 = hypothesis.bounds
    return ScoredBox(Box(float(x0), float(y0), float(x1), float(y1)), hypothesis.score)
