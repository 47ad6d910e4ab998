"""Weights as other trainers write them: read whatever wraps them, refused with what is wrong."""

from __future__ import annotations

import argparse
import json
import logging
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from camtool.errors import ModelError
from camtool.models import ModelSettings
from camtool.models.states import class_names_of, classes_of, fit, read_class_names, read_state_file

BACKBONE = "timm/test_resnet"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return timm.create_model("test_resnet", num_classes=7).eval()


def dense(state, prefix=""):
    return {prefix + k: v.contiguous().clone() for k, v in state.items()}


def without_counts(state):
    return {k: v for k, v in state.items() if "num_batches" not in k}


# How a trainer writes the state of its network.
FORMS = {
    "plain.pth": lambda s: s,
    "ordered.pt": OrderedDict,
    "nested.pth.tar": lambda s: {"epoch": 3, "state_dict": s, "best_acc1": torch.tensor(1.0)},
    "dataparallel.pth": lambda s: {"state_dict": dense(s, "module.")},
    "lightning.ckpt": lambda s: {"state_dict": dense(s, "model."), "callbacks": {}},
    "wrapped_twice.ckpt": lambda s: {"model_state_dict": dense(s, "_orig_mod.module.net.")},
    "averaged.pth": lambda s: {"model": {k: v * 0 for k, v in s.items()}, "model_ema": s},
    "ema_module.pth": lambda s: {"ema": {"module": s, "decay": 0.9}},
    "with_arguments.pth": lambda s: {
        "args": argparse.Namespace(lr=0.1, arch="test_resnet"), "model": s,
        "loss": np.float64(0.5), "optimizer": {"state": {}, "param_groups": []},
    },
    "criterion_too.pth": lambda s: {"state_dict": {**s, "criterion.weight": torch.ones(7)}},
    "trunk_and_head.pth": lambda s: {
        k if k.startswith("fc") else f"backbone.{k}": v for k, v in s.items()
    },
    "without_counts.pth": without_counts,
}  # fmt: skip


@pytest.mark.parametrize("name", [*FORMS, "plain.safetensors", "prefixed.safetensors"])
def test_the_same_logits_whatever_wraps_the_state(name, network, tmp_path):
    state, path = dense(network.state_dict()), tmp_path / name
    if name.endswith(".safetensors"):
        prefix = "" if name.startswith("plain") else "_orig_mod."
        safetensors.torch.save_file(dense(state, prefix), path)
    else:
        torch.save(FORMS[name](state), path)
    loaded = ModelSettings(backbone=BACKBONE, weights=str(path)).build()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        # The parts of a network make the same sums in another order of the last few digits.
        torch.testing.assert_close(loaded(images).logits, network(images), rtol=1e-5, atol=1e-6)
    assert loaded.num_classes == 7


def test_what_was_taken_off_and_left_out_is_said(network, tmp_path, caplog):
    state = {**dense(network.state_dict(), "module."), "extra.weight": torch.ones(1)}
    torch.save({"state_dict": state}, tmp_path / "own.pth")
    with caplog.at_level(logging.INFO, "camtool"):
        ModelSettings(backbone=BACKBONE, weights=str(tmp_path / "own.pth")).build()
    said = [m.removeprefix(f"{tmp_path}/own.pth: ") for m in caplog.messages]
    assert said == [
        "the state under 'state_dict' is read",
        "'module.' taken off the names of its tensors",
        "left out, since timm/test_resnet has none such: 1 tensors (extra.weight)",
        "its 7 classes have no names and are called 0 to 6: name them by --class-names",
    ]


@pytest.mark.parametrize("said", ["test_resnet", "timm/test_resnet"])
def test_the_file_names_its_network_and_classes(said, network, tmp_path):
    names = [f"kind {i}" for i in range(7)]
    content = {"arch": said, "state_dict": network.state_dict(), "classes": names}
    torch.save(content, tmp_path / "own.pth")
    settings = ModelSettings(weights=str(tmp_path / "own.pth")).resolved()
    assert settings.backbone == BACKBONE
    assert settings.build().class_names == tuple(names)


def test_a_named_backbone_stays(network, tmp_path):
    torch.save({"arch": "resnet18", "state_dict": network.state_dict()}, tmp_path / "own.pth")
    settings = ModelSettings(backbone=BACKBONE, weights=str(tmp_path / "own.pth"))
    assert settings.resolved() == settings


def test_other_classes_to_train_on(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "own.pth")
    built = ModelSettings(backbone=BACKBONE, weights=str(tmp_path / "own.pth")).build(0, 3)
    assert built.num_classes == 3
    assert [type(m).__name__ for m in built.new_modules()] == ["LinearHead"]
    trunk = network.state_dict()["layer1.0.conv1.weight"]
    assert any(v.shape == trunk.shape and v.equal(trunk) for v in built.state_dict().values())


def damaged(data: bytes) -> bytes:
    return data[: len(data) // 2]


class Module(torch.nn.Module):
    """A network of one's own, whose class no other program has."""


REFUSED = {
    "absent": (None, "no such file; model.weights is 'imagenet', 'none', a checkpoint"),
    "empty": (b"", "empty: no weights in it"),
    "page": (b"<!DOCTYPE html><html>", "a web page, not a file of weights"),
    "module": (Module(), "holds Python objects beside tensors, and to read these would run code"),
    "optimizer": (
        {"state": {0: {"step": torch.ones(1)}}, "param_groups": []},
        "no state of a network",
    ),
    "tensor": (torch.ones(3), "one tensor, not the state of a network"),
    "list": ([torch.ones(3)], "a list, not the state of a network"),
    "other network": ({"conv9.weight": torch.ones(3)}, "not the state of timm/test_resnet"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path):
    content, message = REFUSED[kind]
    path = tmp_path / "own.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ModelError) as raised:
        ModelSettings(backbone=BACKBONE, weights=str(path)).build()
    assert str(raised.value).startswith(f"{path}: {message}")


def test_code_in_a_file_never_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    torch.save({"state_dict": Evil()}, tmp_path / "own.pth")
    (tmp_path / "own.pkl").write_bytes(pickle.dumps(Evil(), protocol=2))
    for name in ("own.pth", "own.pkl"):
        (tmp_path / "run").unlink(missing_ok=True)
        with pytest.raises(ModelError, match=r"would run code|damaged"):
            read_state_file(tmp_path / name)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("length", [10, 100, 5_000, 100_000])
def test_cut_short(length, network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    safetensors.torch.save_file(dense(network.state_dict()), tmp_path / "whole.safetensors")
    for name in ("whole.pth", "whole.safetensors"):
        path = tmp_path / f"cut.{name}"
        path.write_bytes((tmp_path / name).read_bytes()[:length])
        with pytest.raises(ModelError, match="damaged"):
            read_state_file(path)


def test_a_shape_of_another_network():
    own = {"conv.weight": torch.zeros(8, 3), "fc.weight": torch.zeros(1000, 8)}
    fitted = fit({"conv.weight": torch.zeros(8, 4), "fc.weight": torch.zeros(7, 8)}, own)
    with pytest.raises(ValueError, match=r"'conv.weight' is \(8, 4\) in it, and \(8, 3\)"):
        classes_of(fitted, own, 1000)


def test_heads_of_different_numbers_of_classes():
    own = {"a.weight": torch.zeros(1000, 8), "b.weight": torch.zeros(1000, 8)}
    fitted = fit({"a.weight": torch.zeros(5, 8), "b.weight": torch.zeros(7, 8)}, own)
    with pytest.raises(ValueError, match="5 and 7 classes"):
        classes_of(fitted, own, 1000)


@pytest.mark.parametrize(
    "text",
    ["cat\ndog\n", "\ufeffcat\r\n\r\ndog", '["cat", "dog"]', '{"0": "cat", "1": "dog"}',
     '{"dog": 1, "cat": 0}'],
)  # fmt: skip
def test_class_names(text, tmp_path):
    (tmp_path / "names").write_text(text, newline="")
    assert read_class_names(tmp_path / "names") == ("cat", "dog")


@pytest.mark.parametrize(
    "value", [[], {}, "cat", [1, 2], ["a", "a"], ["a", ""], {"a": 0, "b": 2}, {"x": "y"}, None]
)
def test_no_class_names(value, tmp_path):
    with pytest.raises(ValueError, match=r"."):
        class_names_of(value)
    (tmp_path / "names.json").write_text(json.dumps(value))
    if not isinstance(value, str | None):
        with pytest.raises(ModelError, match=r"names.json: not a list of class names"):
            read_class_names(tmp_path / "names.json")


def test_another_number_of_names(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "own.pth")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    settings = ModelSettings(
        backbone=BACKBONE, weights=str(tmp_path / "own.pth"), class_names=tmp_path / "names.txt"
    )
    with pytest.raises(ModelError, match=r"names.txt: 2 names, and the network has 7 classes"):
        settings.build()


def test_preprocessing_of_ones_own():
    settings = ModelSettings(
        backbone=BACKBONE, weights="none", mean=(0.1, 0.2, 0.3), interpolation="nearest"
    )
    spec = settings.build().spec
    own = ModelSettings(backbone=BACKBONE, weights="none").build().spec
    assert (spec.mean, spec.std, spec.interpolation) == ((0.1, 0.2, 0.3), own.std, "nearest")
