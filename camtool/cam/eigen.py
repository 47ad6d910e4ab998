"""Eigen-CAM: what a layer's features have in common, whatever the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, final

from camtool.cam.method import LayerMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.models.classifier import Classifier, Forward

__all__ = ["EigenCam"]


@final
class EigenCam(LayerMethod):
    """Eigen-CAM: `M = A v₁`, the projection of features on their first right singular vector.

    `A` holds a row of K features for each place. Muhammad, Yeasin: Eigen-CAM, IJCNN 2020,
    arXiv:2008.00299. The same map for every class. A singular vector has no sign: the map's value
    of greatest magnitude is made positive.
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
