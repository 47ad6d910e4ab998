"""Networks with another number of classes, another pooling, a convolution more."""

from __future__ import annotations

import copy

import pytest
import safetensors.torch
import timm
import torch
from torch import nn

from camtool.errors import ModelError
from camtool.models import ExtraConv, Gap, Gmp, Lse, ModelSettings, PerClass
from camtool.models.heads import ClassMapHead, LinearHead, NormLinearHead, PerClassHead
from tests.networks import images, save_weights

SMALL = "timm/test_resnet"


def build(backbone=SMALL, num_classes=None, seed=0, weights="none", **more):
    settings = ModelSettings(backbone=backbone, weights=str(weights), **more)
    return settings.build(seed, num_classes)


def new_names(classifier):
    names = {id(m): n for n, m in classifier.named_modules()}
    return [names[id(m)] for m in classifier.new_modules()]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Weights of the small network, in place of pretrained ones."""
    return save_weights(tmp_path_factory.mktemp("weights") / "small.safetensors")


def test_another_number_of_classes(file):
    whole, other = build(weights=file), build(weights=file, num_classes=7)
    assert (whole.num_classes, other.num_classes) == (1000, 7)
    assert (new_names(whole), new_names(other)) == ([], ["head"])
    before, after = whole.features.state_dict(), other.features.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    features, logits = other(images((64, 96)))
    assert logits.shape == (2, 7)
    torch.testing.assert_close(features, whole(images((64, 96))).features)


def test_the_number_of_classes_that_the_weights_have(file, tmp_path):
    same = build(weights=file, num_classes=1000)
    assert new_names(same) == []
    assert same.sha256() == build(weights=file).sha256()
    torch.manual_seed(8)
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    safetensors.torch.save_file(state, tmp_path / "seven.safetensors")
    seven = build(weights=tmp_path / "seven.safetensors", num_classes=7)
    assert new_names(seven) == []
    torch.testing.assert_close(seven.head.weight.detach(), state["fc.weight"])


def test_weights_of_another_network_are_not_taken_in_silence(file, tmp_path):
    state = safetensors.torch.load_file(file)
    key = next(k for k, v in state.items() if v.ndim == 4)
    state[key] = state[key][:7].contiguous()  # whose first axis is the number of classes by chance
    safetensors.torch.save_file(state, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=rf": not the state of {SMALL}: '{key}' is \("):
        build(weights=tmp_path / "other.safetensors", num_classes=7)


def test_the_seed_draws_what_is_new_and_nothing_else(file):
    first, again, other = (build(weights=file, num_classes=7, seed=s) for s in (1, 1, 2))
    assert first.sha256() == again.sha256()
    assert not torch.equal(first.head.weight, other.head.weight)
    assert all(map(torch.equal, first.features.state_dict().values(),
                   other.features.state_dict().values()))  # fmt: skip


def test_the_bundled_network_as_it_is_trained():
    classifier = ModelSettings(output_stride=16).build(0, 50)
    assert new_names(classifier) == ["head"]
    whole = ModelSettings().build()
    assert all(map(torch.equal, classifier.features.state_dict().values(),
                   whole.features.state_dict().values()))  # fmt: skip
    with torch.inference_mode():
        features, logits = classifier(images((112, 112)))
    assert features.shape == (2, 1280, 7, 7)
    assert logits.shape == (2, 50)
    assert len(list(classifier.parameters())) == len(list(whole.parameters()))


@pytest.mark.parametrize(
    ("backbone", "channels", "pooling"),
    [
        ("torchvision/squeezenet1_1", 5, Gmp()),
        ("torchvision/squeezenet1_1", 5, PerClass(by=Lse(r=2.0))),
        ("torchvision/mobilenet_v3_small", 576, Gmp()),
        ("torchvision/mobilenet_v3_small", 576, PerClass(by=Lse(r=2.0))),
        ("timm/convnext_atto", 320, Gmp()),
        ("timm/convnext_atto", 320, PerClass(by=Lse(r=2.0))),
        ("timm/vgg11", 512, Gmp()),
    ],
)
@torch.inference_mode()
def test_any_backbone_with_any_pooling(backbone, channels, pooling):
    classifier = build(backbone, 5, pooling=pooling)
    features, logits = classifier(images((64, 96)))
    assert features.shape[:2] == (2, channels)
    assert features.shape[2] * features.shape[3] > 1
    head, every = classifier.head, torch.arange(5).expand(2, -1)
    spatial = pooling if isinstance(pooling, Gmp) else pooling.by
    assert head.pooling == spatial
    maps = head.class_maps(features, every)
    if isinstance(head, NormLinearHead):
        weights = head.map_weights(features, every)
        actual = (weights * spatial.pool(features)[:, None]).sum(2)
    elif isinstance(head, LinearHead):
        actual = spatial.pool(features) @ head.weight.T
    else:
        assert isinstance(head, PerClassHead if channels == 5 else ClassMapHead)
        actual = spatial.pool(maps)
    torch.testing.assert_close(actual + head.bias(), logits, rtol=1e-4, atol=1e-5)


def test_another_pooling_keeps_the_layer_that_it_feeds(file):
    own, gmp = build(weights=file), build(weights=file, pooling=Gmp())
    maps = build(weights=file, pooling=PerClass())
    assert new_names(gmp) == new_names(maps) == []
    assert own.sha256() == gmp.sha256() == maps.sha256()
    # GAP of class maps is GAP of features, for the convolution is linear.
    batch = images((64, 96))
    torch.testing.assert_close(maps(batch).logits, own(batch).logits, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(gmp(batch).logits, own(batch).logits)


def test_an_extra_convolution(file):
    classifier = build(weights=file, num_classes=7, extra_conv=ExtraConv(channels=24, groups=2))
    assert new_names(classifier) == ["features.extra.0", "head"]
    backbone = build(weights=file).features.state_dict()
    own = classifier.features.backbone.state_dict()
    assert all(torch.equal(backbone[k], own[k]) for k in backbone)
    features, logits = classifier(images((64, 96)))
    plain = build(weights=file)(images((64, 96))).features
    assert features.shape == (2, 24, *plain.shape[2:])
    assert logits.shape == (2, 7)
    convolution = classifier.features.extra[0]
    assert (convolution.kernel_size, convolution.groups) == ((3, 3), 2)
    torch.testing.assert_close(features, convolution(plain).relu())
    assert build(extra_conv=ExtraConv(channels=24)).num_classes == 1000


def test_groups_that_do_not_divide():
    with pytest.raises(ModelError) as raised:
        build(extra_conv=ExtraConv(groups=7))
    assert str(raised.value).startswith(
        f"{SMALL}: model.extra_conv.groups (7) must divide the backbone's "
    )


def test_dropout_is_the_networks_own_unless_set():
    name = "torchvision/mobilenet_v2"
    assert build(name).head.dropout == 0.2
    assert build(name, dropout=0.0).head.dropout == 0
    assert build(name, dropout=0.7, pooling=Lse()).head.dropout == 0.7
    assert build(name, pooling=PerClass()).head.dropout == 0.2
    classifier = build(name, 5)
    batch = images((64, 64))
    features = classifier(batch).features.detach()
    head = classifier.head
    assert torch.equal(head(features), head(features))
    head.train()
    assert not torch.equal(head(features), head(features))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm/vit_base_patch32_siglip_256",
            "its scores come from tokens that have no place in the picture; no pooling can be put"
            " on them: choose another backbone",
        ),
        (
            "timm/pit_ti_224",
            "layer 'transformers.0' (Transformer) does not come from one tensor; no pooling can be"
            " put on it: choose another backbone",
        ),
    ],
)
def test_networks_without_a_grid(name, message):
    with pytest.raises(ModelError) as raised:
        build(name, pooling=Gap(), num_classes=5)
    assert str(raised.value) == f"{name}: {message}"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"pooling": Gmp()},
        {"pooling": PerClass(by=Gmp()), "extra_conv": ExtraConv(channels=16)},
        {"backbone": "timm/convnext_atto"},
        {"backbone": "torchvision/squeezenet1_1"},
    ],
)
def test_the_state_is_enough_to_rebuild_it(more):
    trained, other = build(num_classes=5, seed=1, **more), build(num_classes=5, seed=2, **more)
    state = {k: v.clone() for k, v in trained.state_dict().items()}
    assert other.sha256() != trained.sha256()
    other.load_state_dict(state, strict=True)
    assert other.sha256() == trained.sha256()
    batch = images((64, 96))
    with torch.inference_mode():
        assert torch.equal(other(batch).logits, trained(batch).logits)
    with pytest.raises(RuntimeError, match=r"size mismatch"):
        build(num_classes=6, **more).load_state_dict(state, strict=True)


def test_a_copy_keeps_its_new_modules(file):
    classifier = build(weights=file, num_classes=7, extra_conv=ExtraConv(channels=8))
    twin = copy.deepcopy(classifier)
    assert new_names(twin) == new_names(classifier)
    assert not set(map(id, twin.new_modules())) & set(map(id, classifier.new_modules()))
    assert build().new_modules() == []


def test_another_head(file):
    classifier = build(weights=file, num_classes=7, extra_conv=ExtraConv(channels=8))
    classifier.replace_head(LinearHead(torch.zeros(3, 8), None))
    assert new_names(classifier) == ["features.extra.0", "head"]
    assert classifier.num_classes == 3
    assert not classifier.head.training
    fresh = build()
    fresh.replace_head(LinearHead(torch.zeros(3, fresh.head.channels), None))
    assert fresh.new_modules() == []
    assert isinstance(fresh.head, nn.Module)


def test_dropout_where_no_linear_layer_is():
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone="paper/nin", weights="none", dropout=0.5).build(0, 5)
    assert str(raised.value) == (
        "paper/nin: model.dropout: no linear layer reads the pooled features, so nothing can be"
        " dropped there; leave it out"
    )


@pytest.mark.parametrize("weights", ["none", "imagenet"])
def test_a_new_layer_behind_maxima_starts_small(weights):
    """What a library draws for means lets maxima begin with losses far above log(classes)."""
    gap, gmp, lse = (
        ModelSettings(weights=weights, pooling=pooling).build(0, 50).head
        for pooling in (None, Gmp(), Lse(r=5))
    )
    assert gap.weight.std() > 0.05
    for head in (gmp, lse):
        assert 0.009 < head.weight.std() < 0.011
        assert not head.offset.any()
    known = ModelSettings(pooling=Gmp()).build().head
    assert known.weight.std() > 0.02
