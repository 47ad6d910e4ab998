"""Thresholds from the command line: chosen by `eval`, used by `localize`."""

from __future__ import annotations

import json
import os

import pytest

from camtool.runs import read_manifest, read_predictions
from tests.builders import draw_pictures, write_voc
from tests.commands import TINY, run_here


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A run of eight pictures; the boxes of four to choose the threshold on, of four to score."""
    folder = tmp_path_factory.mktemp("thresholds")
    draw_pictures(folder / "pictures", 8)
    for part, numbers in (("boxes", range(8)), ("choose", range(4)), ("score", range(4, 8))):
        write_voc(folder / part, {f"{n:05d}": [(12 * (n % 4), 0, 47, 35)] for n in numbers})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        localized(folder, "run")
        yield folder


def localized(desk, out, *more):
    ran = run_here(
        "localize", desk / "pictures", "-o", desk / out, *TINY, "--labels", desk / "boxes", *more
    )
    assert ran.code == 0, ran.err
    return desk / out


def test_choose_store_and_localize_with_it(desk):
    ran = run_here(
        "eval", desk / "run", "--boxes", desk / "score", "--calibrate-on", desk / "choose",
        "--format", "json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    known = report["thresholds"]["gt_known_error"]
    stored = json.loads((desk / "run" / "threshold.json").read_text())
    assert known["deployable"] == "calibrated"
    assert known["calibrated"]["threshold"] == stored["value"]
    assert known["gap"] == pytest.approx(known["calibrated"]["value"] - known["oracle"]["value"])
    assert stored["chosen_on"]["images"] == 4

    ran = run_here("eval", desk / "run", "--boxes", desk / "score")
    assert "calibrated before" in ran.out
    # Boxes made with the stored threshold are scored as it was said they would be.
    rule = f"localize.boxes.threshold={{name: stored, file: {desk / 'run' / 'threshold.json'}}}"
    again = localized(desk, "again", "--set", rule)
    boxes = read_manifest(again)["experiment"]["localize"]["boxes"]
    assert boxes["threshold"] == stored["value"]
    ran = run_here("eval", again, "--boxes", desk / "score", "--format", "json")
    assert json.loads(ran.out)["metrics"]["gt_known_error"]["value"] == pytest.approx(
        known["calibrated"]["value"]
    )


@pytest.mark.parametrize("rule", ["otsu", "{name: otsu}", "{name: percentile, q: 70}"])
def test_localize_by_a_rule(desk, rule):
    out = localized(desk, f"by-{len(rule)}", "--set", f"localize.boxes.threshold={rule}")
    boxes = {p.image_id: p.classes[0].boxes[0].box for p in read_predictions(out)}
    fixed = {p.image_id: p.classes[0].boxes[0].box for p in read_predictions(desk / "run")}
    assert boxes.keys() == fixed.keys()
    assert boxes != fixed
    ran = run_here("eval", out, "--boxes", desk / "score")
    assert ran.code == 0, ran.err
    assert f"threshold={'otsu' if 'otsu' in rule else 'percentile q 70'}" in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--calibrate-on", "{}/score"), 5, "4 images of --calibrate-on are scored, too"),
        (("--calibrate-on", "{}/none"), 3, "none"),
        (("--calibrate-on", "{}/choose", "--calibrate-run", "{}/none"), 6, "not a run folder"),
        (("--calibrate-run", "{}/run"), 2, "--calibrate-on PATH must name the true boxes"),
        (("--calibrate-run", "{}/run", "--protocol", "all"), 2, "--calibrate-on PATH must name"),
        (("--calibrate-on", "{}/choose", "--protocol", "pxap"), 2, "no threshold to choose"),
        (("--calibrate-on", "{}/choose", "--protocol", "all"), 2, "instead of --protocol all"),
    ],
)
def test_what_cannot_be_chosen(desk, arguments, code, message):
    given = [argument.format(desk) for argument in arguments]
    ran = run_here("eval", desk / "run", "--boxes", desk / "score", *given)
    assert (ran.code, message in ran.err) == (code, True), ran.err


def test_localize_without_a_stored_threshold(desk):
    rule = f"localize.boxes.threshold={{name: stored, file: {desk}}}"
    ran = run_here("localize", desk / "pictures", "-o", desk / "no", "--set", rule)
    assert ran.code == 2
    assert "no threshold is stored there" in ran.err


@pytest.mark.parametrize("command", [("eval",), ("compare", "{}/run"), ("report",)])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(desk, tmp_path, command):
    given = [argument.format(desk) for argument in command]
    os.mkfifo(tmp_path / "pipe")
    for out, reason in (
        (tmp_path, "it is a folder; --out takes a file"),
        (tmp_path / "none" / "report.md", f"no such folder as {tmp_path / 'none'}"),
        (tmp_path / "pipe", "not a regular file; choose another --out"),
    ):
        # The true boxes are not there either, which the work would find out.
        ran = run_here(*given, desk / "run", "--boxes", tmp_path / "boxes.xml", "-o", out)
        assert (ran.code, ran.out) == (6, "")
        assert ran.err == f"camtool: {out}: cannot be written: {reason}\n"
