"""`camtool compare`: what it prints and writes, and how mistakes end."""

from __future__ import annotations

import json

import pytest

from tests.builders import draw_pictures, write_voc
from tests.cli.test_imports import TORCH, imported
from tests.commands import TINY, run_here


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """Two runs over the same four pictures, which differ in the threshold of the box rule."""
    folder = tmp_path_factory.mktemp("compare")
    pictures = draw_pictures(folder / "pictures", 4)
    write_voc(folder / "boxes", {f"{n:05d}": [(12 * n, 0, 47, 35)] for n in range(4)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        for name, threshold in (("low", 0.1), ("high", 0.9)):
            ran = run_here(
                "localize", pictures, "-o", folder / name, *TINY, "--labels", folder / "boxes",
                "--set", f"localize.boxes.threshold={threshold}",
            )  # fmt: skip
            assert ran.code == 0, ran.err
    return folder


def compared(desk, *more):
    return run_here("compare", desk / "low", desk / "high", "--boxes", desk / "boxes", *more)


def test_table(desk):
    ran = compared(desk)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == "protocol ilsvrc"
    assert lines[2] == f"{desk / 'low'} → {desk / 'high'}: 4 images"
    assert lines[4].split()[:4] == ["accuracy", "%", "low", "high"]
    assert any(line.startswith("GT-known localization") for line in lines)
    assert "threshold=0.1" in ran.out
    assert "threshold=0.9" in ran.out


def test_json_agrees_with_eval(desk):
    metrics = json.loads(compared(desk, "--format", "json").out)["pairs"][0]["metrics"]
    for run, side in (("low", "first"), ("high", "second")):
        ran = run_here("eval", desk / run, "--boxes", desk / "boxes", "--format", "json")
        scored = json.loads(ran.out)["metrics"]
        assert {n: m[side] for n, m in metrics.items()} == {
            n: m["value"] for n, m in scored.items() if n in metrics
        }
    known = metrics["gt_known_error"]
    assert known["difference"] > 0
    assert known["worse"]["images"] > known["better"]["images"]


def test_protocol_with_its_options_to_a_file(desk, tmp_path):
    out = tmp_path / "out.md"
    ran = compared(
        desk, "--protocol", "maxboxacc-v2", "--set", "eval.protocol.fixed=0.35", "-o", out
    )
    assert (ran.code, ran.out) == (0, "")
    text = out.read_text()
    assert text.startswith("## protocol maxboxacc-v2")
    assert "fixed at 0.35 in every run" in text


def test_no_torch(desk):
    modules = imported("compare", desk / "low", desk / "high", "--boxes", desk / "boxes")
    assert "numpy" in modules
    assert modules.isdisjoint(TORCH)


def test_mistakes(desk, tmp_path):
    ran = run_here("compare", desk / "low", "--boxes", desk / "boxes")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "camtool: a comparison needs two runs: camtool compare RUN RUN --boxes PATH\n"
    )
    ran = run_here("compare", desk / "low", tmp_path, "--boxes", desk / "boxes")
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == f"camtool: {tmp_path}: not a run folder\n"
    (tmp_path / "parts").mkdir()
    ran = run_here("compare", desk / "low", tmp_path, "--boxes", desk / "boxes")
    assert (ran.code, ran.out) == (6, "")
    assert f"{tmp_path}: an unfinished run; start it again to go on" in ran.err
    assert run_here("compare").code == 2


def test_groups_of_runs_count_as_one(desk):
    """Two equal runs a group say what one of each says, and the deviation over them is none."""
    low, high = desk / "low", desk / "high"
    alone = json.loads(compared(desk, "--format", "json").out)["pairs"][0]["metrics"]
    ran = run_here(
        "compare", low, low, ":", high, high, high, "--boxes", desk / "boxes", "--format", "json"
    )
    assert ran.code == 0, ran.err
    record = json.loads(ran.out)
    assert record["pairs"][0]["metrics"] == alone
    assert [len(group["runs"]) for group in record["groups"]] == [2, 3]
    assert record["groups"][1]["metrics"]["gt_known_error"]["sd"] == 0
    ran = run_here("compare", low, ":", low, high, "--boxes", desk / "boxes")
    assert ran.code == 0, ran.err
    assert "standard deviation over the runs" in ran.out
    ran = run_here("compare", low, ":", "--boxes", desk / "boxes")
    assert ran.code == 2
    assert "a group without a run" in ran.err
