"""Poolings: from a grid to one number. Each is a setting, and imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from camtool.settings import Settings, members

if TYPE_CHECKING:
    from torch import Tensor


class PoolingSettings(Settings, ABC):
    """How a grid becomes class scores; the base of every end that a network can be given."""

    summary: ClassVar[str]
    """What it does, in a few words."""

    paper: ClassVar[str]
    """Where it comes from."""


class _Spatial(PoolingSettings, ABC):
    """A pooling of each channel by itself."""

    @abstractmethod
    def pool(self, grid: Tensor) -> Tensor:
        """Return one number a channel, shape (B, K), of a grid of shape (B, K, h, w)."""


@final
class Gap(_Spatial):
    """Global average pooling: `F_k = mean_xy f_k`; sees the whole extent of an object.

    The class activation map's mean plus the bias is the logit.
    Zhou et al., CVPR 2016, https://arxiv.org/abs/1512.04150.

    Example:
        >>> import torch
        >>> Gap().pool(torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]]))
        tensor([[2.]])
    """

    summary: ClassVar[str] = "mean over the grid"
    paper: ClassVar[str] = "Lin et al. 2014; Zhou et al., CVPR 2016, arXiv:1512.04150"

    name: Literal["gap"] = "gap"

    def pool(self, grid: Tensor) -> Tensor:
        """Return the means."""
        return grid.mean((2, 3))


@final
class Gmp(_Spatial):
    """Global max pooling: `F_k = max_xy f_k`; sees an object's most telling point.

    `S_c = Σ_k w_ck max_xy f_k + b_c`, and the map is the same weighted sum, `Σ_k w_ck f_k(x, y)`.
    Where several places share the maximum, the gradient is divided among them.
    Oquab et al., CVPR 2015; compared with GAP in Zhou et al., CVPR 2016.

    Example:
        >>> import torch
        >>> Gmp().pool(torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]]))
        tensor([[5.]])
    """

    summary: ClassVar[str] = "maximum over the grid"
    paper: ClassVar[str] = "Oquab et al., CVPR 2015"

    name: Literal["gmp"] = "gmp"

    def pool(self, grid: Tensor) -> Tensor:
        """Return the maxima."""
        return grid.amax((2, 3))


@final
class Lse(_Spatial):
    """Log-sum-exp pooling, between GAP and GMP: `F_k = (1/r) log(mean_xy exp(r f_k))`.

    `r → 0` gives the mean, `r → ∞` the maximum. Its gradient is the spatial softmax of `r f_k`.
    Pinheiro & Collobert, CVPR 2015, https://arxiv.org/abs/1411.6228.

    Example:
        >>> import torch
        >>> Lse(r=1).pool(torch.tensor([[[[0.0, 1.0], [2.0, 5.0]]]])).round(decimals=2)
        tensor([[3.6900]])
    """

    summary: ClassVar[str] = "smooth maximum: (1/r) log(mean exp(r f))"
    paper: ClassVar[str] = "Pinheiro & Collobert, CVPR 2015, arXiv:1411.6228"

    name: Literal["lse"] = "lse"

    r: Annotated[float, Field(gt=0, le=1e4)] = 5.0
    """Sharpness: small is near the mean, large near the maximum."""

    def pool(self, grid: Tensor) -> Tensor:
        """Return the smooth maxima, computed in at least single precision."""
        exact = grid.float() if grid.element_size() < 4 else grid
        # The maximum is taken out, so that nothing overflows. Its own gradient cancels, so it is a
        # constant here. expm1 and log1p keep the digits that r → 0 would cancel.
        top = exact.amax((2, 3)).detach()
        rest = (self.r * (exact - top[..., None, None])).expm1().mean((2, 3))
        return (top + rest.log1p() / self.r).to(grid.dtype)


SpatialPooling = Gap | Gmp | Lse
"""The poolings that act on each channel."""


@final
class PerClass(PoolingSettings):
    """Class maps first, pooled after: `M_c = Σ_k w_ck f_k`, `S_c = pool(M_c) + b_c`.

    One 1×1 convolution gives a map a class, and the pooling acts on these. With `gap` it is the
    same function as `gap` on features, with `gmp` it is Oquab et al., CVPR 2015, with `lse`
    Pinheiro & Collobert, CVPR 2015.

    Example:
        >>> from camtool.models import ModelSettings
        >>> model = ModelSettings(
        ...     backbone="timm/test_resnet", weights="none", pooling=PerClass(by=Gmp())
        ... )
        >>> type(model.build(num_classes=5).head).__name__
        'ClassMapHead'
    """

    summary: ClassVar[str] = "1×1 convolution to a map a class, then a pooling of these"
    paper: ClassVar[str] = "Oquab et al., CVPR 2015; Pinheiro & Collobert, CVPR 2015"

    name: Literal["per-class"] = "per-class"

    by: Annotated[SpatialPooling, Field(discriminator="name")] = Gap()
    """How a class map becomes a score."""


Pooling = Annotated[Gap | Gmp | Lse | PerClass, Field(discriminator="name")]
"""Every end of a network. `gap`, `gmp` and `lse` pool features, a linear layer follows."""

POOLINGS = members(Pooling, PoolingSettings)
"""The members of `Pooling`, for the tables that are derived from the code."""
