"""Thresholds in `eval`: every rule, and those chosen on other images."""

from __future__ import annotations

import json
import shutil

import pytest

from camtool.boxes import DtBoxes, PaperBoxes
from camtool.errors import EvaluationError, SettingsError
from camtool.evaluation.evaluate import evaluate_all, evaluate_files
from camtool.evaluation.settings import EvalSettings
from camtool.metrics.map_protocols import MaxBoxAcc, MaxBoxAccV2
from camtool.metrics.protocols import Ilsvrc, TsCam
from camtool.metrics.pxap import PxAP
from camtool.reports.document import to_markdown, to_text
from camtool.reports.evaluation import document_of_all, evaluation_document
from camtool.runs import read_threshold
from camtool.runs.threshold import write_threshold
from tests.evaluation.swept_run import CLASSES, truths, write_csv, write_run

BEST = {"cat": 0.4, "dog": 0.6}
# Every box but that of the right threshold, and of those that give the same box, is wrong.
EXACT = Ilsvrc(iou_threshold=1)


def of_all(_name):
    return 0.5


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A run of 36 images; the true boxes of 24 to choose on, and of the other 12 to score."""
    folder = tmp_path_factory.mktemp("swept")
    write_run(folder / "run", 36)
    for name, best in (("all", of_all), ("class", BEST.__getitem__)):
        write_csv(folder / f"choose-{name}.csv", truths(range(24), best))
        write_csv(folder / f"score-{name}.csv", truths(range(24, 36), best))
    return folder


@pytest.fixture
def run(desk, tmp_path):
    """A copy of the run, for what is stored in it."""
    return shutil.copytree(desk / "run", tmp_path / "run")


def scored(run, boxes, **more):
    return evaluate_files(EvalSettings(**{"annotations": boxes, "protocol": EXACT} | more), run)


def test_every_rule_and_the_gap(desk):
    found = scored(desk / "run", desk / "score-all.csv")
    choice = found.thresholds["gt_known_error"]
    assert list(choice.rules) == ["run", "fixed", "otsu", "percentile", "oracle"]
    # The boxes are those at 0.5, which lower thresholds give only to some images.
    assert choice.oracle_value == 0
    assert PaperBoxes(threshold=choice.oracle) != PaperBoxes()
    assert choice.deployable == "run"
    assert choice.rules["run"].threshold == choice.rules["fixed"].threshold == 0.2
    assert choice.rules["run"].value == choice.rules["fixed"].value
    assert choice.rules["run"].value == found.metrics["gt_known_error"].value == choice.gap > 0


def test_top_1_counts_only_boxes_of_the_right_class(desk, tmp_path):
    run = write_run(tmp_path / "run", 36, wrong=(24, 25, 26))
    found = scored(run, desk / "score-all.csv")
    assert found.thresholds["top1_localization_error"].oracle_value == pytest.approx(25)
    assert found.thresholds["top2_localization_error"].oracle_value == 0
    assert found.thresholds["gt_known_error"].oracle_value == 0


def test_figures_at_a_threshold_are_those_of_a_run_with_it(desk, tmp_path):
    boxes = desk / "score-class.csv"
    curve = scored(desk / "run", boxes, protocol=Ilsvrc()).curves["gt_known"]
    assert set(curve.y) == {"IoU ≥ 0.3", "IoU ≥ 0.5", "IoU ≥ 0.7"}
    for threshold in (0.1, 0.4, 0.8):
        at = tmp_path / f"at-{threshold}"
        write_run(at, 36, boxes=PaperBoxes(threshold=threshold))
        for iou in (0.3, 0.5, 0.7):
            one = scored(at, boxes, protocol=Ilsvrc(iou_threshold=iou), sweep=None)
            value = curve.y[f"IoU ≥ {iou}"][curve.x.index(threshold)]
            assert value == pytest.approx(100 - one.metrics["gt_known_error"].value)


def test_a_chosen_threshold_is_shown_stored_and_shown_again(desk, run):
    boxes, choose = desk / "score-all.csv", desk / "choose-all.csv"
    found = scored(run, boxes, calibrate_on=choose)
    choice = found.thresholds["gt_known_error"]
    assert choice.deployable == "calibrated"
    assert choice.deployable_value == choice.gap == 0
    stored = read_threshold(run)
    assert stored.value == choice.rules["calibrated"].threshold
    on = stored.chosen_on
    assert (on.annotations, on.protocol, on.iou, on.accuracy) == (str(choose), "ilsvrc", 1, 100)
    assert on.image_ids == tuple(f"i{k:03d}" for k in range(24))
    assert stored.boxes == {
        "name": "paper", "scale": "max", "interpolation": "bilinear", "components": "largest",
        "min_area": 0.01,
    }  # fmt: skip
    assert "chosen on 24 images of" in found.convention["calibrated"]

    again = scored(run, boxes)
    choice = again.thresholds["gt_known_error"]
    assert choice.deployable == "stored"
    assert choice.rules["stored"].threshold == stored.value
    assert choice.gap == 0
    assert "chosen on 24 images of" in again.convention["stored"]
    # Boxes by the stored threshold are those that were scored.
    assert PaperBoxes(threshold={"name": "stored", "file": run}).threshold == stored.value


def test_thresholds_of_classes(desk, run):
    boxes, choose = desk / "score-class.csv", desk / "choose-class.csv"
    for_all = scored(run, boxes, calibrate_on=choose).thresholds["gt_known_error"]
    assert for_all.deployable_value == pytest.approx(50)
    found = scored(run, boxes, calibrate_on=choose, calibrate_per="class")
    choice = found.thresholds["gt_known_error"]
    assert choice.deployable_value == 0
    assert choice.gap == pytest.approx(50)  # no single threshold is as good
    assert choice.rules["calibrated"].threshold.endswith("2 classes their own")
    assert "2 classes of 10 images or more have their own" in found.convention["calibrated"]
    stored = read_threshold(run)
    assert set(stored.classes) == set(CLASSES)
    for name, value in stored.classes.items():
        assert value == pytest.approx(BEST[name], abs=0.06)
    again = scored(run, boxes).thresholds["gt_known_error"]
    assert again.rules["stored"] == choice.rules["calibrated"]


def test_a_class_of_few_images_takes_the_threshold_of_all(desk, run):
    choose = desk / "choose-class.csv"
    scored(
        run, desk / "score-class.csv", calibrate_on=choose, calibrate_per="class",
        calibrate_min_images=13,
    )  # fmt: skip
    stored = read_threshold(run)
    assert (stored.classes, stored.min_images) == ({}, 13)


def test_images_that_are_in_both_are_refused(desk, run):
    with pytest.raises(EvaluationError, match=r"24 images of --calibrate-on are scored.*i000\)"):
        scored(run, desk / "choose-all.csv", calibrate_on=desk / "choose-all.csv")
    assert read_threshold(run) is None


def test_a_stored_threshold_says_nothing_of_the_images_it_was_chosen_on(desk, run):
    scored(run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv")
    found = scored(run, desk / "choose-all.csv")
    assert found.thresholds["gt_known_error"].deployable == "run"
    assert any("was chosen on 24 of the scored images" in w for w in found.warnings)


def test_maps_of_another_run(tmp_path):
    one = write_run(tmp_path / "one", 12)
    other = write_run(tmp_path / "other", 36)
    boxes = write_csv(tmp_path / "boxes.csv", truths(range(12), of_all))
    choose = write_csv(tmp_path / "choose.csv", truths(range(12, 36), of_all))
    found = scored(one, boxes, calibrate_on=choose, calibrate_run=other)
    assert found.thresholds["gt_known_error"].gap == 0
    assert read_threshold(one).chosen_on.run == str(other)
    assert read_threshold(other) is None


def test_a_run_of_other_maps_is_refused(desk, run, tmp_path):
    other = write_run(tmp_path / "other", 36, boxes=PaperBoxes(scale="min-max"))
    with pytest.raises(EvaluationError, match=r"another way.*localize.boxes.scale differs"):
        scored(
            run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv", calibrate_run=other
        )


def test_a_run_of_other_views_is_refused(desk, run, tmp_path):
    other = write_run(tmp_path / "other", 36)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["experiment"]["localize"]["views"] = {"name": "ten-crop"}
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EvaluationError, match=r"another way.*localize.views"):
        scored(
            run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv", calibrate_run=other
        )


def test_a_box_rule_without_a_threshold_has_none_to_choose(desk, tmp_path):
    released = write_run(tmp_path / "dt", 36, boxes=DtBoxes())
    with pytest.raises(EvaluationError, match="only `paper` and `multi` have one"):
        scored(released, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv")
    found = scored(released, desk / "score-all.csv")
    assert "only `paper` and `multi` have one" in found.absent["other_thresholds"]
    assert not found.thresholds


def test_choosing_needs_maps(desk, run, tmp_path):
    bare = write_run(tmp_path / "bare", 36, maps=False)
    with pytest.raises(EvaluationError, match=r"--calibrate-on .*stored for 0 of 24 images"):
        scored(bare, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv")
    guesses = {"predictions": run / "predictions.jsonl"}
    with pytest.raises(SettingsError, match="needs the maps of a run"):
        scored(None, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv", **guesses)
    with pytest.raises(SettingsError, match=r"eval\.sweep, which is false"):
        scored(run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv", sweep=False)
    write_csv(tmp_path / "more.csv", truths(range(40), of_all))
    with pytest.raises(EvaluationError, match=r"--calibrate-on .*4 of 40 .*no prediction"):
        scored(run, desk / "score-all.csv", calibrate_on=tmp_path / "more.csv")


def test_choosing_is_for_one_protocol_that_has_a_threshold(desk, run):
    choose = desk / "choose-all.csv"
    with pytest.raises(SettingsError, match="pxap has no threshold to choose"):
        scored(run, desk / "score-all.csv", protocol=PxAP(), calibrate_on=choose)
    settings = EvalSettings(
        annotations=desk / "score-all.csv", every_protocol=True, calibrate_on=choose
    )
    with pytest.raises(SettingsError, match="instead of --protocol all"):
        evaluate_all(settings, run)


def test_every_protocol_shows_what_is_stored_and_the_oracle(desk, run):
    boxes = desk / "score-all.csv"
    scored(run, boxes, protocol=Ilsvrc(), calibrate_on=desk / "choose-all.csv")
    found = evaluate_all(EvalSettings(annotations=boxes, every_protocol=True), run)
    alone = scored(run, boxes, protocol=Ilsvrc())
    assert alone.thresholds["gt_known_error"].deployable == "stored"
    assert found.protocols["ilsvrc"].thresholds == alone.thresholds
    assert found.protocols["ilsvrc"].convention["stored"] == alone.convention["stored"]
    # It was chosen for boxes: what judges contours has its fixed one.
    assert found.protocols["maxboxacc"].thresholds["max_box_acc_50"].deployable == "fixed"
    row = next(
        r
        for r in to_text(document_of_all(found, details=True)).splitlines()
        if "ilsvrc: GT-known" in r
    )
    choice = alone.thresholds["gt_known_error"]
    told = f"{choice.deployable_value:.2f} at {choice.rules['stored'].threshold:.3g}, stored"
    assert told in row
    assert row.endswith(f"{choice.gap:.2f}")
    assert "| maxboxacc: box accuracy, IoU \\>= 0.5 |" in to_markdown(
        document_of_all(found, details=True)
    )


def test_curves_state_the_hit_rule(desk):
    found = scored(desk / "run", desk / "score-all.csv", protocol=TsCam())
    known, top1 = (found.curves[name] for name in ("gt_known", "top1_localization"))
    assert list(known.y) == ["IoU ≥ 0.3", "IoU ≥ 0.5", "IoU ≥ 0.7"]
    assert list(top1.y) == ["IoU > 0.3", "IoU > 0.5", "IoU > 0.7"]
    assert {point.line for point in top1.points} == {"IoU > 0.5"}


def test_why_other_thresholds_are_not_given(desk, run, tmp_path):
    reason = "the predictions come without maps"
    guesses = {"predictions": run / "predictions.jsonl"}
    found = scored(None, desk / "score-all.csv", **guesses)
    assert reason in found.absent["other_thresholds"]
    assert reason in to_text(evaluation_document(found))
    bare = write_run(tmp_path / "bare", 36, maps=False)
    found = scored(bare, desk / "score-all.csv")
    assert "stored for 0 of 12 images" in found.absent["other_thresholds"]
    assert not found.thresholds
    off = scored(run, desk / "score-all.csv", sweep=False)
    assert (off.thresholds, off.curves) == ({}, {})
    assert "other_thresholds" not in off.absent


@pytest.mark.parametrize("protocol", [MaxBoxAcc(), MaxBoxAccV2()])
def test_map_protocols(protocol, desk, run):
    boxes, choose = desk / "score-all.csv", desk / "choose-all.csv"
    found = scored(run, boxes, protocol=protocol, calibrate_on=choose)
    stored = read_threshold(run)
    assert set(stored.at_iou) == {30, 50, 70}
    assert (stored.boxes, stored.value) == (None, stored.at_iou[50])
    for iou in (30, 50, 70):
        choice = found.thresholds[f"max_box_acc_{iou}"]
        assert list(choice.rules) == ["fixed", "otsu", "percentile", "calibrated", "oracle"]
        assert choice.deployable == "calibrated"
        assert choice.rules["calibrated"].threshold == stored.at_iou[iou]
        assert 0 <= choice.gap == choice.oracle_value - choice.deployable_value
    again = scored(run, boxes, protocol=protocol)
    assert again.thresholds["max_box_acc_50"].deployable == "stored"
    # It is no threshold of boxes.
    assert scored(run, boxes).thresholds["gt_known_error"].deployable == "run"
    with pytest.raises(SettingsError, match="is for the box protocols"):
        scored(run, boxes, protocol=protocol, calibrate_on=choose, calibrate_per="class")


def test_what_cannot_be_written_is_said_and_the_figures_are_kept(desk, run):
    (run / "threshold.json").mkdir()
    found = scored(run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv")
    assert found.thresholds["gt_known_error"].deployable == "calibrated"
    assert any("the chosen threshold is not stored" in w for w in found.warnings)


def test_reports(desk, run):
    found = scored(run, desk / "score-all.csv", calibrate_on=desk / "choose-all.csv")
    document = evaluation_document(found, details=True)
    record = document.record
    assert json.loads(json.dumps(record)) == record
    known = record["thresholds"]["gt_known_error"]
    assert known["deployable"] == "calibrated"
    assert known["gap"] == 0
    assert known["oracle"]["value"] == 0
    assert {f"top{n}_localization_error" for n in range(1, 6)} < set(record["thresholds"])
    assert {"gt_known", "top1_localization"} == set(record["curves"])
    for text in (to_text(document), to_markdown(document)):
        for words in (
            "deployable threshold", "oracle threshold", "gap", "boxes as stored", "Otsu",
            "percentile", "calibrated on other images", "oracle: best on these images",
        ):  # fmt: skip
            assert words in text
        assert text.count("top-1 localization") == 3
        assert text.count("top-2 localization") == 1  # that of the boxes as stored


def test_write_and_read_again(tmp_path, desk, run):
    scored(run, desk / "score-class.csv", calibrate_on=desk / "choose-class.csv")
    stored = read_threshold(run)
    write_threshold(tmp_path, stored)
    assert read_threshold(tmp_path) == stored
