"""What every training method keeps to, whatever it does."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from pydantic import TypeAdapter
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from camtool.settings import members
from camtool.training.losses import CrossEntropy, Logistic
from camtool.training.methods import (
    Acol,
    Adl,
    CutMix,
    Foreground,
    HideAndSeek,
    Method,
    Plain,
    Spg,
    TrainingMethod,
)
from tests.training.methods.drawn_networks import generator, pictures, pretrained, small

EVERY = [
    Plain(),
    HideAndSeek(),
    CutMix(),
    Adl(),
    Adl(points=("layer2", "layer3.0")),
    Acol(channels=8),
    Spg(channels=8, refine=(0.5, 0.5)),
    Spg(channels=8, points=("layer2", "layer3")),
    Foreground(stride=8),
]
LABELS = torch.tensor([0, 1, 2, 3])
SEVERAL = torch.tensor([[0, 1.0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 1, 1]])
LOSSES = [(LABELS, CrossEntropy(label_smoothing=0.1)), (SEVERAL, Logistic())]
IDS = [f"{m.name}-{len(getattr(m, 'points', ()))}" for m in EVERY]

every_method = pytest.mark.parametrize("method", EVERY, ids=IDS)


def stepped(method, trainee, targets=LABELS, loss=None, seed=0):
    torch.manual_seed(0)  # of dropout layers
    return method.step(
        trainee.train(), pictures(), targets, loss or CrossEntropy(), generator(seed)
    )


def test_every_member_is_tried_here():
    assert {type(m) for m in EVERY} == set(members(Method, TrainingMethod))
    for member in members(Method, TrainingMethod):
        assert member.summary
        assert member.paper
        name = member.model_fields["name"].default
        assert TypeAdapter(Method).validate_python({"name": name}) == member()


@every_method
@pytest.mark.parametrize(("targets", "loss"), LOSSES, ids=["single", "multi"])
def test_every_weight_learns(method, targets, loss):
    trainee = method.trainee(small(), 0)
    result = stepped(method, trainee, targets, loss)
    assert result.loss.ndim == 0
    assert result.loss.isfinite()
    assert result.logits.shape == (4, 5)
    result.loss.backward()
    grads = {name: p.grad for name, p in trainee.named_parameters() if p.requires_grad}
    assert all(g is not None and g.isfinite().all() for g in grads.values())
    assert sum(bool((g != 0).any()) for g in grads.values()) > 0.9 * len(grads)


@every_method
def test_steps_repeat_bit_for_bit_and_follow_the_generator(method):
    losses = [
        stepped(method, method.trainee(small(), 3), seed=seed).loss.item()
        for seed in (1, 1, *range(2, 12))
    ]
    assert losses[0] == losses[1]
    random = isinstance(method, HideAndSeek | CutMix | Adl | Foreground)
    assert (len(set(losses)) > 1) == random


@every_method
def test_a_method_leaves_the_callers_generator_alone(method):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    method.trainee(small(), 0)
    assert torch.rand(1) == expected


@every_method
def test_training_makes_the_loss_smaller(method):
    if method.keeps_network:
        pytest.skip("its loss is of two parts whose weights move: see test_foreground.py")
    trainee = method.trainee(small(), 0)
    optimizer = torch.optim.SGD(trainee.parameters(), lr=0.02, momentum=0.9)
    draws, losses = generator(0), []
    torch.manual_seed(0)
    for _ in range(25):
        result = method.step(trainee.train(), pictures(), LABELS, CrossEntropy(), draws)
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
        losses.append(result.loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@every_method
def test_the_classifier_is_rebuilt_from_its_settings_and_its_state(method):
    trainee = method.trainee(small(), 0)
    stepped(method, trainee)
    trained = trainee.classifier.eval()
    other = method.prepare(small(seed=9), 9).eval()
    other.load_state_dict(trained.state_dict(), strict=True)
    assert other.sha256() == trained.sha256()
    with torch.inference_mode():
        features, logits = trained(pictures())
        again = other(pictures())
        assert torch.equal(again.logits, logits)
        classes = torch.tensor([[0, 4]]).expand(4, -1)
        maps = trained.head.class_maps(features, classes)
        assert maps.shape == (4, 2, *features.shape[2:])
        assert torch.equal(other.head.class_maps(again.features, classes), maps)
        assert torch.equal(trained(pictures()).logits, logits)  # nothing is random in use


@every_method
def test_new_modules(method, tmp_path):
    assert method.trainee(small(), 0).new_modules() == []  # nothing is pretrained
    trainee = method.trainee(pretrained(tmp_path), 0)
    if method.keeps_network:  # nothing else is trained
        assert trainee.new_modules() == []
        return
    new = {id(p) for m in trainee.new_modules() for p in m.parameters()}
    assert len(trainee.new_modules()) == len(set(map(id, trainee.new_modules())))
    old = {id(p) for p in trainee.classifier.features.parameters()}
    assert new == {id(p) for p in trainee.parameters()} - old
    assert new


@every_method
def test_a_copy_of_the_trainee_is_as_good(method):
    trainee = method.trainee(small(), 0)
    twin = copy.deepcopy(trainee)
    assert stepped(method, twin).loss.item() == stepped(method, trainee).loss.item()
    assert pickle.loads(pickle.dumps(method)) == method


@every_method
def test_wrapped_for_many_processes(method, tmp_path):
    expected = stepped(method, method.trainee(small(), 0)).loss.item()
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        wrapped = DistributedDataParallel(method.trainee(small(), 0))
        result = stepped(method, wrapped)
        assert result.loss.item() == expected
        result.loss.backward()
        # A second step fails if a parameter of the first got no gradient.
        stepped(method, wrapped).loss.backward()
    finally:
        distributed.destroy_process_group()


@every_method
def test_in_mixed_precision(method):
    trainee = method.trainee(small(), 0)
    with torch.autocast("cpu", torch.bfloat16):
        result = stepped(method, trainee)
    assert result.logits.dtype == torch.bfloat16
    assert result.loss.dtype == torch.float32
    result.loss.backward()
    assert all(p.grad.isfinite().all() for p in trainee.parameters() if p.requires_grad)


@every_method
@pytest.mark.filterwarnings("ignore")  # of the compiler itself
def test_compiled(method):
    """By the compiler's front: traced and differentiated, without a C++ compiler at the end."""
    expected = stepped(method, method.trainee(small(), 0)).loss.item()
    torch.compiler.reset()
    compiled = torch.compile(method.trainee(small(), 0), backend="aot_eager")
    assert stepped(method, compiled).loss.item() == pytest.approx(expected, rel=1e-4)
    torch.compiler.reset()
