"""Networks that are used whole, and the last layer with a grid that is found in them."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from camtool.errors import ModelError
from camtool.models import ExtraConv, ModelSettings
from camtool.models.splitting import UnsplitHead, block_classes, last_spatial_layer


def timm_vit(**options):
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=4, **options
    )


LAYERS = {
    "torchvision.alexnet": (lambda: torchvision.models.alexnet(num_classes=9), 96, "features"),
    "torchvision.mobilenet_v3_small": (
        lambda: torchvision.models.mobilenet_v3_small(num_classes=9), 64, "features",
    ),
    "timm.mobilenetv3": (
        lambda: timm.create_model("mobilenetv3_small_050", num_classes=9), 64, "blocks",
    ),
    # Nobody uses the patches behind the last attention: only the class token is read.
    "class token": (timm_vit, 32, "blocks.2.norm1"),
    "class token, normed queries": (lambda: timm_vit(qk_norm=True), 32, "blocks.2.norm1"),
    "mean of patches": (lambda: timm_vit(class_token=False, global_pool="avg"), 32, "blocks"),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_last_layer_whose_grid_matters(name):
    make, side, layer = LAYERS[name]
    torch.manual_seed(0)
    network = make().eval().requires_grad_(False)
    example = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        assert last_spatial_layer(network, example) == layer
    assert not any(m._forward_hooks for m in network.modules())
    assert not any(p.requires_grad or p.grad is not None for p in network.parameters())


def test_scores_that_depend_on_nothing():
    network = timm_vit().eval()
    nn.init.zeros_(network.head.weight)
    assert last_spatial_layer(network, torch.randn(1, 3, 32, 32)) == "norm"


def test_no_grid_at_all():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    assert last_spatial_layer(network, torch.randn(1, 3, 8, 8)) is None


def test_blocks_are_kept_whole():
    names = {kind.__name__ for kind in block_classes(torchvision.models.resnet18())}
    assert names == {"BasicBlock"}
    network = ModelSettings(backbone="timm/test_resnet", weights="none").build()
    assert type(network.features.get_submodule("layer1.0")).__name__ == "BasicBlock"


def test_an_undivided_network_answers_as_it_is_and_is_not_trained():
    network = ModelSettings(backbone="torchvision/mobilenet_v3_small", weights="none").build(seed=1)
    assert isinstance(network.head, UnsplitHead)
    assert network.num_classes == 1000
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        own = torchvision.models.mobilenet_v3_small().eval()
    batch = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(network(batch).logits, own(batch))
    with pytest.raises(ModelError, match=r"cannot be trained: .*train a GAP head on this backbone"):
        network.train()


def test_what_is_asked_of_the_inside_of_a_network_is_not_given_up():
    settings = ModelSettings(
        backbone="timm/mobilenetv3_small_050", weights="none", extra_conv=ExtraConv()
    )
    with pytest.raises(ModelError, match="lies between the pooling and the scores"):
        settings.build()
