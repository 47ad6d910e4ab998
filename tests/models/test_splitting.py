"""Networks split into features and head: every form of end, tokens, and those kept whole."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from camtool.cam import Cam, GradCam, TsCam
from camtool.errors import ModelError
from camtool.models import ExtraConv, Gap, Gmp, ModelSettings, PerClass
from camtool.models.heads import ClassMapHead, LinearHead, NormLinearHead, PerClassHead
from camtool.models.splitting import UnsplitHead, block_classes, last_spatial_layer, split_network
from camtool.training.methods import Adl
from tests.networks import classifier_of, images

EXAMPLE = torch.linspace(-1, 1, 3 * 8 * 12).view(1, 3, 8, 12)


class Network(nn.Module):
    """A convolution, and an end that is given as a function of the module and its features."""

    def __init__(self, end, **layers):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.end = end

    def forward(self, images):
        return self.end(self, self.stem(images))


def cut(network):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in network.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            if isinstance(module, nn.LayerNorm | nn.BatchNorm1d):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
            if isinstance(module, nn.BatchNorm1d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2)
    return split_network("test/net", network.eval(), EXAMPLE)


KNOWN = {
    "mean and linear": (
        LinearHead,
        Network(lambda m, x: m.fc(x.mean([2, 3])), fc=nn.Linear(4, 5)),
    ),
    "mean over negative axes": (
        LinearHead,
        Network(lambda m, x: m.fc(torch.mean(x, dim=(-2, -1))), fc=nn.Linear(4, 5, bias=False)),
    ),
    "adaptive pooling, flatten, dropout": (
        LinearHead,
        Network(
            lambda m, x: m.fc(m.drop(torch.flatten(m.pool(x), 1))),
            pool=nn.AdaptiveAvgPool2d(1), drop=nn.Dropout(0.5), fc=nn.Linear(4, 5),
        ),
    ),
    "functional pooling and view": (
        LinearHead,
        Network(
            lambda m, x: m.fc(F.adaptive_avg_pool2d(x, (1, 1)).view(x.size(0), -1)),
            fc=nn.Linear(4, 5),
        ),
    ),
    "1×1 convolution as classifier": (
        LinearHead,
        Network(
            lambda m, x: m.fc(m.pool(x)).flatten(1),
            pool=nn.AdaptiveAvgPool2d((1, 1)), fc=nn.Conv2d(4, 5, 1),
        ),
    ),
    "layer norm behind the pooling": (
        NormLinearHead,
        Network(
            lambda m, x: m.fc(m.norm(x.mean((2, 3)))), norm=nn.LayerNorm(4), fc=nn.Linear(4, 5)
        ),
    ),
    "functional layer norm without scale": (
        NormLinearHead,
        Network(lambda m, x: m.fc(F.layer_norm(x.mean((2, 3)), (4,), eps=0.1)), fc=nn.Linear(4, 5)),
    ),
    "batch norm behind the pooling": (
        LinearHead,
        Network(
            lambda m, x: m.fc(m.norm(x.mean((2, 3)))), norm=nn.BatchNorm1d(4), fc=nn.Linear(4, 5)
        ),
    ),
    "the mean of two heads, each with a batch norm": (
        LinearHead,
        Network(
            lambda m, x: (m.fc(m.one(x.mean((2, 3)))) + m.gc(m.two(x.mean((2, 3))))) / 2,
            one=nn.BatchNorm1d(4), two=nn.BatchNorm1d(4), fc=nn.Linear(4, 5), gc=nn.Linear(4, 5),
        ),
    ),
    "two linear layers and a scale": (
        LinearHead,
        Network(
            lambda m, x: m.b(m.a(m.drop(x.mean((2, 3))))) * 0.5 + 3.0,
            drop=nn.Dropout(), a=nn.Linear(4, 6), b=nn.Linear(6, 5, bias=False),
        ),
    ),
    "maps of classes": (PerClassHead, Network(lambda _, x: x.mean((2, 3)))),
    "max pooling": (
        LinearHead,
        Network(
            lambda m, x: m.fc(m.pool(x).flatten(1)),
            pool=nn.AdaptiveMaxPool2d(1), fc=nn.Linear(4, 5),
        ),
    ),
    "tokens": (
        LinearHead,
        Network(lambda m, x: m.fc(x.flatten(2).transpose(1, 2).mean(1)), fc=nn.Linear(4, 5)),
    ),
    "channels last": (
        LinearHead,
        Network(lambda m, x: m.fc(x.permute(0, 2, 3, 1).relu().mean((1, 2))), fc=nn.Linear(4, 5)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
@torch.inference_mode()
def test_known_ends(name):
    kind, network = KNOWN[name]
    features, head, channels, classes, untrainable, _ = cut(network)
    assert type(head) is kind
    assert untrainable is None
    batch = torch.randn(2, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    grid = features(batch)
    assert grid.shape == (2, 4, 3, 5)
    assert channels == 4
    logits = network(batch)
    assert classes == logits.shape[1]
    torch.testing.assert_close(head(grid), logits)
    assert head.pooling == (Gmp() if name == "max pooling" else Gap())
    if head.pooling == Gap():
        classes = torch.arange(logits.shape[1]).expand(2, -1)
        means = head.class_maps(grid, classes).mean((2, 3)) + head.bias()
        torch.testing.assert_close(means, logits)


REFUSED = {
    "layer 'act' (ReLU) lies between the pooling and the scores": Network(
        lambda m, x: m.fc(m.act(x.mean((2, 3)))), act=nn.ReLU(), fc=nn.Linear(4, 5)
    ),
    "layer 'act' (Tanh) lies between the pooling": Network(
        lambda m, x: m.b(m.act(m.a(x.mean((2, 3))))),
        a=nn.Linear(4, 4), act=nn.Tanh(), b=nn.Linear(4, 5),
    ),
    "layer 'soft' (Softmax) lies between": Network(
        lambda m, x: m.soft(m.fc(x.mean((2, 3)))), soft=nn.Softmax(1), fc=nn.Linear(4, 5)
    ),
    "layer 'pool' (AdaptiveAvgPool2d) lies between": Network(
        lambda m, x: m.fc(m.pool(x).flatten(1)), pool=nn.AdaptiveAvgPool2d(2), fc=nn.Linear(16, 5)
    ),
    "layer 'act' (Sigmoid) lies between the pooling": Network(
        lambda m, x: (m.a(x.mean((2, 3))) + m.act(m.b(x.mean((2, 3))))) / 2,
        a=nn.Linear(4, 5), b=nn.Linear(4, 5), act=nn.Sigmoid(),
    ),
    "operation 'mul' (mul) lies between the pooling": Network(
        lambda m, x: m.a(x.mean((2, 3))) * m.b(x.mean((2, 3))), a=nn.Linear(4, 5), b=nn.Linear(4, 5)
    ),
    "takes one token out of the grid": Network(
        lambda m, x: m.fc(x.flatten(2).transpose(1, 2)[:, 0]), fc=nn.Linear(4, 5)
    ),
    "pools not all of a grid": Network(
        lambda m, x: m.fc(x.mean(2).flatten(1)), fc=nn.Linear(20, 5)
    ),
    "cannot be traced (": Network(
        lambda m, x: m.fc(x.mean((2, 3))) if x.sum() > 0 else x, fc=nn.Linear(4, 5)
    ),
    "the output does not come from one tensor": Network(
        lambda m, x: (m.fc(x.mean((2, 3))), x), fc=nn.Linear(4, 5)
    ),
    "leaves a grid of 1×1, on which nothing can be localized": Network(
        lambda m, x: m.fc(m.again(m.pool(x)).flatten(1)),
        pool=nn.MaxPool2d((4, 6)), again=nn.AdaptiveAvgPool2d(1), fc=nn.Linear(4, 5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_refused_ends(message):
    with pytest.raises(ModelError) as raised:
        cut(REFUSED[message])
    assert str(raised.value).startswith("test/net: ")
    assert message in str(raised.value)
    assert "train a GAP head" in str(raised.value)


def test_values_that_are_only_reshaped_wrongly_are_noticed():
    """A view that mixes the images of a batch changes values: the parts are held against it."""
    network = Network(lambda m, x: m.fc(x.mean((2, 3)).view(2, 2).permute(1, 0).reshape(1, 4)),
                      fc=nn.Linear(4, 5))  # fmt: skip
    with pytest.raises(ModelError, match=r"^test/net: its scores are not those of pooled features"):
        cut(network)


def test_the_network_itself_is_left_as_it_was():
    network = KNOWN["mean and linear"][1].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    expected = network(EXAMPLE)
    split_network("test/net", network, EXAMPLE)
    torch.testing.assert_close(network(EXAMPLE), expected, rtol=0, atol=0)
    assert before.keys() == network.state_dict().keys()


# Backbone, tokens without a place, channels, rows and columns of the grid.
BACKBONES = {
    "timm/test_vit": (1, 64, 10),
    "timm/vit_tiny_patch16_224": (1, 192, 14),
    "timm/deit_tiny_distilled_patch16_224": (2, 192, 14),
    "torchvision/vit_b_32": (1, 768, 7),
}
CLASSES = torch.tensor([[3, 2], [0, 1]])


def with_new_end(name, classes=5, **more):
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
    classifier = with_new_end(name)
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
    made = with_new_end(
        "timm/test_vit", pooling=PerClass(by=Gmp()), extra_conv=ExtraConv(channels=8)
    )
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
    made = with_new_end("timm/test_vit").train()
    batch = images((160, 160))
    nn.functional.cross_entropy(made(batch).logits, torch.tensor([1, 3])).backward()
    without = [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_layers_within_are_refused():
    with pytest.raises(ModelError, match="keeps channels last, or tokens; no layer fits within"):
        Adl(points=("blocks.1",)).trainee(with_new_end("timm/test_vit"), 0)


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
