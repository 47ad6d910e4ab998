"""Networks that take one size of input only are asked before the first picture."""

from __future__ import annotations

import pytest

from camtool import CenterCrop, Localizer, LocalizeSettings, Squeeze
from camtool.cam import GradCam
from camtool.errors import ModelError
from camtool.images import MultiScale, One, TenCrop
from camtool.pipelines.opening import check_input_sizes
from tests.networks import Gap, classifier_of, torchvision_vit


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"views": MultiScale(scales=(1.0, 2.0))}, "64×64"),
        ({"preprocess": Squeeze(size=48)}, "48×48"),
        ({"preprocess": CenterCrop(size=40), "views": TenCrop()}, "40×40"),
    ],
)
def test_a_size_that_the_network_does_not_take(settings, shown):
    network = classifier_of(torchvision_vit(), (32, 32))
    message = (
        rf"test/net takes no input of {shown}, .*Wrong image height.* own size is 32×32: leave"
    )
    with pytest.raises(ModelError, match=message):
        Localizer(network, settings=LocalizeSettings(cam=GradCam(), **settings))
    Localizer(network, method="grad-cam")


def test_other_networks_take_any_size():
    network = classifier_of(Gap(), (32, 48))
    passed = []
    handle = network.register_forward_hook(lambda *a: passed.append(tuple(a[1][0].shape[2:])))
    check_input_sizes(network, [(48, 32), (96, 64), (96, 64), (64, 32)])
    handle.remove()
    assert passed == [(64, 96), (32, 64)]


def test_sizes_are_those_of_the_views():
    spec = classifier_of(Gap(), (32, 48)).spec
    assert One().input_sizes(Squeeze(), spec) == ((48, 32),)
    assert TenCrop().input_sizes(CenterCrop(), spec) == ((48, 48),)
    assert MultiScale(scales=(1.0, 2.0)).input_sizes(Squeeze(), spec) == ((48, 32), (96, 64))
