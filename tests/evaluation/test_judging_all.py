"""Maps judged by several threads: the same figures, the same errors, and little at a time."""

from __future__ import annotations

import json
import random
import sys
import threading

import numpy as np
import pytest

from camtool.annotations import read_annotations
from camtool.errors import EvaluationError
from camtool.evaluation import judging_all
from camtool.evaluation.judging import Judge
from camtool.evaluation.judging_all import judge_all
from camtool.evaluation.score_maps import FileMaps
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.pipelines.evaluate import EvalSettings, evaluate_files
from camtool.runs import maps as map_files
from camtool.runs.maps import pack
from camtool.structures import ScoreMap

SIZE = (80, 60)
NAMES = [f"i{number:03d}" for number in range(75)]


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    numbers = random.Random(0)
    rows = [
        f"{name},{numbers.randint(0, 30)},{numbers.randint(0, 20)},{numbers.randint(40, 80)},55,n0"
        for name in NAMES
    ]
    path.write_text("image,x0,y0,x1,y1,label\n" + "\n".join(rows) + "\n")
    return path


def low_maps():
    generator = np.random.default_rng(1)
    return {name: generator.random((7, 9), dtype=np.float32) for name in NAMES}


def write_run(folder, order):
    """A run of three map files, its records in any order."""
    (folder / "maps").mkdir(parents=True)
    maps = [ScoreMap(values, (0.0, 0.0, 80.0, 60.0), SIZE) for values in low_maps().values()]
    for first in range(0, 75, 25):
        (folder / "maps" / f"{first // 25:05d}.npz").write_bytes(pack(maps[first : first + 25]))
    lines = [
        json.dumps(
            {
                "image_id": NAMES[n], "path": NAMES[n], "width": 80, "height": 60,
                "classes": [{"index": 0, "name": "n0", "score": 1, "boxes": [], "map": n % 25}],
                "maps": f"maps/{n // 25:05d}.npz",
            }
        )
        for n in order
    ]  # fmt: skip
    (folder / "predictions.jsonl").write_text("\n".join(lines))
    (folder / "manifest.json").write_text("{}")
    return folder


def source(kind, folder):
    if kind == "run":
        return write_run(folder, range(75))
    if kind == "shuffled run":
        return write_run(folder, random.Random(2).sample(range(75), 75))
    if kind == "npz":
        np.savez_compressed(folder / "maps.npz", **low_maps())
        return folder / "maps.npz"
    for name, values in low_maps().items():
        np.save(folder / f"{name}.npy", values)
    return folder


@pytest.fixture
def often(monkeypatch):
    """Threads that take turns as often as they can, a picture at a time."""
    monkeypatch.setattr(judging_all, "_AT_ONCE", 1)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("kind", ["run", "shuffled run", "npz", "npy"])
@pytest.mark.usefixtures("often")
def test_any_number_of_threads_gives_the_same(tmp_path, monkeypatch, boxes, kind):
    place = source(kind, tmp_path / "x" if "run" in kind else tmp_path)
    run, predictions = (place, None) if "run" in kind else (None, place)
    settings = EvalSettings(
        annotations=boxes,
        predictions=predictions,
        protocol=MaxBoxAccV2(interval=0.02) if kind == "npz" else MaxBoxAcc(interval=0.02),
    )
    if predictions is not None:
        # The files say nothing of the image's size.
        whole = read_annotations(boxes)
        assert len(whole.annotations) == 75
        settings = settings.model_copy(update={"annotations": sized_boxes(tmp_path, boxes)})
    found = []
    for workers in (1, 2, 7):
        monkeypatch.setattr(judging_all, "cores_here", lambda workers=workers: workers)
        found.append(evaluate_files(settings, run))
    assert found[0].counts.scored == 75
    assert found[0] == found[1]
    assert found[0] == found[2]


def sized_boxes(folder, boxes):
    """The same boxes as XML, which gives the size."""
    text = ["<annotations>"]
    for line in boxes.read_text().splitlines()[1:]:
        name, *corners, label = line.split(",")
        tags = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        inside = "".join(f"<{tag}>{value}</{tag}>" for tag, value in tags)
        text.append(
            f"<annotation><filename>{name}</filename><size><width>80</width><height>60</height>"
            f"</size><object><name>{label}</name><bndbox>{inside}</bndbox></object></annotation>"
        )
    path = folder / "boxes.xml"
    path.write_text("\n".join([*text, "</annotations>"]))
    return path


def test_map_files_are_read_once_in_order(tmp_path, monkeypatch, boxes):
    read = []

    def counted(path):
        read.append(path.name)
        return unpack(path)

    unpack = map_files.unpack
    monkeypatch.setattr(map_files, "unpack", counted)
    monkeypatch.setattr(judging_all, "cores_here", lambda: 4)
    monkeypatch.setattr(judging_all, "_AT_ONCE", 4)  # with files of 25 instead of 512
    run = write_run(tmp_path / "run", range(75))
    evaluate_files(EvalSettings(annotations=boxes, protocol=MaxBoxAcc(interval=0.02)), run)
    assert read == ["00000.npz", "00001.npz", "00002.npz"]


@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_bad_map_is_named(tmp_path, monkeypatch, boxes, workers):
    maps = low_maps() | {name: np.zeros(3, np.float32) for name in ("i050", "i031", "i070")}
    np.savez(tmp_path / "maps.npz", **maps)
    monkeypatch.setattr(judging_all, "cores_here", lambda: workers)
    settings = EvalSettings(
        annotations=sized_boxes(tmp_path, boxes),
        predictions=tmp_path / "maps.npz",
        protocol=MaxBoxAcc(),
    )
    with pytest.raises(EvaluationError, match=r"maps\.npz: i031: not a map"):
        evaluate_files(settings)


def test_few_images_are_under_way_and_all_threads_work(tmp_path, boxes):
    np.savez(tmp_path / "maps.npz", **low_maps())
    maps = FileMaps(tmp_path / "maps.npz")
    truths = read_annotations(sized_boxes(tmp_path, boxes)).annotations
    taken, threads = [], set()

    class Watched:
        few = True
        of_true_class = True
        masks = None

        def has(self, prediction, label):
            return maps.has(prediction, label)

        def stored(self, prediction, label):
            return maps.stored(prediction, label)

        def load(self, prediction, label):
            threads.add(threading.current_thread().name)
            return maps.load(prediction, label)

    def pairs():
        for _ in range(10):
            for prediction in maps.predictions():
                taken.append(prediction.image_id)
                yield truths[prediction.image_id], prediction

    judge = Judge(EvalSettings(protocol=MaxBoxAcc()), None, Watched())
    most = 0
    for given, (prediction, judged) in enumerate(judge_all(judge, pairs(), 3)):
        assert judged.outcome is not None
        assert judged.truth.image_id == prediction.image_id == NAMES[given % 75]
        most = max(most, len(taken) - given)
    assert given == 749
    assert most <= 8 * 16
    assert len(threads) == 3
    assert threading.current_thread().name not in threads
