"""Weights of channels without gradients: Score-CAM and Ablation-CAM."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.gradient import ratio
from camtool.cam.method import Chunk, LayerMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.capture import Capture
    from camtool.models.classifier import Classifier, Forward

__all__ = ["AblationCam", "ImageByImage", "ScoreCam"]


class ImageByImage(LayerMethod):
    """A method that passes many variants of an image, chunk by chunk, for one layer's features."""

    chunk: Chunk = 32
    """Variants of an image that pass the network at once: the bound on memory."""

    @abstractmethod
    def one(
        self, captured: Capture, image: Tensor, features: Tensor, logits: Tensor, classes: Tensor
    ) -> Tensor:
        """Return the maps (n, h, w) of one image.

        Args:
            captured: the network, which has seen the image.
            image: shape (1, 3, H, W).
            features: at the layer, shape (K, h, w).
            logits: of the image, shape (C,).
            classes: shape (n,).
        """

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.capture import capture

        check_call(classifier, images, classes)
        maps = []
        for i in range(len(images)):
            image = images[i : i + 1]
            alone = type(forward)(forward.features[i : i + 1], forward.logits[i : i + 1])
            with capture(classifier, self.layers, gradients=False) as captured:
                captured.scores(image, alone)
                features = captured.grids()[0][0]
                logits = forward.logits[i].float()
                maps.append(self.one(captured, image, features, logits, classes[i]))
        return torch.stack(maps)


@final
class ScoreCam(ImageByImage):
    """Score-CAM: `M_c = ReLU(Σ_k w_k A_k)` with `w_k = softmax over k of S_c(I ⊙ H_k)`.

    The mask `H_k` is channel k of the layer, brought to the image's size (bilinear) and scaled to
    [0, 1] by its own range; a channel without range masks everything. `S_c` is the score before
    softmax; the score of the baseline, which the paper takes off, does not change the weights.
    Wang, Wang, Du, Yang, Zhang, Ding, Mardziel, Hu: Score-CAM, CVPR 2020 workshop,
    arXiv:1910.01279, algorithm 1.
    """

    paper: ClassVar[str] = "Wang et al., CVPR workshop 2020, arXiv:1910.01279"
    needs: ClassVar[str] = "layer"
    passes: ClassVar[str] = "1 (+1) + K forward (K channels)"

    name: Literal["score-cam"] = "score-cam"

    def one(
        self, captured: Capture, image: Tensor, features: Tensor, logits: Tensor, classes: Tensor
    ) -> Tensor:
        """Return the maps of one image."""
        import torch.nn.functional as F

        from camtool.cam.passes import score_in_chunks

        del logits
        size = tuple(image.shape[2:])

        def run(start: int, stop: int) -> Tensor:
            large = F.interpolate(features[None, start:stop], size, mode="bilinear")[0]
            least, most = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
            masks = ratio(large - least, most - least)[:, None]
            return captured.plain_scores((image * masks).to(image.dtype))

        scores = score_in_chunks(run, len(features), self.chunk, classes)
        return _mixed(scores.softmax(0), features).relu()


@final
class AblationCam(ImageByImage):
    """Ablation-CAM: `M_c = ReLU(Σ_k w_k A_k)` with `w_k = (S_c - S_c without A_k) / |S_c|`.

    "Without" puts zeros in the place of channel k. Desai, Ramaswamy: Ablation-CAM, WACV 2020; there
    the divisor is `S_c`, with which a negative score would turn the map into that of all that
    speaks against the class. The passes begin at the layer where it is the grid before the
    network's pooling.
    """

    paper: ClassVar[str] = "Desai, Ramaswamy, WACV 2020"
    needs: ClassVar[str] = "layer"
    passes: ClassVar[str] = "1 (+1) + K forward, of the head alone without the +1"

    name: Literal["ablation-cam"] = "ablation-cam"

    def one(
        self, captured: Capture, image: Tensor, features: Tensor, logits: Tensor, classes: Tensor
    ) -> Tensor:
        """Return the maps of one image."""
        import torch

        from camtool.cam.passes import score_in_chunks

        def run(start: int, stop: int) -> Tensor:
            ablated = features.repeat(stop - start, 1, 1, 1)
            places = torch.arange(start, stop, device=features.device)
            ablated[places - start, places] = 0
            return captured.rescored(image.expand(stop - start, -1, -1, -1), ablated)

        without = score_in_chunks(run, len(features), self.chunk, classes)
        score = logits[classes]
        weights = ratio(score - without, score.abs().expand_as(without))
        return _mixed(weights, features).relu()


def _mixed(weights: Tensor, features: Tensor) -> Tensor:
    """Return `Σ_k w_kn A_k`, shape (n, h, w), of weights (K, n) and features (K, h, w)."""
    import torch

    from camtool.models.heads import without_autocast

    with without_autocast(features):
        return torch.einsum("kn,khw->nhw", weights, features)
