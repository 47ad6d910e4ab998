"""The same results on a GPU as on a CPU, to what float32 allows; skipped where there is no GPU."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from camtool.pipelines.experiment import LocalizeSettings
from camtool.pipelines.localizer import Localizer
from camtool.runs import read_predictions
from camtool.runs.maps import MapFiles
from tests.builders import draw_pictures, draw_shapes
from tests.commands import SMALL, run_here, shapes_data

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


def boxes(prediction):
    return np.array([s.box.xyxy for c in prediction.classes for s in c.boxes])


@pytest.mark.parametrize("method", ["cam", "grad-cam", "layer-cam", "score-cam"])
def test_maps_and_boxes_are_those_of_the_cpu(method, tmp_path):
    found = {}
    for device in ("cpu", "cuda"):
        run = tmp_path / device
        given = ("--device", device, "--method", method, "--top-k", 2, "-o", run)
        ran = run_here("localize", "examples/images", *given)
        assert ran.code == 0, ran.err
        found[device] = [(p, MapFiles(run)) for p in read_predictions(run)]
    for (one, maps), (other, others) in zip(found["cpu"], found["cuda"], strict=True):
        assert [c.name for c in one.classes] == [c.name for c in other.classes]
        scores = [[c.score for c in p.classes] for p in (one, other)]
        np.testing.assert_allclose(*scores, rtol=2e-2, atol=2e-3)
        pairs = ((maps, one), (others, other))
        first, second = (m.load(p, p.classes[0].map).values for m, p in pairs)
        np.testing.assert_allclose(first, second, atol=2e-2 * np.abs(first).max())
        # A threshold crosses a smooth map a little aside: by a hundredth of the picture at most.
        np.testing.assert_allclose(boxes(one), boxes(other), atol=max(one.size) / 50)


def test_a_batch_does_not_change_its_images(tmp_path):
    pictures = draw_pictures(tmp_path / "pictures", 9)
    files = sorted(pictures.iterdir())
    settings = LocalizeSettings()
    alone = Localizer(settings=settings, device="cuda", batch_size=1)
    together = Localizer(settings=settings, device="cuda", batch_size=4)
    ran = run_here("localize", pictures, "--device", "cuda", "--set", "run.batch_size=4",
                   "-o", tmp_path / "run")  # fmt: skip
    assert ran.code == 0, ran.err
    for prediction, file in zip(read_predictions(tmp_path / "run"), files, strict=True):
        # Batches of one size give one result; another size adds in another order, in TF32.
        for localizer, tolerance in ((together, 1e-5), (alone, 1e-2)):
            own = localizer(str(file)).classes[0]
            assert own.name == prediction.classes[0].name
            assert own.score == pytest.approx(prediction.classes[0].score, rel=tolerance)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_training_and_going_on(precision, tmp_path):
    shapes = draw_shapes(tmp_path / "shapes", train=8, val=2)
    given = (*shapes_data(shapes), *SMALL, "--device", "cuda",
             "--set", f"train.precision={precision}")  # fmt: skip
    ran = run_here("train", *given, "--set", "train.epochs=1", "-o", tmp_path / "run")
    assert ran.code == 0, ran.err
    ran = run_here("train", *given, "--resume", "--set", "train.epochs=2", "-o", tmp_path / "run")
    assert ran.code in (0, 6), ran.err  # the length of the schedule is a part of what a run is
    rows = [
        json.loads(row) for row in (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    ]
    assert all(np.isfinite(row["train"]["loss"]) for row in rows)
    picture = next((shapes / "val").rglob("*.png"))
    given = ("-m", tmp_path / "run", "--device", "cuda", "-o", tmp_path / "found")
    assert run_here("localize", picture, *given).code == 0
