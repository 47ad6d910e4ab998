"""Optimizer groups, augmentation, cache, moving average, and the environment of processes."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
import torch
from torch import nn

from camtool.errors import ModelError, RunError, SettingsError
from camtool.images import ImageSettings
from camtool.images.sources import FileSource
from camtool.models import ModelSettings
from camtool.structures import InputSpec
from camtool.training.augment import RandomResizedCrop, ResizeCrop, ResizeOnly
from camtool.training.batches import BatchOrder, PixelCache, Place, TrainingImages, loader
from camtool.training.data import Example
from camtool.training.distributed import _place, _set_address
from camtool.training.loop import MovingAverage
from camtool.training.optimizer import AdamW, Sgd, rates_of
from camtool.training.seeds import (
    get_random_state,
    kernels,
    own_random_state,
    set_random_state,
)
from tests.builders import draw_pictures


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)


@pytest.mark.parametrize("settings", [Sgd(weight_decay=0.1), AdamW(weight_decay=0.1)])
def test_groups_are_made_by_module(settings):
    network = Small()
    optimizer = settings.build(network, [network.head])
    found = {
        id(p): (group["scale"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
    }
    conv, norm, head = network.body[0], network.body[1], network.head
    assert found[id(conv.weight)] == (1.0, 0.1)
    assert found[id(head.weight)] == (10.0, 0.1)
    assert found[id(head.bias)] == (10.0, 0.0)
    assert all(found[id(p)] == (1.0, 0.0) for p in (conv.bias, norm.weight, norm.bias))
    assert len(found) == len(list(network.parameters()))


def test_nesterov_is_a_form_of_momentum():
    assert (
        Sgd(nesterov=True).over([{"params": [nn.Parameter(torch.zeros(1))]}]).defaults["nesterov"]
    )
    with pytest.raises(SettingsError, match="nesterov: is a form of momentum, which is 0"):
        Sgd(nesterov=True, momentum=0.0)


def test_rates_of_parts_by_the_longest_name():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(0, 3)
    rates = rates_of(classifier, {"layer2": 0.5, "layer2.0.conv1": 0.0, "head": 4.0})
    groups = Sgd().build(classifier, [classifier.head], rates.factors).param_groups
    scales = {id(p): group["scale"] for group in groups for p in group["params"]}
    layer2 = classifier.features.layer2
    frozen = getattr(layer2, "0").conv1
    assert rates.frozen == [frozen]
    assert not frozen.weight.requires_grad
    assert id(frozen.weight) not in scales
    assert scales[id(getattr(layer2, "0").conv2.weight)] == 0.5
    assert scales[id(classifier.features.layer1.get_submodule("0").conv1.weight)] == 1.0
    assert scales[id(classifier.head.weight)] == 40.0


def test_what_camtool_puts_around_a_backbone_has_no_rate():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(0, 3)
    with pytest.raises(ModelError, match="has no module 'features'; there are "):
        rates_of(classifier, {"features": 0.0})
    # torchvision's own name is one.
    own = ModelSettings(backbone="torchvision/squeezenet1_1", weights="none").build(0, 3)
    rates_of(own, {"features": 0.0})
    assert not any(p.requires_grad for n, p in own.named_parameters() if ".features." in n)


def test_something_must_be_left_to_train():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(0, 3)
    parts = dict.fromkeys(("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "head"), 0.0)
    with pytest.raises(ModelError, match="every part of the network has the factor 0"):
        rates_of(classifier, parts)


def test_frozen_parameters_are_left_out_and_shared_ones_come_once():
    network = Small()
    network.again = network.head
    network.body.requires_grad_(False)
    groups = Sgd(decay_all=True).build(network, []).param_groups
    assert [len(g["params"]) for g in groups] == [2]


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": (-1.0, 1.0)}, {"scale": (0.0, 1.0)}, {"scale": (0.5, 1.5)}, {"scale": (0.9, 0.5)},
        {"ratio": (0.0, 1.0)}, {"ratio": (2.0, 1.0)}, {"ratio": (1.0,)},
    ],
)  # fmt: skip
def test_crops_that_are_not_possible(wrong):
    with pytest.raises(SettingsError):
        RandomResizedCrop(**wrong)


SPEC = InputSpec((24, 16), (0.5,) * 3, (0.5,) * 3, "bilinear", 0.9)


@pytest.fixture
def examples(tmp_path):
    folder = draw_pictures(tmp_path / "pictures", 12, broken=(5,))
    return [
        Example(FileSource(p.stem, str(p)), (i % 3,))
        for i, p in enumerate(sorted(folder.iterdir()))
    ]


def images(examples, augmentation, cache=None):
    transform = augmentation.transform(SPEC.size, SPEC.interpolation)
    return TrainingImages(examples, transform, ImageSettings(), False, 0, cache)


@pytest.mark.parametrize("augmentation", [RandomResizedCrop(), ResizeCrop(colour=0.3)])
def test_an_image_is_varied_by_epoch_and_place_alone(augmentation, examples):
    data = images(examples, augmentation)
    before = torch.get_rng_state()
    first = data[Place(0, 3)].image
    assert first.shape == (3, 16, 24)
    assert first.dtype == torch.uint8
    torch.rand(7)
    assert data[Place(0, 3)].image.equal(first)
    assert not data[Place(1, 3)].image.equal(first)
    torch.set_rng_state(before)
    _ = data[Place(2, 3)]
    assert torch.get_rng_state().equal(before)


def test_whole_image(examples):
    data = images(examples, ResizeOnly(mirror=0.0))
    assert data[Place(0, 1)].image.equal(data[Place(9, 1)].image)


def test_another_image_stands_in_for_an_unreadable_one(examples):
    data = images(examples, ResizeOnly(mirror=0.0))
    sample = data[Place(0, 5)]
    assert sample.labels == (0,)
    assert sample.image.equal(data[Place(0, 6)].image)
    ((path, reason),) = sample.unreadable
    assert path == examples[5].source.path
    assert reason == "not an image: it holds text"


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_do_not_depend_on_workers(workers, examples):
    data = images(examples, RandomResizedCrop(), PixelCache(12, 12 * 3 * 48 * 36 // 2))
    size = (48, 36)
    batches = list(loader(data, BatchOrder(12, 4), 3, workers, size=size, pin=False))
    again = loader(
        images(examples, RandomResizedCrop()), BatchOrder(12, 4), 3, 0, size=size, pin=False
    )
    assert len(batches) == 3
    for a, b in zip(batches, again, strict=True):
        assert a.images.equal(b.images)
        assert a.targets.equal(b.targets)
        assert a.labels.argmax(1).equal(a.targets)
        assert a.unreadable == b.unreadable


def test_cache_never_exceeds_its_limit():
    cache = PixelCache(3, 100)
    one, two = (torch.full((3, 2, 5), v, dtype=torch.uint8) for v in (1, 2))
    for index, image in enumerate((one, two, one, two)[:3]):
        cache.put(index, image)
    assert cache.get(0).equal(one)
    assert cache.get(1).equal(two)
    cache.put(2, torch.zeros(3, 9, 9, dtype=torch.uint8))
    assert cache.get(2).equal(one)
    full = PixelCache(2, 30)
    full.put(0, one)
    full.put(1, two)
    assert full.get(1) is None


def test_moving_average_by_hand():
    network = Small()
    average = MovingAverage(network, 0.5)
    start = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1)
    network.body[1].num_batches_tracked += 3
    average.update(network)
    average.update(network)
    # Shares 1 - 1/10 and 1 - 2/11 of the way: 1 - 0.1 · 2/11 of it in all.
    way = 1 - 0.1 * 2 / 11
    found = average.network.state_dict()
    assert found["head.bias"].numpy() == pytest.approx(start["head.bias"].numpy() + way)
    assert found["body.1.num_batches_tracked"] == 3
    assert not average.network.training


def test_random_states_go_and_come_back():
    import random

    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002

    state = get_random_state()
    first = drawn()
    with own_random_state():
        drawn()
    second = drawn()
    set_random_state(state)
    assert (drawn(), drawn()) == (first, second)


def test_deterministic_kernels_are_asked_for_within_a_run_only(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with kernels(deterministic=False):
        assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with kernels(deterministic=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({}, (0, 1, 0)),
        ({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, (3, 4, 1)),
        ({"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "0"}, (2, 8, 0)),
        # The shell of a batch script: no peers, though the job has several tasks.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, (0, 1, 0)),
    ],
)
def test_place_among_the_processes(environment, place):
    assert _place(environment) == place


def test_processes_of_several_machines_need_an_address():
    with pytest.raises(RunError, match="MASTER_ADDR is not set"):
        _set_address({"SLURM_STEP_NUM_NODES": "2"})
    one = {"SLURM_JOB_ID": "12345678"}
    _set_address(one)
    assert one["MASTER_PORT"] == "25678"
