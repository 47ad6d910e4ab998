from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch

from camtool import Localizer
from camtool.cam import Cam, ForegroundCam
from camtool.errors import ModelError, SettingsError
from camtool.models import ModelSettings
from camtool.models.foreground import (
    attach,
    features_sha256,
    new_head,
    packaged,
    read_head,
    relative,
    write_head,
)
from camtool.pipelines.experiment import LocalizeSettings
from tests.networks import Gap, TokenNetwork, classifier_of, images


@pytest.fixture(scope="module")
def bundled():
    return ModelSettings().build()


def test_classes_and_plain_maps_stay_to_the_last_bit(bundled):
    network, batch = ModelSettings().build(), torch.rand(2, 3, 224, 224)
    attach(network, packaged(network))
    classes = torch.tensor([[3, 7], [0, 999]])
    with torch.inference_mode():
        plain, staged = bundled(batch), network(batch)
        assert torch.equal(plain.logits, staged.logits)
        maps = [Cam().maps(n, batch, f, classes) for n, f in ((bundled, plain), (network, staged))]
    assert torch.equal(*maps)
    features, logits = staged  # still the pair that it was
    assert (features.shape, logits.shape) == ((2, 1280, 7, 7), (2, 1000))


def test_the_map_is_the_product_by_the_formula():
    network, batch = classifier_of(Gap(), (32, 48)), images((32, 48), 2)
    attach(network, new_head(network, seed=1, stride=4).eval())
    classes = torch.tensor([[1, 3], [0, 2]])
    with torch.inference_mode():
        forward = network(batch)
        cams = network.head.class_maps(forward.features, classes)
        foreground = network.foreground(forward, cams).sigmoid()
        found = ForegroundCam(foreground=2, cam=0.25).maps(network, batch, forward, classes)
    shares = cams.clamp_min(0) / cams.amax((2, 3), keepdim=True)
    expected = foreground**2 * shares**0.25  # the head's grid is the last one here
    positive = cams.amax((2, 3), keepdim=True) > 0
    torch.testing.assert_close(found, torch.where(positive, expected, 0.0))


def test_each_class_is_seen_by_itself():
    network, batch = classifier_of(Gap(), (32, 48)), images((32, 48), 1)
    attach(network, new_head(network, seed=1, stride=4).eval())
    with torch.inference_mode():
        forward = network(batch)
        both = ForegroundCam().maps(network, batch, forward, torch.tensor([[1, 3]]))
        for place, index in enumerate((1, 3)):
            alone = ForegroundCam().maps(network, batch, forward, torch.tensor([[index]]))
            torch.testing.assert_close(both[:, place], alone[:, 0])


def test_what_classes_have_in_common_is_read_once():
    head = new_head(classifier_of(Gap(), (32, 48)), seed=1, stride=4).eval()
    for value in (head.norm.running_mean, head.norm.running_var):
        value.copy_(torch.rand(value.shape) + 0.5)
    shared, own = torch.randn(3, len(value) - 1, 5, 7), torch.rand(6, 1, 5, 7)
    torch.testing.assert_close(head.read_once(shared, own), head.read(shared, own))


def test_a_class_that_is_nowhere_has_no_map():
    maps = torch.tensor([[[[-3.0, -1.0]], [[0.0, 4.0]]]])
    assert relative(maps).tolist() == [[[[0, 0]], [[0, 1]]]]
    network, batch = classifier_of(Gap(), (32, 48)), images((32, 48), 1)
    attach(network, new_head(network, seed=1, stride=4).eval())
    with torch.no_grad():
        network.head.weight.copy_(-network.head.weight.abs())  # features behind a ReLU
        forward = network(batch)
    for method in (ForegroundCam(), ForegroundCam(cam=0)):
        assert not method.maps(network, batch, forward, torch.tensor([[2]])).any()


def test_written_and_read(tmp_path):
    network = classifier_of(Gap(), (32, 48))
    head = new_head(network, seed=3, stride=4)
    write_head(tmp_path / "head.safetensors", head, {"seed": 3})
    again, about = read_head(tmp_path / "head.safetensors")
    assert about == {"seed": 3, "points": ["act", "second"]}
    assert again.points == head.points
    for name, value in head.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def damaged(path):
    state = {"first.weight": torch.zeros(2, 4, 1, 1)}
    yield b"no safetensors"
    safetensors.torch.save_file(state, path)
    yield path.read_bytes()
    for about in ("[", "{}", '{"points": 7}', '{"points": ["a"]}'):
        safetensors.torch.save_file(state, path, {"foreground": about})
        yield path.read_bytes()


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "head.safetensors"
    for content in list(damaged(path)):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="not a foreground head that can be read"):
            read_head(path)
    with pytest.raises(ModelError, match="not a foreground head"):
        read_head(tmp_path / "none.safetensors")


def test_the_head_that_comes_with_camtool_says_what_made_it(bundled):
    from importlib.resources import files
    from pathlib import Path

    head, about = read_head(Path(str(files("camtool.models") / "foreground_head.safetensors")))
    assert sum(p.numel() for p in head.parameters()) == 23_201
    assert about["features"] == features_sha256(bundled)
    assert {"pictures", "images", "recipe", "seed", "area", "background"} <= set(about)
    assert json.dumps(about)
    assert head.about == about
    last_layer_of_its_own = ModelSettings().build(0, 5)
    assert packaged(last_layer_of_its_own) is not None
    with torch.no_grad():
        next(last_layer_of_its_own.features.parameters()).add_(1e-3)
    assert packaged(last_layer_of_its_own) is None


def test_by_default_for_the_bundled_network_alone():
    assert Localizer().settings.cam == ForegroundCam()
    assert Localizer("timm/tf_efficientnet_lite0").settings.boxes.threshold == 0.5
    assert Localizer(method="cam").settings.boxes.threshold == 0.2
    assert Localizer(threshold=0.3).settings.boxes.threshold == 0.3
    random = ModelSettings(weights="none")
    assert Localizer(random).settings.cam == Cam()
    set_by_hand = LocalizeSettings(cam=Cam())
    assert Localizer(settings=set_by_hand).settings.cam == Cam()


def test_networks_without_a_head_are_refused_with_the_remedy():
    with pytest.raises(ModelError, match=r"no foreground head.*--set train.method=foreground"):
        Localizer(ModelSettings(weights="none"), method="foreground")
    with pytest.raises(ModelError, match=r"cannot be cut at stride 64: .* stride 2, 4"):
        new_head(classifier_of(Gap(), (32, 48)), 0, stride=64)
    with pytest.raises(ModelError, match="cannot be cut at 'nowhere'"):
        new_head(classifier_of(Gap(), (32, 48)), 0, point="nowhere")
    with pytest.raises(ModelError):
        new_head(classifier_of(TokenNetwork(), (32, 48)), 0)
    with pytest.raises(SettingsError, match="both 0"):
        ForegroundCam(foreground=0, cam=0)
    network = classifier_of(Gap(), (32, 48))
    forward = network(images((32, 48), 1))
    attach(network, new_head(network, 0, stride=4).eval())
    with pytest.raises(ValueError, match="before the foreground head"):
        ForegroundCam().maps(network, images((32, 48), 1), forward, torch.tensor([[0]]))
