"""Case 05: state files of other trainers, each read to the scores of its own network."""

from __future__ import annotations

import runpy
import shutil

import pytest
import safetensors.torch
import timm
import torch

from camtool.models import ModelSettings
from tests.commands import run_here

FILES = (
    "plain.pth", "nested.pth.tar", "dataparallel.pth", "lightning.ckpt", "timm_train.pth.tar",
    "plain.safetensors", "module_prefix.safetensors", "compiled_prefix.safetensors",
    "no_num_batches.safetensors", "classes_5.safetensors", "classes_1.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def written(shared, tmp_path_factory):
    """The folder of files, and the network that most of them hold."""
    folder = tmp_path_factory.mktemp("own")
    make = shared / "cases" / "05-own-checkpoint-files" / "make.py"
    if not make.is_file():
        pytest.skip("case 05 is not here")
    made = runpy.run_path(str(shutil.copy(make, folder)))
    return folder, made["m"].eval()


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_read(name, written, tmp_path):
    folder, network = written
    loaded = ModelSettings(backbone="timm/test_resnet", weights=str(folder / name)).build()
    if name.startswith("classes"):
        count = int(name[len("classes_")])
        network = timm.create_model("test_resnet", num_classes=count).eval()
        network.load_state_dict(safetensors.torch.load_file(folder / name))
    images = torch.randn(1, 3, 96, 96)
    with torch.inference_mode():
        ours, theirs = loaded(images).logits, network(images)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    given = ("--backbone", "timm/test_resnet", "-m", folder / name, "-o", tmp_path / "run")
    ran = run_here("localize", "examples/images/cat.jpg", *given)
    assert ran.code == 0, ran.err
