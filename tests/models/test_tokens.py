"""Vision transformers with an end on the grid of their patches, their own or a new one."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from camtool.cam import Cam, GradCam, TsCam
from camtool.errors import ModelError
from camtool.models import ExtraConv, Gap, Gmp, ModelSettings, PerClass
from camtool.models.heads import ClassMapHead, LinearHead, NormLinearHead
from camtool.training.methods import Adl
from tests.cam.networks import classifier_of, images

# Backbone, tokens without a place, channels, rows and columns of the grid.
BACKBONES = {
    "timm/test_vit": (1, 64, 10),
    "timm/vit_tiny_patch16_224": (1, 192, 14),
    "timm/deit_tiny_distilled_patch16_224": (2, 192, 14),
    "torchvision/vit_b_32": (1, 768, 7),
}
CLASSES = torch.tensor([[3, 2], [0, 1]])


def build(name, classes=5, **more):
    settings = ModelSettings(**{"backbone": name, "weights": "none", "pooling": Gap()} | more)
    return settings.build(0, classes)


def last_tokens(name, classifier, batch):
    """What the last normalisation gives in the library's own network with the same weights."""
    library, _, short = name.partition("/")
    own = timm.create_model(short) if library == "timm" else torchvision.models.get_model(short)
    found = own.eval().load_state_dict(classifier.features.features.state_dict(), strict=False)
    assert not found.unexpected_keys
    assert all("head" in key for key in found.missing_keys)
    seen = []
    last = own.get_submodule("norm" if library == "timm" else "encoder.ln")
    last.register_forward_hook(lambda *given: seen.append(given[2]))
    own(batch)
    return seen[0]


@pytest.mark.parametrize("name", BACKBONES)
@torch.no_grad()
def test_a_new_end_reads_the_patches_where_they_lie(name):
    prefix, channels, side = BACKBONES[name]
    classifier = build(name)
    width, height = classifier.spec.size
    batch = images((height, width))
    forward = classifier(batch)
    assert forward.features.shape == (2, channels, side, side)
    assert isinstance(classifier.head, LinearHead)
    tokens = last_tokens(name, classifier, batch)
    assert tokens.shape[1] == side * side + prefix
    for y, x in ((0, 0), (0, side - 1), (side - 1, 2)):
        assert torch.equal(forward.features[:, :, y, x], tokens[:, prefix + y * side + x])
    means = tokens[:, prefix:].mean(1)
    expected = torch.nn.functional.linear(means, classifier.head.weight, classifier.head.offset)
    torch.testing.assert_close(forward.logits, expected)


def test_other_ends():
    made = build("timm/test_vit", pooling=PerClass(by=Gmp()), extra_conv=ExtraConv(channels=8))
    assert isinstance(made.head, ClassMapHead)
    batch = images((160, 160))
    with torch.no_grad():
        forward = made(batch)
        maps = made.head.class_maps(forward.features, CLASSES)
        expected = maps.amax((2, 3)) + made.head.bias()[CLASSES]
    torch.testing.assert_close(forward.logits.gather(1, CLASSES), expected)


def vit(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = timm.models.VisionTransformer(
            img_size=(32, 48), patch_size=8, embed_dim=24, depth=3, num_heads=3, num_classes=4,
            global_pool="avg", **options,
        )  # fmt: skip
        nn.init.normal_(made.head.weight)
    return made.eval()


AVERAGED = {
    "normed means": (lambda: vit(class_token=False), NormLinearHead),
    "means of normed": (lambda: vit(class_token=False, fc_norm=False), LinearHead),
    "means beside a class token": (lambda: vit(reg_tokens=3), NormLinearHead),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_an_own_end_that_averages_patches_is_linear(name):
    make, kind = AVERAGED[name]
    network, batch = make(), images((32, 48))
    made = classifier_of(network, (32, 48))
    assert type(made.head) is kind
    with torch.no_grad():
        forward = made(batch)
        torch.testing.assert_close(forward.logits, network(batch))
        maps = Cam().maps(made, batch, forward, CLASSES)
    assert maps.shape == (2, 2, 4, 6)
    # A norm between means and scores has a bias of its own, which depends on the image.
    scores = maps.mean((2, 3)) + made.head.bias()[CLASSES]
    torch.testing.assert_close(scores, forward.logits.gather(1, CLASSES))
    if kind is LinearHead:
        gradients = GradCam(relu=False).maps(made, batch, forward, CLASSES)
        torch.testing.assert_close(gradients * 24, maps, rtol=1e-4, atol=1e-6)
    coupled = TsCam().maps(made, batch, forward, CLASSES)
    assert coupled.shape == maps.shape
    assert coupled.std() > 0


def test_means_of_all_tokens_are_no_means_of_the_picture():
    made = classifier_of(vit(reg_tokens=3, pool_include_prefix=True), (32, 48))
    with pytest.raises(ModelError, match="its scores are not those of pooled features"):
        made.head.class_maps(torch.zeros(1, 4, 1, 1), CLASSES[:1])


def test_training_reaches_every_block():
    made = build("timm/test_vit").train()
    batch = images((160, 160))
    nn.functional.cross_entropy(made(batch).logits, torch.tensor([1, 3])).backward()
    without = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_layers_within_are_refused():
    with pytest.raises(ModelError, match="keeps channels last, or tokens; no layer fits within"):
        Adl(points=("blocks.1",)).trainee(build("timm/test_vit"), 0)
