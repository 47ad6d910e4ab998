"""Gradients of the parts of a batch add up to those of the batch."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from tests.builders import draw_shapes
from tests.cli.test_train_command import history, weights
from tests.commands import SMALL, run_here, shapes_data


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    """Not here: what is trained is not what was built."""


def test_the_parts_of_a_step_add_up_to_it(tmp_path):
    """A batch in four parts, longer gradients cut: the same weights as by one pass."""
    shapes = draw_shapes(tmp_path / "shapes", train=6, val=1)
    # Without batch norm: its statistics would be those of the part.
    network = ("--set", "model.backbone=timm/test_convnext", "--set", "model.output_stride=null")
    options = (*shapes_data(shapes), *SMALL, *network)
    clip = ("--set", "train.clip=0.5", "--set", "train.epochs=1")
    for parts in ("1", "4"):
        more = ("--set", f"train.accumulate={parts}")
        ran = run_here("train", *options, *clip, *more, "-o", tmp_path / parts)
        assert ran.code == 0, ran.err
    one, four = (safetensors.torch.load(weights(tmp_path / parts)) for parts in ("1", "4"))
    for key, value in one.items():
        torch.testing.assert_close(four[key], value, rtol=1e-4, atol=1e-6)
    assert history(tmp_path / "1")[0]["train"]["loss"] == pytest.approx(
        history(tmp_path / "4")[0]["train"]["loss"], rel=1e-4
    )
