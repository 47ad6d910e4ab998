"""Maps from the features of a layer without gradients.

Score-CAM, Ablation-CAM and Recipro-CAM ask the network about each channel or place; Eigen-CAM asks
for what all channels have in common.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.gradient import ratio
from camtool.cam.method import Chunk, LayerMethod, Score, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.capture import Capture
    from camtool.models.classifier import Classifier, Forward


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
    https://arxiv.org/abs/1910.01279, algorithm 1.

    Needs: layer. Cost: 1 (+1) + K forward (K channels).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = ScoreCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
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

    "Without" puts zeros in the place of channel k. Desai, Ramaswamy: Ablation-CAM, WACV 2020,
    https://doi.org/10.1109/WACV45572.2020.9093360; there the divisor is `S_c`, with which a
    negative score would turn the map into that of all that speaks against the class. The passes
    begin at the layer where it is the grid before the network's pooling.

    Needs: layer. Cost: 1 (+1) + K forward, of the head alone without the +1.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = AblationCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
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


@final
class EigenCam(LayerMethod):
    """Eigen-CAM: `M = A v₁`, the projection of features on their first right singular vector.

    `A` holds a row of K features for each place. Muhammad, Yeasin: Eigen-CAM, IJCNN 2020,
    https://arxiv.org/abs/2008.00299. The same map for every class. A singular vector has no sign:
    the map's value of greatest magnitude is made positive.

    Needs: layer; no class. Cost: 1 (+1) forward.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = EigenCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> torch.equal(maps[:, 0], maps[:, 1])
        True
    """

    paper: ClassVar[str] = "Muhammad, Yeasin, IJCNN 2020, arXiv:2008.00299"
    needs: ClassVar[str] = "layer; no class"
    passes: ClassVar[str] = "1 (+1) forward"

    name: Literal["eigen-cam"] = "eigen-cam"

    centred: bool = False
    """Take each channel's mean off before: the first principal component, instead of the paper's
    singular vector."""

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.capture import capture
        from camtool.models.heads import without_autocast

        check_call(classifier, images, classes)
        with capture(classifier, self.layers, gradients=False) as captured:
            captured.scores(images, forward)
            (features,) = captured.grids()
            rows = features.flatten(2).transpose(1, 2)
            if self.centred:
                rows = rows - rows.mean(1, keepdim=True)
            with without_autocast(rows):
                # Image by image, as each needs a matrix of min(K, h·w)² doubles.
                projection = torch.stack([_projection(one) for one in rows])
            greatest = projection.gather(1, projection.abs().argmax(1, keepdim=True))
            maps = (projection * greatest.sign()).float().view(-1, 1, *features.shape[2:])
            result: Tensor = maps.repeat(1, classes.shape[1], 1, 1)
        return result


def _projection(rows: Tensor) -> Tensor:
    """Return `A v₁ = u₁ σ₁` of rows A, shape (h·w, K), by the smaller of its two Gram matrices."""
    import torch

    if len(rows) <= rows.shape[1]:
        values, vectors = torch.linalg.eigh((rows @ rows.mT).double())
        first: Tensor = vectors[:, -1] * values[-1].clamp(min=0).sqrt()
        return first
    _, vectors = torch.linalg.eigh((rows.mT @ rows).double())
    projected: Tensor = rows.double() @ vectors[:, -1]
    return projected


@final
class ReciproCam(ImageByImage):
    """Recipro-CAM: `M_c(x, y) = p_c(A ⊙ K_xy)`, the score when only one place is left.

    `K_xy` is a Gaussian of 3×3 around the place, or the place alone. The passes begin at the layer
    where it is the grid before the network's pooling; tokens without a place (class token) stay.
    Byun, Lee: Recipro-CAM: Fast gradient-free visual explanations for convolutional neural
    networks, 2022, https://arxiv.org/abs/2209.14074.

    Needs: layer. Cost: 1 (+1) + h·w forward, of the head alone without the +1.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
        >>> images = torch.rand(1, 3, 64, 96)
        >>> maps = ReciproCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 2, 3])
    """

    paper: ClassVar[str] = "Byun, Lee, 2022, arXiv:2209.14074"
    needs: ClassVar[str] = "layer"
    passes: ClassVar[str] = "1 (+1) + h·w forward, of the head alone without the +1"

    name: Literal["recipro-cam"] = "recipro-cam"

    gaussian: bool = True
    """Leave the eight places around it, too, with the weights of a 3×3 Gaussian."""

    score: Score = "probability"
    """The paper's score is the probability."""

    def one(
        self, captured: Capture, image: Tensor, features: Tensor, logits: Tensor, classes: Tensor
    ) -> Tensor:
        """Return the maps of one image."""
        from camtool.cam.passes import score_in_chunks

        del logits
        _, height, width = features.shape
        masks = _masks(height, width, gaussian=self.gaussian).to(features)

        def run(start: int, stop: int) -> Tensor:
            left = features * masks[start:stop, None]
            return captured.rescored(image.expand(stop - start, -1, -1, -1), left)

        asked = captured.classifier.probabilities if self.score == "probability" else None
        scores = score_in_chunks(run, len(masks), self.chunk, classes, asked)
        return scores.T.reshape(-1, height, width)


def _masks(height: int, width: int, *, gaussian: bool) -> Tensor:
    """One mask (h, w) for each place, row by row: shape (h·w, h, w)."""
    import torch

    def along(count: int) -> Tensor:
        distance = (torch.arange(count)[:, None] - torch.arange(count)).abs()
        return torch.tensor([0.5, 0.25, 0.0])[distance.clamp(max=2)]

    if not gaussian:
        return torch.eye(height * width).view(-1, height, width)
    rows, columns = along(height), along(width)
    return torch.einsum("yh,xw->yxhw", rows, columns).flatten(0, 1)
