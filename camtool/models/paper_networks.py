"""The networks of the CAM paper, built from torchvision's (Zhou et al. 2016, sections 3 and 3.1).

What follows a late convolution is removed, so that the grid is finer; a convolution, the pooling
and one linear layer take its place.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torchvision
from torch import Tensor, nn

from camtool.models.layers import convolution, published_start

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Plan:
    """How one network of the paper is made.

    Attributes:
        base: the network of torchvision that gives the first layers, if any does.
        trunk: from the base to the layers that are kept.
        extra: (input channels, units, groups) of the 3×3 convolutions that are added.
        side: side of the published input, in pixels.
        maximum: GMP instead of GAP.
        dropout: probability, before the linear layer.
    """

    base: str | None
    trunk: Callable[[nn.Module], nn.Sequential]
    extra: tuple[tuple[int, int, int], ...]
    side: int = 224
    maximum: bool = False
    dropout: float = 0.0


class PaperNetwork(nn.Module):
    """Trunk, added convolutions, global pooling, dropout, linear layer."""

    def __init__(self, plan: Plan, trunk: nn.Sequential, num_classes: int) -> None:
        """Add to `trunk` what the plan says; without added layers its maps are the classes'."""
        super().__init__()
        self.trunk = trunk
        self.extra = nn.Sequential(*(convolution(*one) for one in plan.extra))
        self.pool = nn.AdaptiveMaxPool2d(1) if plan.maximum else nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(plan.dropout)
        self.fc: nn.Module = nn.Identity()
        if plan.extra:
            self.fc = published_start(nn.Linear(plan.extra[-1][1], num_classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores (B, C) of images (B, 3, H, W)."""
        grid = self.extra(self.trunk(images))
        scores: Tensor = self.fc(self.drop(self.pool(grid).flatten(1)))
        return scores


def base_of(name: str) -> nn.Module | None:
    """Return the network of torchvision that a network of the paper begins with."""
    base = NETWORKS[name].base
    if base is None:
        return None
    options = {"init_weights": False} if base == "googlenet" else {}
    network: nn.Module = torchvision.models.get_model(base, weights=None, **options)
    return network


def assemble(name: str, base: nn.Module | None, num_classes: int = 1000) -> PaperNetwork:
    """Return a network of the paper; it takes over the layers of `base`, see `base_of`."""
    plan = NETWORKS[name]
    trunk = _nin(num_classes) if base is None else plan.trunk(base)
    return PaperNetwork(plan, trunk, num_classes)


def _alexnet(base: nn.Module) -> nn.Sequential:
    """Up to conv5 and its ReLU: 13×13×256 at 224."""
    return base.get_submodule("features")[:12]  # type: ignore[index, no-any-return]


def _alexnet_star(base: nn.Module) -> nn.Sequential:
    """Up to conv5, widened to 384 units and so new, pooled with stride 1: 11×11×384 at 227."""
    conv5 = published_start(nn.Conv2d(256, 384, 3, padding=1))
    kept = base.get_submodule("features")[:10]  # type: ignore[index]
    return nn.Sequential(*kept, conv5, nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=1))


def _vgg16(base: nn.Module) -> nn.Sequential:
    """Up to conv5_3 and its ReLU: 14×14×512 at 224."""
    return base.get_submodule("features")[:30]  # type: ignore[index, no-any-return]


def _googlenet(base: nn.Module) -> nn.Sequential:
    """Up to inception 4e: 14×14×832 at 224."""
    children: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in base.named_children():
        children[name] = child
        if name == "inception4e":
            break
    return nn.Sequential(children)


def _mlpconv(inputs: int, units: tuple[int, int, int], *shape: int) -> list[nn.Module]:
    """A convolution of (kernel, stride, padding) and two of 1×1, each with ReLU."""
    kernel, stride, padding = shape
    first, second, third = units
    convolutions = (
        nn.Conv2d(inputs, first, kernel, stride, padding),
        nn.Conv2d(first, second, 1),
        nn.Conv2d(second, third, 1),
    )
    return [m for c in convolutions for m in (published_start(c), nn.ReLU(inplace=True))]


def _nin(num_classes: int) -> nn.Sequential:
    """Network in Network for ImageNet (Lin, Chen, Yan 2014): 6×6, one map a class, at 224."""
    return nn.Sequential(
        *_mlpconv(3, (96, 96, 96), 11, 4, 0),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *_mlpconv(96, (256, 256, 256), 5, 1, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        *_mlpconv(256, (384, 384, 384), 3, 1, 1),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Dropout(0.5),
        *_mlpconv(384, (1024, 1024, num_classes), 3, 1, 1),
    )


def _nothing(base: nn.Module) -> nn.Sequential:
    return nn.Sequential(base)


NETWORKS: dict[str, Plan] = {
    "alexnet-gap": Plan("alexnet", _alexnet, ((256, 1024, 1),)),
    "alexnet-star-gap": Plan("alexnet", _alexnet_star, ((384, 512, 1), (512, 512, 1)), side=227),
    "vgg16-gap": Plan("vgg16", _vgg16, ((512, 1024, 2),), dropout=0.5),
    "googlenet-gap": Plan("googlenet", _googlenet, ((832, 1024, 2),)),
    "googlenet-gmp": Plan("googlenet", _googlenet, ((832, 1024, 2),), maximum=True),
    "nin": Plan(None, _nothing, ()),
}
"""The networks by name. The grouped convolutions and the dropout are those of the released nets."""
