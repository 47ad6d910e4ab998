"""`camtool eval`: what it prints and writes, and how each mistake ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from camtool.runs import read_predictions
from camtool.structures import Box, Prediction
from tests.builders import WNID, draw_pictures, guess, prediction, write_predictions, write_voc
from tests.commands import TINY, Ran, run_here

SIZE = (48, 36)
WHOLE = Box(0, 0, *SIZE)


def predicted(image_id: str, *classes: tuple[str, Box]) -> Prediction:
    """Classes by rank, each with a box."""
    found = [
        guess(name, box, rank=rank, index=rank, score=round(0.9 / rank, 3))
        for rank, (name, box) in enumerate(classes, 1)
    ]
    return prediction(image_id, *found, size=SIZE)


@pytest.fixture
def boxes(tmp_path) -> Path:
    """Four images: true boxes are the whole picture, and its right quarter in `d`."""
    corners = {name: [(36 if name == "d" else 0, 0, 47, 35)] for name in "abcd"}
    return write_voc(tmp_path / "boxes", corners)


@pytest.fixture
def predictions(tmp_path) -> Path:
    """Right at once; right as second; never the class; the class but not the box."""
    found = [
        predicted("a", (WNID, WHOLE)),
        predicted("b", ("n02119789", WHOLE), (WNID, Box(0, 0, 24, 36))),
        predicted("c", ("n02119789", WHOLE)),
        predicted("d", (WNID, WHOLE)),
    ]
    return write_predictions(tmp_path / "predictions.jsonl", found)


def evaluated(*arguments: object) -> Ran:
    return run_here("eval", *arguments)


def test_json(boxes, predictions):
    ran = evaluated("--predictions", predictions, "--boxes", boxes, "--format", "json")
    assert (ran.code, ran.err) == (0, "")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    report = json.loads(ran.out, parse_constant=refuse)
    assert {
        "schema_version", "protocol", "convention", "counts", "metrics", "baselines",
    } <= set(report)  # fmt: skip
    assert report["schema_version"] == 1
    assert report["protocol"] == "ilsvrc"
    assert report["counts"] == {"annotated": 4, "predicted": 4, "scored": 4, "left_out": {}}
    values = {name: metric["value"] for name, metric in report["metrics"].items()}
    assert values["top1_classification_error"] == 50.0
    assert values["top2_classification_error"] == 25.0
    assert values["top1_localization_error"] == 75.0
    assert values["top2_localization_error"] == 50.0
    for metric in report["metrics"].values():
        assert set(metric) == {"value", "ci95", "n", "measure"}
        low, high = metric["ci95"]
        assert 0 <= low <= metric["value"] <= high <= 100
        assert metric["n"] == 4
    assert "top5_localization_error" not in values
    assert "carry 2 guesses an image, not 5" in report["absent"]["top5_localization_error"]
    # A map of the true class is not stored for every image.
    assert "gt_known_error" not in values
    assert "gt_known_error" in report["absent"]
    assert all(report["convention"].values())


def test_table_and_markdown(boxes, predictions):
    given = ("--predictions", predictions, "--boxes", boxes)
    table = evaluated(*given)
    assert table.code == 0
    rows = [line.split("  ") for line in table.out.splitlines()]
    (row,) = [r for r in rows if r[0].strip() == "top-1 localization"]
    assert "25.00" in [cell.strip() for cell in row]  # what is right; JSON has the error of 75
    assert "GT-known" in table.out
    markdown = evaluated(*given, "--format", "markdown")
    assert markdown.code == 0
    (row,) = [r for r in markdown.out.splitlines() if r.startswith("| top-1 localization ")]
    assert row.split("|")[2].strip() == "25.00"


@pytest.mark.parametrize(
    ("name", "form", "start"),
    [
        ("report.json", None, "{"),
        ("report.md", None, "#"),
        ("report.txt", None, ""),
        ("report.txt", "json", "{"),
    ],
)
def test_out_file(name, form, start, boxes, predictions, tmp_path):
    given = ("--predictions", predictions, "--boxes", boxes)
    chosen = ("--format", form) if form else ()
    out = tmp_path / name
    ran = evaluated(*given, *chosen, "-o", out)
    assert (ran.code, ran.out) == (0, "")
    named = form or {".json": "json", ".md": "markdown"}.get(out.suffix, "table")
    assert out.read_text() == evaluated(*given, "--format", named).out
    assert out.read_text().startswith(start)


def test_out_file_that_cannot_be_written(boxes, predictions, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "report.json"
    ran = evaluated("--predictions", predictions, "--boxes", boxes, "-o", out)
    assert ran.code == 6
    assert ran.err.startswith(f"camtool: {out}: cannot be written: a part of the path is a file")


def test_missing_predictions(boxes, predictions):
    lines = predictions.read_text().splitlines(keepends=True)
    predictions.write_text("".join(lines[:2]))
    given = ("--predictions", predictions, "--boxes", boxes)
    ran = evaluated(*given)
    assert (ran.code, ran.out) == (5, "")
    assert ran.err == (
        "camtool: 2 of 4 annotated images have no prediction (first: c);"
        " --allow-missing scores the rest\n"
    )
    allowed = evaluated(*given, "--allow-missing", "--format", "json")
    assert allowed.code == 0
    counts = json.loads(allowed.out)["counts"]
    assert counts == {
        "annotated": 4, "predicted": 2, "scored": 2, "left_out": {"no prediction": 2},
    }  # fmt: skip


def test_unreadable_images_and_unannotated_predictions_are_counted(boxes, predictions):
    *three, _ = read_predictions(predictions)
    broken = prediction("d", size=None, error="empty file (0 bytes)")
    write_predictions(predictions, [*three, broken, predicted("e", ("n1", WHOLE))])
    ran = evaluated("--predictions", predictions, "--boxes", boxes, "--format", "json")
    assert ran.code == 0
    report = json.loads(ran.out)
    assert report["counts"] == {
        "annotated": 4,
        "predicted": 5,
        "scored": 3,
        "left_out": {"image could not be read": 1, "prediction without annotation": 1},
    }
    assert any("1 images could not be read and are left out (d)" in w for w in report["warnings"])


@pytest.fixture
def run(boxes, tmp_path) -> Path:
    """A finished run over pictures of the annotated names, with their true classes."""
    pictures = draw_pictures(tmp_path / "drawn", 4)
    for number, name in enumerate("abcd"):
        (pictures / f"{number:05d}.png").rename(pictures / f"{name}.png")
    out = tmp_path / "run"
    assert run_here("localize", pictures, "-o", out, "--labels", boxes, *TINY).code == 0
    return out


def test_run_and_last_run(run, boxes):
    named = evaluated(run, "--boxes", boxes, "--format", "json")
    assert (named.code, named.err) == (0, "")
    report = json.loads(named.out)
    assert report["metrics"]["gt_known_error"]["n"] == 4
    last = evaluated("--boxes", boxes, "--format", "json")
    assert last.err == f"scoring the run written last: {run}\n"
    assert last.out == named.out


def test_settings_of_the_run_hold_and_flags_go_before_them(run, boxes):
    strict = ("--set", "eval.protocol.iou_threshold=0.99")
    loose = json.loads(evaluated(run, "--boxes", boxes, "--format", "json").out)
    tight = json.loads(evaluated(run, "--boxes", boxes, "--format", "json", *strict).out)
    errors = [r["metrics"]["gt_known_error"]["value"] for r in (loose, tight)]
    assert errors[0] < errors[1]
    assert any("0.99" in sentence for sentence in tight["convention"].values())


def test_unfinished_run(run, boxes):
    (run / "manifest.json").unlink()
    (run / "predictions.jsonl").unlink()
    (run / "parts").mkdir()
    ran = evaluated(run, "--boxes", boxes)
    assert (ran.code, ran.out) == (6, "")
    assert ran.err == f"camtool: {run}: an unfinished run; start it again to go on\n"


MISTAKES = {
    "no run": (["--boxes", "{}/boxes"], 2, "no run was written from this folder yet"),
    "nothing to score against": (
        ["--predictions", "{}/predictions.jsonl"], 2, "give --boxes PATH",
    ),
    "no such boxes": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/absent"], 3, "{}/absent",
    ),
    "no such predictions": (
        ["--predictions", "{}/absent.jsonl", "--boxes", "{}/boxes"], 3, "{}/absent.jsonl",
    ),
    "predictions of unknown form": (
        ["--predictions", "{}/odd.pdf", "--boxes", "{}/boxes"], 2, "{}/odd.pdf: not a form of",
    ),
    "a line that is no record": (
        ["--predictions", "{}/odd.jsonl", "--boxes", "{}/boxes"], 3, "{}/odd.jsonl:2: ",
    ),
    "a record without classes": (
        ["--predictions", "{}/short.jsonl", "--boxes", "{}/boxes"], 3,
        "{}/short.jsonl:1: the record has no 'classes'",
    ),
    "an image twice": (
        ["--predictions", "{}/twice.jsonl", "--boxes", "{}/boxes"], 5, "hold a twice",
    ),
    "other images": (
        ["--predictions", "{}/others.jsonl", "--boxes", "{}/boxes"], 5,
        "the predictions name other, the annotations a",
    ),
    "no run folder": (["{}/boxes", "--boxes", "{}/boxes"], 6, "{}/boxes: not a run folder"),
    "fewer guesses than images": (
        ["--predictions", "{}/3.txt", "--boxes", "{}/boxes"], 5,
        "1 of 4 annotated images have no prediction (first: d)",
    ),
    "more guesses than images": (
        ["--predictions", "{}/5.txt", "--boxes", "{}/boxes"], 5, "{}/5.txt",
    ),
    "a range that is none": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/boxes", "--images", "ten"], 2,
        "--images ten: not a range; write FIRST-LAST",
    ),
    "a range too long": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/boxes", "--images", "1-5"], 2,
        "--images 1-5: only 4 images are annotated",
    ),
    "no such black-list": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/boxes", "--blacklist",
         "{}/absent.txt"], 3, "{}/absent.txt: cannot be read",
    ),
    "unknown protocol": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/boxes", "--protocol", "mine"], 2,
        "no protocol called 'mine'; there are: ilsvrc, ts-cam, adl-first-box, maxboxacc,",
    ),
    "unknown setting": (
        ["--predictions", "{}/predictions.jsonl", "--boxes", "{}/boxes", "--set", "eval.x=1"], 2,
        "eval.x: unknown setting",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.usefixtures("boxes")
def test_mistake(mistake, predictions, tmp_path):
    first = predictions.read_text().splitlines(keepends=True)[0]
    (tmp_path / "odd.pdf").write_text("%PDF")
    (tmp_path / "odd.jsonl").write_text(first + "no record\n")
    (tmp_path / "short.jsonl").write_text('{"image_id": "a", "path": "a.png"}\n')
    (tmp_path / "twice.jsonl").write_text(first + first)
    write_predictions(tmp_path / "others.jsonl", [predicted("other", (WNID, WHOLE))])
    for lines in (3, 5):
        (tmp_path / f"{lines}.txt").write_text("449 0 0 47 35\n" * lines)
    arguments, code, message = MISTAKES[mistake]
    ran = evaluated(*[a.replace("{}", str(tmp_path)) for a in arguments])
    assert (ran.code, ran.out) == (code, "")
    assert message.replace("{}", str(tmp_path)) in ran.err
    assert ran.err.splitlines()[-1].startswith("camtool: ")
