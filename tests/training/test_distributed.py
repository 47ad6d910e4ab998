"""Processes: synchronized batch norms, memory that is kept."""

from __future__ import annotations

import copy
import platform

import torch
from torch import nn

from camtool.models import ModelSettings
from camtool.training.distributed import keep_freed_memory, synchronized
from camtool.training.methods import Plain
from camtool.training.optimizer import Sgd, rates_of


def test_the_activations_within_batch_norms_stay():
    """timm's batch norms hold their activation: without it, scores would be quite others."""
    classifier = ModelSettings(weights="none").build(0, 5)
    images = torch.randn(2, 3, 64, 64)
    twin = synchronized(copy.deepcopy(classifier)).eval()
    norms = [m for m in twin.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) > 40
    assert all(isinstance(m, nn.SyncBatchNorm) for m in norms)
    assert twin.state_dict().keys() == classifier.state_dict().keys()
    with torch.inference_mode():
        torch.testing.assert_close(twin(images).logits, classifier(images).logits)


def test_rates_and_kept_parts_are_those_of_the_new_batch_norms():
    classifier = ModelSettings(backbone="timm/test_resnet", weights="none").build(0, 3)
    module = synchronized(Plain().trainee(classifier, 0))
    rates = rates_of(module.classifier, {"bn1": 0.0, "layer1": 0.5})
    assert [type(part) for part in rates.frozen if part.state_dict()] == [nn.SyncBatchNorm]
    groups = Sgd().build(module, module.new_modules(), rates.factors).param_groups
    scales = {id(p): group["scale"] for group in groups for p in group["params"]}
    assert scales[id(module.classifier.features.get_parameter("layer1.0.bn1.weight"))] == 0.5


def test_glibc_takes_the_settings():
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
