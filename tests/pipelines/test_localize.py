"""What `localize` promises of its results: they depend on the image and the settings alone."""

from __future__ import annotations

import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import camtool.pipelines.localize as pipeline
from camtool.errors import DataError, ModelError, RunError
from camtool.models import ModelSettings
from camtool.pipelines.experiment import Experiment
from camtool.pipelines.localize import localize
from camtool.runs import Shard, read_predictions
from camtool.settings import load_settings
from tests.builders import draw_pictures
from tests.commands import TINY, run_alone

BROKEN = (0, 7, 8, 29)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "_PART_IMAGES", 4)


@pytest.fixture(autouse=True, scope="module")
def _networks_built_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ModelSettings, "build", functools.cache(ModelSettings.build))
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("drawn") / "pictures", 30, broken=BROKEN)


def experiment(out: Path, **changes: object) -> Experiment:
    overrides = [item for item in TINY if item != "--set"]
    overrides += [f"{key.replace('__', '.')}={value}" for key, value in changes.items()]
    return load_settings(Experiment, None, [*overrides, f"run.dir={out}"])


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "whole"
    result = localize([str(pictures)], experiment(out))
    assert (result.images, result.finished, result.resumed) == (30, True, 0)
    assert [Path(path).stem for path, _ in result.skipped] == [f"{n:05d}" for n in BROKEN]
    return out


def same(run: Path, whole: Path) -> None:
    for name in ("predictions.jsonl", "maps/00000.npz"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert sorted(p.name for p in run.iterdir()) == sorted(p.name for p in whole.iterdir())


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_workers_change_nothing(workers, pictures, whole, tmp_path):
    run = tmp_path / "run"
    assert localize([str(pictures)], experiment(run, run__workers=workers)).finished
    same(run, whole)


def test_pictures_differ(whole):
    """The comparisons of this file would say little if all pictures had the same result."""
    found = {
        json.dumps([[c.score, [b.box.xyxy for b in c.boxes]] for c in p.classes])
        for p in read_predictions(whole)
        if p.error is None
    }
    assert len(found) == 26


@pytest.mark.parametrize("number", [1, 15, 28])
def test_alone_as_among_others(number, pictures, whole, tmp_path):
    name = f"{number:05d}"
    localize([str(pictures / f"{name}.png")], experiment(tmp_path / "run"))
    (alone,) = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    among = (whole / "predictions.jsonl").read_text().splitlines()[number]
    assert without_maps(alone) == without_maps(among)


def without_maps(line: str) -> object:
    """The record without the place of its maps."""
    record = json.loads(line)
    record.pop("maps")
    for found in record["classes"]:
        found.pop("map")
    return record


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shards_one_after_the_other(order, pictures, whole, tmp_path):
    run = tmp_path / "run"
    for place, index in enumerate(order, 1):
        result = localize([str(pictures)], experiment(run), shard=Shard(index, 3))
        assert result.finished == (place == 3)
        assert (run / "manifest.json").exists() == (place == 3)
        if not result.finished:
            mine = [f"{n:05d}" for n in BROKEN if n % 3 == index]
            assert [Path(path).stem for path, _ in result.skipped] == mine
    same(run, whole)
    again = localize([str(pictures)], experiment(run), shard=Shard(1, 3))
    assert (again.finished, again.resumed, len(again.skipped)) == (True, 30, 4)


def test_more_shards_than_images(tmp_path):
    few = draw_pictures(tmp_path / "few", 2)
    for index in range(4):
        localize([str(few)], experiment(tmp_path / "run"), shard=Shard(index, 4))
    assert [p.image_id for p in read_predictions(tmp_path / "run")] == ["00000", "00001"]


@pytest.mark.slow
def test_shards_at_the_same_time(pictures, whole, tmp_path):
    """Each in a process of its own; whoever ends last assembles the run."""
    run = tmp_path / "run"
    arguments = ("localize", pictures, "-o", run, *TINY)
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda n: run_alone(*arguments, "--shard", f"{n}/3"), range(3)))
    assert [end.code for end in ends] == [0, 0, 0]
    assert any("26 images localized, 4 skipped" in end.out for end in ends)
    same(run, whole)


def test_another_number_of_shards(pictures, tmp_path):
    run = experiment(tmp_path / "run")
    localize([str(pictures)], run, shard=Shard(0, 3))
    with pytest.raises(RunError) as caught:
        localize([str(pictures)], run, shard=Shard(0, 2))
    assert str(caught.value) == (
        f"{tmp_path}/run was started with 3 shards, not 2: go on with as many, choose another"
        " --out or --overwrite"
    )


class StopAfter:
    """Says stop when it was asked `count` times."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("asked", [0, 1, 5, 13, 29])
def test_stopped_and_started_again(asked, pictures, whole, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(pipeline.StoppedError) as caught:
        localize([str(pictures)], experiment(run), stop=StopAfter(asked))
    left = int(str(caught.value).split()[2])
    assert str(caught.value) == f"stopped early, {left} images left: start again to go on"
    assert caught.value.exit_code == 75
    result = localize([str(pictures)], experiment(run))
    assert result.resumed == 30 - left
    assert len(result.skipped) == len(BROKEN)
    same(run, whole)


def test_an_end_in_the_middle_leaves_whole_parts(pictures, whole, tmp_path, monkeypatch):
    """A defect amid the work costs no more than the part that was under way."""
    run = tmp_path / "run"
    finish, left = pipeline.Localizer.finish, [13]

    def failing(*arguments):
        left[0] -= 1
        if not left[0]:
            raise ZeroDivisionError
        return finish(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline.Localizer, "finish", failing)
        with pytest.raises(ZeroDivisionError):
            localize([str(pictures)], experiment(run, run__workers=0))
    result = localize([str(pictures)], experiment(run))
    assert result.resumed % 4 == 0
    assert 4 <= result.resumed <= 16
    same(run, whole)


def test_unreadable_images_only(tmp_path):
    folder = draw_pictures(tmp_path / "broken", 3, broken=range(3))
    for _ in range(2):  # the same when started again
        with pytest.raises(DataError, match="none of 3 images could be read; the first: "):
            localize([str(folder)], experiment(tmp_path / "run"))
    assert [p.error for p in read_predictions(tmp_path / "run")] == [
        "not an image: it holds text"
    ] * 3


def test_a_wrong_setting_leaves_no_folder(pictures, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(ModelError, match="resnit"):
        localize([str(pictures)], experiment(run, model__backbone="timm/test_resnit"))
    assert not run.exists()


def test_the_seed_shapes_random_weights(pictures, whole, tmp_path):
    localize([str(pictures)], experiment(tmp_path / "run", run__seed=1))
    scores = [
        [p.classes[0].score for p in read_predictions(run) if p.error is None]
        for run in (whole, tmp_path / "run")
    ]
    assert all(a != b for a, b in zip(*scores, strict=True))


def test_results_are_the_same_in_another_process(pictures, whole, tmp_path):
    run = tmp_path / "run"
    ended = run_alone("localize", pictures, "-o", run, *TINY)
    assert ended.code == 0
    same(run, whole)
