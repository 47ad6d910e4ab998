"""Attention taken from the network as it runs: rollout, LeGrad, TS-CAM; token grids."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
import torchcam.methods

from camtool.cam import AttentionRollout, GradCam, LeGrad, TsCam
from camtool.cam.attention import AttentionRecorder, record_attention
from camtool.errors import ModelError
from camtool.models.grids import Layout, layout_of
from tests.networks import (
    TokenNetwork,
    classifier,
    classifier_of,
    images,
    swin,
    torchvision_vit,
    vit,
)

CLASSES = torch.tensor([[3, 2], [0, 1]])


NETWORKS = {
    "class token": lambda: vit(),
    "registers": lambda: vit(reg_tokens=4),
    "no class token": lambda: vit(class_token=False, global_pool="avg"),
    "DINOv2-style": lambda: vit(init_values=0.5, reg_tokens=4, no_embed_class=True, qk_norm=True),
    "patches of 4": lambda: vit(patch_size=4),
    "torchvision": torchvision_vit,
    "distilled": lambda: timm.models.deit.VisionTransformerDistilled(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=4
    ),
}
PREFIX = {"registers": 5, "no class token": 0, "DINOv2-style": 5, "distilled": 2}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_grid_of_tokens_is_found(name):
    network = classifier_of(NETWORKS[name](), (32, 32))
    seen = record_attention(network, images((32, 32)))
    side = 8 if name == "patches of 4" else 4
    assert seen.layout == Layout("tokens", side, side, PREFIX.get(name, 1))
    assert len(seen.maps) == len(seen.blocks) == 3
    maps = GradCam(relu=False).maps(network, images((32, 32)), network(images((32, 32))), CLASSES)
    assert maps.shape == (2, 2, side, side)
    assert maps.std() > 0


@pytest.mark.parametrize("shape", [(1, 197, 8), (2, 201, 8), (1, 196, 8), (1, 198, 8)])
def test_token_grids_of_usual_networks(shape):
    assert layout_of(shape, (224, 224)) == Layout("tokens", 14, 14, shape[1] - 196)


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((1, 261, 8), (224, 224), Layout("tokens", 16, 16, 5)),
        ((1, 1374, 8), (518, 518), Layout("tokens", 37, 37, 5)),
        ((1, 49, 8), (96, 128), Layout("tokens", 6, 8, 1)),
        ((1, 9, 8), (32, 32), Layout("tokens", 2, 2, 5)),
        ((1, 64, 7, 7), (224, 224), Layout("nchw", 7, 7)),
        ((1, 7, 7, 64), (224, 224), Layout("nhwc", 7, 7)),
        ((1, 64, 3, 4), (96, 128), Layout("nchw", 3, 4)),
        ((1, 3, 4, 64), (96, 128), Layout("nhwc", 3, 4)),
        ((1, 7, 7, 7), (224, 224), Layout("nchw", 7, 7)),
        ((1, 1, 1, 1), (224, 224), Layout("nchw", 1, 1)),
        ((1, 64), (224, 224), None),
        ((1, 1, 64, 7, 7), (224, 224), None),
    ],
)
def test_layouts(shape, image, expected):
    assert layout_of(shape, image) == expected


@pytest.mark.parametrize(
    "layout", [Layout("nchw", 2, 3), Layout("nhwc", 2, 3), Layout("tokens", 2, 3, 2)]
)
def test_a_grid_goes_out_and_in(layout):
    shapes = {"nchw": (2, 5, 2, 3), "nhwc": (2, 2, 3, 5), "tokens": (2, 8, 5)}
    output = torch.arange(2.0 * 5 * 8)[: torch.Size(shapes[layout.order]).numel()]
    output = output.view(shapes[layout.order])
    grid = layout.grid(output)
    assert grid.shape == (2, 5, 2, 3)
    assert torch.equal(layout.replaced(output, grid), output)
    changed = layout.replaced(output, grid * 0)
    assert not layout.grid(changed).any()
    if layout.prefix:
        assert torch.equal(changed[:, :2], output[:, :2])


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_watching_changes_no_answer(name, fused):
    network = NETWORKS[name]().eval()
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            module.fused_attn = fused
    with torch.no_grad():
        expected = network(images((32, 32)))
        with AttentionRecorder() as tap:
            actual = network(images((32, 32)))
        assert torch.equal(network(images((32, 32))), expected)
    torch.testing.assert_close(actual, expected)
    assert len(tap.maps) == 3
    for attention in tap.maps:
        torch.testing.assert_close(attention.sum(-1), torch.ones(attention.shape[:3]))


def test_masks_of_attention_are_kept():
    query = images((5, 4), 2).unbind(1)[0][:, None]
    for mask in (torch.randn(5, 5), torch.eye(5, dtype=torch.bool)):
        given = (query, query * 2, query * 3, mask)
        expected = torch.nn.functional.scaled_dot_product_attention(*given)
        with AttentionRecorder() as tap:
            actual = torch.nn.functional.scaled_dot_product_attention(*given)
            causal = torch.nn.functional.scaled_dot_product_attention(*given[:3], is_causal=True)
        torch.testing.assert_close(actual, expected)
        assert len(tap.maps) == 1
        assert not torch.equal(causal, expected)


@pytest.mark.parametrize("name", ["class token", "registers", "no class token"])
def test_rollout_by_hand(name):
    network, batch = NETWORKS[name](), images((32, 32))
    plain = copy.deepcopy(network)
    kept = []
    for block in plain.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda *a: kept.append(a[2]))
    with torch.no_grad():
        plain(batch)
    flow = torch.eye(kept[0].shape[-1])
    for attention in kept:
        mixed = 0.5 * attention.mean(1) + 0.5 * torch.eye(attention.shape[-1])
        flow = mixed @ flow
    prefix = PREFIX.get(name, 1)
    row = flow[:, 0, prefix:] if prefix else flow.mean(1)
    made = classifier_of(network, (32, 32))
    maps = AttentionRollout().maps(made, batch, made(batch), CLASSES)
    torch.testing.assert_close(maps[:, 0], row.view(2, 4, 4), rtol=1e-4, atol=1e-7)
    assert torch.equal(maps[:, 0], maps[:, 1])
    largest = AttentionRollout(heads="max").maps(made, batch, made(batch), CLASSES)
    assert not torch.equal(largest, maps)


@pytest.mark.parametrize("blocks", [None, 2])
def test_legrad_against_torchcam(blocks):
    network, batch = torchvision_vit(), images((32, 32))
    made = classifier_of(network, (32, 32))
    maps = LeGrad(blocks=blocks).maps(made, batch, made(batch), CLASSES)
    layers = [f"encoder.layers.encoder_layer_{i}" for i in range(3)][-(blocks or 0) :]
    for i in range(2):
        with torchcam.methods.LeGrad(network, layers) as extractor:
            scores = network(batch)
            found = extractor(CLASSES[:, i].tolist(), scores, normalized=False)
        expected = torch.stack(found).mean(0)
        torch.testing.assert_close(relative(maps[:, i]), relative(expected), rtol=0, atol=1e-4)


def relative(maps):
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return (maps - low) / (high - low)


def test_ts_cam_is_attention_times_cam():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = TokenNetwork()
    made, batch = classifier_of(network, (32, 48)), images((32, 48))
    with torch.no_grad():
        forward = made(batch)
        seen = record_attention(made, batch)
        maps = TsCam().maps(made, batch, forward, CLASSES)
    attention = torch.stack([m.mean(1)[:, 0, 3:] for m in seen.maps]).mean(0).view(2, 1, 4, 6)
    expected = attention * made.head.class_maps(forward.features, CLASSES)
    torch.testing.assert_close(maps, expected)
    assert len(seen.maps) == 2


def test_ts_cam_needs_both():
    with pytest.raises(ModelError, match=r"takes one token .* scores: train a GAP head"):
        TsCam().check(classifier_of(vit(), (32, 32)))
    with pytest.raises(ModelError, match="resnet18 has no attention of all parts"):
        TsCam().check(classifier("resnet18"))


def test_windows_are_no_attention_over_the_picture():
    made = classifier_of(swin(), (64, 64))
    for method in (AttentionRollout(), LeGrad()):
        with pytest.raises(ModelError, match=r"no attention of all parts .* \(windows, and"):
            method.check(made)
    batch = images((64, 64))
    maps = GradCam(layer="layers.0", relu=False).maps(made, batch, made(batch), CLASSES)
    assert maps.shape == (2, 2, 16, 16)
    assert maps.std() > 0


def test_windows_are_no_grid():
    made, batch = classifier_of(swin(), (64, 64)), images((64, 64))
    of_layer = GradCam(layer="layers.0.blocks.0.mlp.fc1", relu=False)
    assert of_layer.maps(made, batch, made(batch), CLASSES).shape == (2, 2, 16, 16)
    of_windows = GradCam(layer="layers.0.blocks.0.attn")
    message = r"gives \(32, 16, 12\) for .*: no grid of the picture; name a"
    with pytest.raises(ModelError, match=message):
        of_windows.maps(made, batch, made(batch), CLASSES)


def test_heads_are_no_rows():
    made, batch = classifier_of(vit(qk_norm=True), (32, 32)), images((32, 32))
    method = GradCam(layer="blocks.1.attn.q_norm")
    with pytest.raises(ModelError, match=r"gives \(2, 3, 17, 8\) .*: no grid of the picture; name"):
        method.maps(made, batch, made(batch), CLASSES)


def test_a_layer_whose_class_token_alone_is_read():
    made, batch = classifier_of(vit(), (32, 32)), images((32, 32))
    message = "the class token alone of layer 'blocks.2', .* default it is 'blocks.2.norm1'"
    with pytest.raises(ModelError, match=message):
        GradCam(layer="blocks.2").maps(made, batch, made(batch), CLASSES)
    assert GradCam(layer="blocks.1").maps(made, batch, made(batch), CLASSES).any()


class Reduced(torch.nn.Module):
    """Attention to fewer keys before one over all tokens, as in PVT."""

    def __init__(self):
        super().__init__()
        self.vit = vit(class_token=False, global_pool="avg")

    def forward(self, pictures):
        tokens = self.vit.norm_pre(self.vit.patch_embed(pictures))
        fewer = tokens[:, ::4]
        tokens = torch.nn.functional.scaled_dot_product_attention(tokens, fewer, fewer)
        return self.vit.forward_head(self.vit.blocks(tokens))


def test_attention_to_fewer_keys_is_not_the_whole_way():
    made = classifier_of(Reduced(), (32, 32))
    with pytest.raises(ModelError, match="and fewer keys than queries, do not count"):
        AttentionRollout().check(made)
