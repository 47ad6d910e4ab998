"""Maps of vision transformers from attention: rollout, LeGrad, and TS-CAM's coupling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.cam.method import MapMethod, check_call

if TYPE_CHECKING:
    from torch import Tensor

    from camtool.cam.attention import RecordedAttention
    from camtool.models.classifier import Classifier, Forward


class AttentionMethod(MapMethod):
    """A method that looks at the attentions of a vision transformer."""

    def check(self, classifier: Classifier) -> None:
        """Refuse a network without an attention over all parts of the picture."""
        import torch

        from camtool.cam.attention import record_attention

        width, height = classifier.spec.size
        weight = next(classifier.parameters())
        with torch.no_grad():
            record_attention(classifier, weight.new_zeros(1, 3, height, width))


@final
class AttentionRollout(AttentionMethod):
    """Attention rollout: the row of the class token in `Π_l (½ A_l + ½ I)`.

    `A_l` is the mean of the heads' attentions in block l; the identity stands for the residual
    connection. Abnar, Zuidema: Quantifying Attention Flow in Transformers, ACL 2020,
    https://arxiv.org/abs/2005.00928. The same map for every class. Without a class token, the mean
    of all rows.

    Needs: attention over all tokens; no class. Cost: 2 forward.

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_vit", weights="none").build()
        >>> images = torch.rand(1, 3, 160, 160)
        >>> method = AttentionRollout()
        >>> maps = method.maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 10, 10])
    """

    paper: ClassVar[str] = "Abnar, Zuidema, ACL 2020, arXiv:2005.00928"
    needs: ClassVar[str] = "attention over all tokens; no class"
    passes: ClassVar[str] = "2 forward"

    name: Literal["attention-rollout"] = "attention-rollout"

    heads: Literal["mean", "max", "min"] = "mean"
    """How the heads of a block become one attention; the paper takes the mean."""

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.attention import record_attention, to_patches
        from camtool.models.heads import without_autocast

        del forward
        check_call(classifier, images, classes)
        with torch.no_grad():
            seen = record_attention(classifier, images)
            flow = torch.eye(seen.maps[0].shape[-1], device=images.device)
            with without_autocast(images):
                for attention in seen.maps:
                    joined = self._joined(attention.float())
                    mixed = joined + torch.eye(joined.shape[-1], device=images.device)
                    flow = mixed / mixed.sum(-1, keepdim=True) @ flow
            maps = to_patches(flow, seen.layout)
            return maps[:, None].repeat(1, classes.shape[1], 1, 1)

    def _joined(self, attention: Tensor) -> Tensor:
        if self.heads == "mean":
            return attention.mean(1)
        return attention.amax(1) if self.heads == "max" else attention.amin(1)


@final
class LeGrad(AttentionMethod):
    """LeGrad: `M_c = mean over blocks l of mean over heads and rows of ReLU(∂S^l_c / ∂A_l)`.

    `A_l` is the attention of block l, and `S^l_c` the class score of the mean of the tokens that
    the block gives, read by the network's own end. Bousselham, Boggust, Chaybouti, Strobelt,
    Kuehne: LeGrad, 2024, https://arxiv.org/abs/2404.03214.

    Needs: gradient, attention over all tokens. Cost: 2 + L forward, L backward a class (L blocks).

    Example:
        >>> import torch
        >>> from camtool.models import ModelSettings
        >>> network = ModelSettings(backbone="timm/test_vit", weights="none").build()
        >>> images = torch.rand(1, 3, 160, 160)
        >>> maps = LeGrad(blocks=2).maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 10, 10])
    """

    paper: ClassVar[str] = "Bousselham et al., 2024, arXiv:2404.03214"
    needs: ClassVar[str] = "gradient, attention over all tokens"
    passes: ClassVar[str] = "2 + L forward, L backward a class (L blocks)"
    gradients: ClassVar[bool] = True

    name: Literal["legrad"] = "legrad"

    blocks: Annotated[int, Field(ge=1)] | None = None
    """How many blocks count, from the last; by default all."""

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch

        from camtool.cam.attention import record_attention

        del forward
        check_call(classifier, images, classes)
        torch.clear_autocast_cache()
        with torch.inference_mode(False), torch.enable_grad():
            images = images.detach().clone()
            seen = record_attention(classifier, images, leaves=True)
            chosen = range(len(seen.maps))[-(self.blocks or 0) :]
            maps = [self._of_block(classifier, images, seen, i, classes) for i in chosen]
        return torch.stack(maps).mean(0)

    def _of_block(
        self,
        classifier: Classifier,
        images: Tensor,
        seen: RecordedAttention,
        number: int,
        classes: Tensor,
    ) -> Tensor:
        """Maps (B, n, h, w) of one block."""
        import torch

        from camtool.cam.attention import scores_of_tokens
        from camtool.cam.capture import check_overflow

        layout, tokens = seen.layout, seen.blocks[number].tokens
        mean = tokens.mean(1, keepdim=True).expand_as(tokens)
        logits = scores_of_tokens(classifier, images, seen.blocks[-1].module, mean)
        maps = []
        for column in classes.unbind(1):
            score = logits.gather(1, column[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, seen.maps[number], retain_graph=True)
            check_overflow(classifier, "the gradient at an attention", gradient, logits.dtype)
            row = gradient.float().relu().mean((1, 2))
            maps.append(row[:, layout.prefix :].reshape(-1, layout.height, layout.width))
        return torch.stack(maps, 1)


@final
class TsCam(AttentionMethod):
    """TS-CAM: `M_c = A* ⊙ S_c`, the class-free attention times the map of the class.

    `A*` is the attention of the class token to the patches, the mean of all heads and blocks; `S_c`
    the class activation map of the patches' features. Gao, Wan, Pan, Peng, Tian, Han, Zhou, Ye:
    TS-CAM, ICCV 2021, https://arxiv.org/abs/2103.14862.

    Needs: attention over all tokens, linear head on the grid of the patches. Cost: 2 forward.

    Example:
        >>> import torch
        >>> from camtool.models import Gap, ModelSettings
        >>> settings = ModelSettings(backbone="timm/test_vit", weights="none", pooling=Gap())
        >>> network = settings.build()
        >>> images = torch.rand(1, 3, 160, 160)
        >>> maps = TsCam().maps(network, images, network(images), torch.tensor([[3, 7]]))
        >>> maps.shape
        torch.Size([1, 2, 10, 10])
    """

    paper: ClassVar[str] = "Gao et al., ICCV 2021, arXiv:2103.14862"
    needs: ClassVar[str] = "attention over all tokens, linear head on the grid of the patches"
    passes: ClassVar[str] = "2 forward"

    name: Literal["ts-cam"] = "ts-cam"

    def check(self, classifier: Classifier) -> None:
        """Refuse a network without such an attention, or without such a head."""
        from camtool.cam.capture import check_linear

        check_linear(classifier)
        super().check(classifier)

    def maps(
        self, classifier: Classifier, images: Tensor, forward: Forward, classes: Tensor
    ) -> Tensor:
        """Return the maps; see `MapMethod.maps`."""
        import torch
        import torch.nn.functional as F

        from camtool.cam.attention import record_attention, to_patches

        check_call(classifier, images, classes)
        with torch.no_grad():
            semantic = classifier.head.class_maps(forward.features, classes).float()
            seen = record_attention(classifier, images)
            mean = torch.stack([m.float().mean(1) for m in seen.maps]).mean(0)
            attention = to_patches(mean, seen.layout)[:, None]
        if attention.shape[2:] != semantic.shape[2:]:
            attention = F.interpolate(attention, semantic.shape[2:], mode="bilinear")
        return attention * semantic
