"""The page as a file: whole or not there, never over something else, and what it says it lacks."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import camtool
from camtool.boxes import DtBoxes, PaperBoxes
from camtool.errors import EvaluationError, RunError, SettingsError
from camtool.evaluation import EvalSettings, evaluate_files
from camtool.evaluation.per_image import per_image_rows
from camtool.metrics.diagnosis import KINDS
from camtool.reports import page as page_module
from camtool.reports.document import RENDERERS, Document, Heading, Items, Notes, Table
from camtool.reports.holders import AssetsFolder
from camtool.reports.markup import embedded, shown
from camtool.reports.page import report
from camtool.structures import ClassPrediction, Prediction
from tests.builders import random_map, write_run
from tests.commands import run_here
from tests.reports.awkward_run import AWKWARD, awkward_run
from tests.reports.drawn_run import drawn_run, names


class Elements(HTMLParser):
    """Collects elements, and the text of scripts by their id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: dict[str, str] = {}
        self._script: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "script":
            self._script = dict(attrs).get("id", f"script-{len(self.scripts)}")

    def handle_endtag(self, tag):
        if tag == "script":
            self._script = None

    def handle_data(self, data):
        if self._script is not None:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data


def elements(path: Path) -> Elements:
    return Elements(path.read_text("utf-8"))


def data_of(path: Path) -> dict:
    return json.loads(elements(path).scripts["report-data"])


def blocks_of(path: Path) -> list[dict]:
    found = elements(path).scripts
    return [r for k in range(100) for r in json.loads(found.get(f"block-{k}", "[]"))]


@pytest.fixture
def drawn(tmp_path):
    return drawn_run(tmp_path / "drawn", names(8))


def test_names_with_markup_stay_names(tmp_path):
    run = awkward_run(tmp_path / "<b>run</b>")
    out = report(run, out=tmp_path / "page.html")
    found = elements(out)
    data = json.loads(found.scripts["report-data"])
    assert data["index"]["ids"] == [shown(name) for name in AWKWARD]
    assert "\x1b" not in out.read_text("utf-8")
    assert "b" not in found.tags
    assert "img" not in found.tags
    # Data, one block, and the scripts of the program's own.
    assert found.tags.count("script") == 2 + 4
    assert all(r["why"] == "no such file" for r in blocks_of(out))


def test_embedded_data_is_the_same_data():
    value = {name: [name, 1.5, None, True] for name in AWKWARD[:-1]}
    text = embedded(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


def test_marks_are_those_of_the_table_of_images(drawn, tmp_path):
    out = report(drawn.run, boxes=drawn.boxes, out=tmp_path / "page.html")
    marks = data_of(out)["index"]["marks"]
    result = evaluate_files(EvalSettings(annotations=drawn.boxes), drawn.run)
    rows = list(per_image_rows(result.trials))
    assert len(rows) == len(marks) == 8
    for (mark,), row in zip(marks, rows, strict=True):
        top1, ((label, rank, place, right, kind, iou, _bits),) = mark
        assert (label, rank, place) == (row["class"], row["rank"], row["first_right"])
        assert (bool(right), KINDS[kind], KINDS[top1]) == (
            row["right"], row["kind"], row["top1_kind"],
        )  # fmt: skip
        assert iou == pytest.approx(row["iou"], abs=1e-4)


def test_summary_has_figures_intervals_baselines_and_the_convention(drawn, tmp_path):
    text = report(drawn.run, boxes=drawn.boxes, out=tmp_path / "page.html").read_text("utf-8")
    result = evaluate_files(EvalSettings(annotations=drawn.boxes), drawn.run)
    known = result.metrics["gt_known_error"]
    assert f"<td>{known.value:.2f}</td><td>{known.ci95[0]:.2f} to {known.ci95[1]:.2f}" in text
    assert "centred box, 70 % of each side" in text
    assert "class right and IoU &gt;= 0.5" in text
    assert text.count("<polyline") == 6
    assert "GT-known localization against the threshold. IoU ≥ 0.3: at most" in text


def test_a_page_that_is_there_is_kept(drawn, tmp_path):
    out = tmp_path / "page.html"
    out.write_text("mine")
    with pytest.raises(RunError, match="is there already; choose another --out or --overwrite"):
        report(drawn.run, out=out)
    assert out.read_text() == "mine"
    report(drawn.run, out=out, overwrite=True)
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_page_is_never_written_over_a_folder_or_device(drawn, tmp_path):
    with pytest.raises(RunError, match="it is a folder"):
        report(drawn.run, out=tmp_path, overwrite=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="not a regular file"):
        report(drawn.run, out=tmp_path / "pipe", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a part of the path is a file"):
        report(drawn.run, out=tmp_path / "file" / "page.html")


def test_nothing_is_left_of_a_page_that_fails(drawn, tmp_path, monkeypatch):
    def fail(*_):
        raise RunError("the disk is full")

    monkeypatch.setattr(AssetsFolder, "place", fail)
    out = tmp_path / "out" / "page.html"
    out.parent.mkdir()
    with pytest.raises(RunError, match="the disk is full"):
        report(drawn.run, out=out, assets=True)
    assert list(out.parent.iterdir()) == []


def test_assets_replace_only_assets(drawn, tmp_path):
    out, folder = tmp_path / "page.html", tmp_path / "page_assets"
    folder.mkdir()
    with pytest.raises(RunError, match="no report made it"):
        report(drawn.run, out=out, assets=True, overwrite=True)
    folder.rmdir()
    report(drawn.run, out=out, assets=True)
    (folder / "pictures" / "0000" / "0000000.jpg").unlink()
    out.unlink()
    with pytest.raises(RunError, match="page_assets: is there already"):
        report(drawn.run, out=out, assets=True)
    report(drawn.run, out=out, assets=True, overwrite=True)
    assert len(list(folder.glob("pictures/*/*.jpg"))) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn", "page.html", "page_assets"]


def test_pictures_that_have_moved_are_said_to_have(drawn, tmp_path):
    for number, path in enumerate(sorted(drawn.pictures.iterdir())):
        if number % 2:
            path.unlink()
    out = report(drawn.run, out=tmp_path / "page.html")
    records = blocks_of(out)
    assert ["img" in record for record in records] == [True, False] * 4
    assert records[1]["why"] == "no such file"
    assert records[1]["runs"][0][0][5]["cells"]
    assert "4 of 8 pictures cannot be shown" in out.read_text("utf-8")


def test_another_picture_of_the_same_name_is_not_shown(drawn, tmp_path):
    first, second, *_ = sorted(drawn.pictures.iterdir())
    first.write_bytes(second.read_bytes())
    (record, *_) = blocks_of(report(drawn.run, out=tmp_path / "page.html"))
    assert record["why"] == "another image now: 61×97, then 90×60"


def test_a_run_without_maps_says_where_they_are_stored(tmp_path):
    drawn = drawn_run(tmp_path / "drawn", names(8), maps=False)
    out = report(drawn.run, boxes=drawn.boxes, out=tmp_path / "page.html")
    text = out.read_text("utf-8")
    assert "no threshold slider: its maps are not stored; `camtool localize` writes them" in text
    assert "24 maps are not stored, or cannot be read" in text
    (run,) = data_of(out)["runs"]
    assert (run["rule"], run["figures"]) == (None, [[True, True], [False, False]])


def test_a_run_with_some_damaged_maps(drawn, tmp_path):
    (path,) = (drawn.run / "maps").iterdir()
    path.write_bytes(path.read_bytes()[:100])
    out = report(drawn.run, out=tmp_path / "page.html")
    assert "24 maps are not stored, or cannot be read" in out.read_text("utf-8")
    assert all(r["runs"][0][0][5] is None for r in blocks_of(out))


def test_what_is_scored_is_the_run_whatever_its_settings_say(drawn, tmp_path):
    settings = EvalSettings(annotations=drawn.boxes, predictions=tmp_path / "absent.jsonl")
    assert report(drawn.run, settings=settings, out=tmp_path / "page.html").is_file()


def test_a_rule_without_a_threshold_has_no_slider(tmp_path):
    drawn = drawn_run(tmp_path / "drawn", names(4), DtBoxes())
    out = report(drawn.run, boxes=drawn.boxes, out=tmp_path / "page.html")
    (run,) = data_of(out)["runs"]
    assert run["rule"] is None
    assert "no threshold slider: its box rule has no threshold to change" in out.read_text("utf-8")


def test_a_threshold_of_each_map_is_no_position(tmp_path):
    drawn = drawn_run(tmp_path / "drawn", names(4), PaperBoxes(threshold="otsu"))
    (run,) = data_of(report(drawn.run, out=tmp_path / "page.html"))["runs"]
    assert (run["own"], run["text"]) == (-1, "threshold: otsu")


def test_large_maps_have_their_boxes_made_beforehand(tmp_path):
    score_map = random_map(1, (100, 100), (90, 60), mean=0.5)
    rule = PaperBoxes()
    one = Prediction(
        "a", "absent.png", (90, 60), (ClassPrediction("c", 0.5, rule.boxes(score_map), 1, 0),)
    )
    experiment = {"localize": {"boxes": rule.model_dump(mode="json")}}
    run = write_run(tmp_path / "run", [(one, [score_map])], ["c"], experiment=experiment)
    out = report(run, out=tmp_path / "page.html")
    stored = blocks_of(out)[0]["runs"][0][0][5]
    assert max(stored["h"], stored["w"]) < 64
    found = np.frombuffer(base64.b64decode(stored["at"]), "<u2").reshape(-1, 4)
    positions = np.array(data_of(out)["positions"])
    assert (found == rule.boxes_at(score_map, positions)).all()


@pytest.mark.parametrize(
    "manifest",
    [
        {"experiment": {"localize": {"cam": "cam", "boxes": {"name": "of another program"}}}},
        {"experiment": {}, "program": "another", "model": {}},
        {"experiment": None, "counts": {"images": 1}},
    ],
)
def test_a_manifest_of_another_program(manifest, tmp_path):
    score_map = random_map(1)
    found = ClassPrediction("c", None, PaperBoxes().boxes(score_map), 1, 0)
    one = Prediction("a", "absent.png", score_map.size, (found,))
    run = write_run(tmp_path / "run", [(one, [score_map])], ["c"], **manifest)
    out = report(run, out=tmp_path / "page.html")
    assert "no threshold slider: its box rule has no threshold" in out.read_text("utf-8")


def test_too_many_images_for_one_file(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_INLINE", 7)
    with pytest.raises(SettingsError, match="8 images are too many for one file, at most 7: --ass"):
        report(drawn.run, out=tmp_path / "page.html")
    assert report(drawn.run, out=tmp_path / "page.html", assets=True).is_file()


def test_images_of_one_run_only(tmp_path):
    first = drawn_run(tmp_path / "1", names(6))
    second = drawn_run(tmp_path / "2", names(8)[2:], seed=2)
    out = report(first.run, second.run, out=tmp_path / "page.html")
    assert [r["runs"][1] is None for r in blocks_of(out)] == [True] * 2 + [False] * 4
    assert "2 images are in the second run only" in out.read_text("utf-8")
    with pytest.raises(EvaluationError, match="have no prediction"):
        report(first.run, second.run, boxes=first.boxes, out=tmp_path / "scored.html")


def test_images_of_another_size_are_not_put_beside_each_other(tmp_path):
    first = drawn_run(tmp_path / "1", names(4))
    second = drawn_run(tmp_path / "2", names(4), seed=1)
    out = report(first.run, second.run, out=tmp_path / "page.html")
    assert [r["runs"][1] for r in blocks_of(out)] == [None] * 4
    assert "4 images have another size in the second run" in out.read_text("utf-8")


def test_one_protocol_marks_the_images(drawn, tmp_path):
    settings = EvalSettings(annotations=drawn.boxes, protocol="all")
    with pytest.raises(SettingsError, match="images are marked by one protocol; name it"):
        report(drawn.run, settings=settings, out=tmp_path / "page.html")
    settings = EvalSettings(annotations=drawn.boxes, protocol="maxboxacc")
    whole = drawn_run(tmp_path / "whole", names(3))
    settings = EvalSettings(annotations=whole.boxes, protocol="maxboxacc")
    out = report(whole.run, settings=settings, out=tmp_path / "page.html")
    assert "MaxBoxAcc" in out.read_text("utf-8")
    assert data_of(out)["index"]["marks"] == [[[None, []]]] * 3
    assert all(record["truth"] for record in blocks_of(out))


def test_the_same_run_gives_the_same_page(drawn, tmp_path):
    pages = [report(drawn.run, boxes=drawn.boxes, out=tmp_path / f"{k}.html") for k in "ab"]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_every_kind_of_block_is_drawn_as_html():
    blocks = [
        Heading("<first>"),
        Table(("name", "n"), [("<a>", "1")], [("*", "a & b")]),
        Notes("notes", [("left", "out")]),
        Items("warnings", ["<w>"]),
    ]
    text = RENDERERS["html"](Document("a <title>", blocks))
    for part in ("<h1>a &lt;title&gt;", "<th scope=\"row\">&lt;a&gt;</th><td>1</td>",
                 "<dd>a &amp; b</dd>", "<h3>&lt;first&gt;", "<li>&lt;w&gt;</li>"):  # fmt: skip
        assert part in text
    assert "<script" not in text


def test_the_command(drawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run_here("report", drawn.run, "--boxes", drawn.boxes)
    assert (done.code, done.out) == (0, "report.html: open it in a browser\n")
    again = run_here("report", drawn.run, "--boxes", drawn.boxes)
    assert again.code == 6
    assert "report.html: is there already; choose another --out or --overwrite" in again.err
    assert run_here("report", tmp_path, "-o", "b.html").code == 6
    assert run_here("report", drawn.run, "--boxes", "absent.xml", "-o", "b.html").code == 3
    done = run_here(
        "eval", drawn.run, "--boxes", drawn.boxes, "-o", "eval.html", "--set",
        "eval.bootstrap.samples=100",
    )  # fmt: skip
    assert done.code == 0
    assert "GT-known localization" in Path("eval.html").read_text("utf-8")


def test_the_functions_of_the_package(drawn, tmp_path):
    assert camtool.report is report
    assert re.search(r"\.html$", str(camtool.report(drawn.run, out=tmp_path / "page.html")))
