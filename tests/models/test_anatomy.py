"""Small networks of every form that the walk back from the scores knows or refuses."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from camtool.errors import ModelError
from camtool.models.heads import LinearHead, NormLinearHead, PerClassHead
from camtool.models.poolings import Gap, Gmp
from camtool.models.splitting import split_network

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
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
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
    features, head, channels, classes, untrainable = cut(network)
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
