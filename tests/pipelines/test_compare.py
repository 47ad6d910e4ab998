"""Runs compared on the same images: figures by hand, and every reason to refuse."""

import json

import numpy as np
import pytest

from camtool.errors import EvaluationError, RunError, SettingsError
from camtool.evaluation.compare import compare_runs
from camtool.evaluation.evaluate import evaluate_files
from camtool.evaluation.settings import EvalSettings
from camtool.metrics.diagnosis import DiagnosisSettings
from camtool.metrics.intervals import Bootstrap
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.runs import RunFolder, Shard
from camtool.structures import Box, ClassPrediction, Prediction, ScoredBox, ScoreMap

RIGHT, WRONG = Box(60, 40, 160, 120), Box(0, 0, 20, 20)
CLASSES = ({"index": 0, "name": "cat", "title": None}, {"index": 1, "name": "dog", "title": None})
IMAGES = [f"image{number}" for number in range(8)]


def guess(name, rank, box, **more):
    boxes = (ScoredBox(box, 1.0),) if box else ()
    return ClassPrediction(name, 0.5, boxes, rank, ["cat", "dog"].index(name), **more)


def ramp(inside, outside):
    values = np.full((224, 224), outside, np.float32)
    values[40:119, 60:159] = inside  # the published box is a pixel larger
    return values


def prediction(image_id, code):
    """`R` all right, `B` wrong box, `C` wrong class (the true one second), `X` unreadable."""
    if code == "X":
        return Prediction(image_id, f"{image_id}.png", None, error="empty file (0 bytes)"), []
    names = ("dog", "cat") if code == "C" else ("cat", "dog")
    boxes = (WRONG if code == "B" else RIGHT, RIGHT)
    classes = tuple(
        guess(n, rank, b, target=n == "cat")
        for rank, (n, b) in enumerate(zip(names, boxes, strict=True), 1)
    )
    values = ramp(1, 0.9) if code == "B" else ramp(1, 0.1)
    values[0, 0] = 0
    maps = [ScoreMap(values, (0.0, 0.0, 224.0, 224.0), (224, 224)) for _ in names]
    return Prediction(image_id, f"{image_id}.png", (224, 224), classes), maps


def write_run(path, codes, images=IMAGES, classes=CLASSES, finish=True):
    found = [prediction(*pair) for pair in zip(images, codes, strict=True)]
    with RunFolder(path, Shard(0, 1), len(found), {"inputs": "1"}).open(
        "", lambda *_: []
    ) as folder:
        folder.append([p for p, _ in found], [m for _, m in found])
        if finish:
            folder.assemble({"schema_version": 1, "classes": list(classes)})
    return path


def write_boxes(path, images=IMAGES, label="cat"):
    rows = "".join(f"{name},60,40,160,120,{label}\n" for name in images)
    path.write_text("image,x0,y0,x1,y1,label\n" + rows)
    return path


@pytest.fixture
def boxes(tmp_path):
    return write_boxes(tmp_path / "boxes.csv")


def settings(boxes, **more):
    return EvalSettings(annotations=boxes, **more)


@pytest.fixture
def runs(tmp_path):
    """Of eight images, three gain a box, one gains the class, two lose: the box, the class."""
    return write_run(tmp_path / "a", "RRRBBBCR"), write_run(tmp_path / "b", "RBCRRRRR")


def test_what_became_of_each_kind(runs, boxes):
    found = compare_runs(runs, settings(boxes))
    (pair,) = found.pairs
    top1 = {
        before: {after: n for after, n in row.items() if n}
        for before, row in pair.kinds["top1"].items()
    }
    # The wrong box lies on the background; the true class's own box is right in every other image.
    assert top1 == {
        "right": {"right": 2, "background": 1, "wrong_class": 1},
        "background": {"right": 3},
        "wrong_class": {"right": 1},
    }
    known = pair.kinds["gt_known"]
    assert sum(sum(row.values()) for row in known.values()) == 8
    assert known["background"]["right"] == 3
    assert found.convention["error_kinds"].startswith("Gao et al. 2021")


def test_kinds_need_what_their_figure_needs(runs, boxes):
    off = settings(boxes, diagnosis=DiagnosisSettings(enabled=False))
    assert compare_runs(runs, off).pairs[0].kinds == {}
    maps = compare_runs(runs, settings(boxes, protocol=MaxBoxAcc()))
    assert maps.pairs[0].kinds == {}
    assert "error_kinds" not in maps.convention


def test_figures_by_hand(runs, boxes):
    found = compare_runs(runs, settings(boxes))
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.images) == (str(runs[0]), str(runs[1]), 8)
    assert (found.protocol, found.measure, found.warnings) == ("ilsvrc", "error", ())
    top1 = pair.metrics["top1_localization_error"]
    assert (top1.difference.first, top1.difference.second) == (50, 25)
    assert top1.difference.value == -25
    assert (top1.better, top1.worse) == (4, 2)
    assert top1.better_ids == ("image3", "image4", "image5", "image6")
    assert top1.worse_ids == ("image1", "image2")
    assert top1.test.p == pytest.approx(2 * (1 + 6 + 15) / 64)
    assert top1.test.chi2 is None
    classes = pair.metrics["top1_classification_error"]
    assert (classes.difference.value, classes.better, classes.worse) == (0, 1, 1)
    assert pair.metrics["gt_known_error"].difference.value == pytest.approx(100 * (1 - 3) / 8)
    top2 = pair.metrics["top2_localization_error"]
    assert top2.better_ids == ("image3", "image4", "image5")
    assert set(pair.metrics) == {
        *(f"top{n}_classification_error" for n in range(1, 6)),
        *(f"top{n}_localization_error" for n in range(1, 6)),
        "gt_known_error",
    }
    assert "a: unknown; " in found.convention["threshold"]
    assert found.convention["test"].startswith("McNemar")


def test_each_figure_is_that_of_eval(runs, boxes):
    (pair,) = compare_runs(runs, settings(boxes)).pairs
    for run, side in zip(runs, ("first", "second"), strict=True):
        scored = evaluate_files(settings(boxes), run)
        for name, metric in pair.metrics.items():
            assert getattr(metric.difference, side) == scored.metrics[name].value
            assert metric.difference.n == scored.metrics[name].n


def test_the_first_against_each_other_one(runs, boxes, tmp_path):
    same = write_run(tmp_path / "c", "RRRBBBCR")
    found = compare_runs([*runs, same], settings(boxes))
    assert [(p.first, p.second) for p in found.pairs] == [
        (str(runs[0]), str(runs[1])),
        (str(runs[0]), str(same)),
    ]
    for metric in found.pairs[1].metrics.values():
        assert (metric.difference.ci95, metric.test.p) == ((0, 0), 1)
        assert (metric.better_ids, metric.worse_ids) == ((), ())


def test_interval_is_that_of_the_seed(runs, boxes):
    def interval(seed):
        chosen = settings(boxes, bootstrap=Bootstrap(seed=seed, samples=111))
        (pair,) = compare_runs(runs, chosen).pairs
        return pair.metrics["top1_localization_error"].difference.ci95

    assert interval(1) == interval(1)
    assert interval(1)[0] < -25 < interval(1)[1]


@pytest.mark.parametrize(
    ("protocol", "whole", "n"),
    [(MaxBoxAcc(), "max_box_acc", 8), (MaxBoxAccV2(), "max_box_acc_v2", 24)],
)
def test_maps_at_the_fixed_threshold(runs, boxes, protocol, whole, n):
    found = compare_runs(runs, settings(boxes, protocol=protocol))
    (pair,) = found.pairs
    # A map whose surroundings are at 0.9 gives the whole frame at 0.2; its best threshold is higher
    # and would make every map right: there were no difference left to see.
    half = pair.metrics["max_box_acc_50"]
    assert (half.difference.first, half.difference.second) == (62.5, 87.5)
    assert (half.better_ids, half.worse_ids) == (("image3", "image4", "image5"), ("image1",))
    assert half.difference.n == 8
    assert pair.metrics[whole].difference.n == n
    assert pair.metrics[whole].difference.value == pytest.approx(25)
    assert (pair.metrics[whole].better, pair.metrics[whole].worse) == (3, 1)
    assert found.measure == "accuracy"
    assert found.convention["threshold"] == (
        "fixed at 0.2 in every run, not chosen on these images"
    )
    scored = evaluate_files(settings(boxes, protocol=protocol), runs[0])
    assert scored.metrics[whole].value == 100
    assert scored.thresholds["max_box_acc_50"].rules["fixed"].value == half.difference.first
    higher = protocol.model_copy(update={"fixed": 0.95})
    (pair,) = compare_runs(runs, settings(boxes, protocol=higher)).pairs
    assert pair.metrics[whole].difference.first == 100
    assert pair.metrics[whole].test.p == 1


def test_metrics_that_one_run_does_not_allow(runs, boxes, tmp_path):
    from camtool.runs.predictions import to_json

    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "manifest.json").write_text(json.dumps({"classes": list(CLASSES)}))
    records = [Prediction(name, name, (224, 224), (guess("dog", 1, RIGHT),)) for name in IMAGES]
    (bare / "predictions.jsonl").write_text("".join(json.dumps(to_json(r)) + "\n" for r in records))
    (pair,) = compare_runs([runs[0], bare], settings(boxes)).pairs
    assert set(pair.metrics) == {"top1_classification_error", "top1_localization_error"}
    assert pair.metrics["top1_classification_error"].worse == 7
    assert pair.absent["gt_known_error"] == (
        f"{bare}: the true class's box is stored for 0 of 8 images; `camtool localize --labels` "
        "stores it for all"
    )
    assert pair.absent["top5_localization_error"].startswith(f"{bare}: the predictions carry 1")


def refused(runs, chosen):
    with pytest.raises(EvaluationError) as raised:
        compare_runs(runs, chosen)
    return str(raised.value)


def test_an_unfinished_run(runs, boxes, tmp_path):
    stopped = write_run(tmp_path / "stopped", "RRRRRRRR", finish=False)
    with pytest.raises(RunError, match="stopped: an unfinished run; start it again to go on"):
        compare_runs([runs[0], stopped], settings(boxes))


def test_no_run_folder(runs, boxes, tmp_path):
    with pytest.raises(RunError, match="nothing: not a run folder"):
        compare_runs([runs[0], tmp_path / "nothing"], settings(boxes))


def test_other_classes(runs, boxes, tmp_path):
    more = (*CLASSES, {"index": 2, "name": "cow", "title": None})
    third = write_run(tmp_path / "third", "RRRRRRRR", classes=more)
    assert refused([runs[0], third], settings(boxes)) == (
        f"{runs[0]} and {third} cannot be compared: their networks know 2 and 3 classes; "
        "compare runs with one list of classes"
    )
    turned = tuple({**row, "name": name} for row, name in zip(CLASSES, ("dog", "cat"), strict=True))
    fourth = write_run(tmp_path / "fourth", "RRRRRRRR", classes=turned)
    assert refused([runs[0], fourth], settings(boxes)) == (
        f"{runs[0]} and {fourth} cannot be compared: class 0 cat None of the first is 0 dog None "
        "in the second; compare runs with one list of classes"
    )


def test_other_images(runs, boxes, tmp_path):
    fewer = write_run(tmp_path / "fewer", "RRR", IMAGES[:3])
    assert refused([runs[0], fewer], settings(boxes)) == (
        f"{fewer}: 5 of 8 annotated images have no prediction (first: image3); --allow-missing "
        "scores the rest"
    )
    found = compare_runs([runs[0], fewer], settings(boxes, allow_missing=True))
    assert (found.pairs[0].images, found.pairs[0].left_out) == (3, 5)
    assert found.pairs[0].metrics["top1_localization_error"].difference.n == 3
    assert found.warnings == (
        f"{fewer}: 5 annotated images have no prediction "
        "(image3, image4, image5, image6, image7)",
    )  # fmt: skip
    rest = write_run(tmp_path / "rest", "RRRRR", IMAGES[3:])
    assert refused([fewer, rest], settings(boxes, allow_missing=True)) == (
        f"{fewer} and {rest} cannot be compared: no image counts in both"
    )


def test_an_image_that_one_run_could_not_read(runs, boxes, tmp_path):
    broken = write_run(tmp_path / "broken", "RRRXRRRR")
    for order in ([runs[0], broken], [broken, runs[0]]):
        assert refused(order, settings(boxes)) == (
            f"{order[0]} and {order[1]} cannot be compared: images count in one of them only: 1 "
            f"(first: image3; {broken}: image could not be read); --allow-missing compares the rest"
        )
    found = compare_runs([runs[0], broken], settings(boxes, allow_missing=True))
    assert (found.pairs[0].images, found.pairs[0].left_out) == (7, 1)


def test_an_annotated_image_that_is_another_image_in_each_run(runs, boxes, tmp_path):
    moved = write_run(tmp_path / "moved", "RRRRRRRR", [f"sub/{name}" for name in IMAGES])
    assert refused([runs[0], moved], settings(boxes)) == (
        f"{runs[0]} and {moved} cannot be compared: the annotated image image0 is image0 in the "
        "first and sub/image0 in the second; localize both from the same images"
    )


def test_boxes_of_no_class_take_it_from_the_run(tmp_path):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("image,x0,y0,x1,y1\na,60,40,160,120\n")
    ours, theirs = (write_run(tmp_path / name, "R", ["a"]) for name in ("a", "b"))
    record = theirs / "predictions.jsonl"
    first, second = json.loads(record.read_text())["classes"]
    assert (first["target"], second.get("target", False)) == (True, False)
    changed = json.loads(record.read_text())
    changed["classes"][0]["target"], changed["classes"][1]["target"] = False, True
    record.write_text(json.dumps(changed) + "\n")
    assert refused([ours, theirs], settings(boxes)) == (
        f"{ours} and {theirs} cannot be compared: the true classes of a are cat and dog; give both "
        "the same --labels"
    )


def test_settings_that_make_no_sense(runs, boxes):
    for chosen, given, message in (
        (settings(boxes), runs[:1], "a comparison needs two runs"),
        (EvalSettings(), runs, "no true boxes to compare by: give --boxes PATH"),
        (settings(boxes, predictions=boxes), runs, "a comparison reads run folders"),
        (settings(boxes, baselines_only=True), runs, "a comparison reads run folders"),
    ):
        with pytest.raises(SettingsError, match=message):
            compare_runs(given, chosen)


def test_blacklist_and_range(runs, boxes, tmp_path):
    (tmp_path / "black.txt").write_text("4\n")
    chosen = settings(boxes, blacklist=tmp_path / "black.txt", images="1-6")
    (pair,) = compare_runs(runs, chosen).pairs
    top1 = pair.metrics["top1_localization_error"]
    assert (top1.better_ids, top1.difference.n) == (("image4", "image5"), 5)
    assert pair.metrics["top1_classification_error"].difference.n == 6
