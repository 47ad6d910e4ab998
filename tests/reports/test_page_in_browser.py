"""The page in a real browser: what it shows is what the program says, whatever it is asked."""

from __future__ import annotations

import time

import numpy as np
import pytest

from camtool.boxes import PaperBoxes
from camtool.evaluation import EvalSettings, evaluate_files
from camtool.metrics.diagnosis import KINDS, DiagnosisSettings
from camtool.reports.markup import shown
from camtool.reports.page import report
from tests.browser import complaints, opened, requests, run_script
from tests.builders import draw_pictures, write_voc
from tests.commands import TINY, run_here
from tests.reports.awkward_run import AWKWARD, awkward_run
from tests.reports.drawn_run import drawn_run, names
from tests.reports.in_browser import (
    BOXES,
    FIGURES,
    accuracies,
    press,
    seconds_to_open,
    shown_figures,
    slide,
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run of 60 drawn images, and its page."""
    folder = tmp_path_factory.mktemp("drawn")
    made = drawn_run(folder, names(60))
    return made, report(made.run, boxes=made.boxes, out=folder / "page.html")


def test_figures_beside_the_slider_are_those_of_eval(browser, drawn):
    made, page = drawn
    opened(browser, page)
    for threshold in (0.1, 0.3, 0.62):
        slide(browser, threshold)
        figures = shown_figures(browser)
        known, top1 = accuracies(made.run, made.boxes, threshold)
        assert figures["gt_known_error"][1] == known
        assert figures["top1_localization_error"][1] == top1
        assert f"{known:.2f} % right" in figures["gt_known_error"][2]
    press(browser, "o")
    result = evaluate_files(EvalSettings(annotations=made.boxes), made.run)
    for name in ("gt_known_error", "top1_localization_error"):
        assert shown_figures(browser)[name][0] == result.metrics[name].value
    assert complaints(browser) == []


@pytest.mark.parametrize("protocol", ["ts-cam", "adl-first-box"])
def test_figures_of_other_protocols(protocol, browser, drawn, tmp_path):
    made, _ = drawn
    settings = EvalSettings(annotations=made.boxes, protocol=protocol)
    opened(browser, report(made.run, out=tmp_path / "page.html", settings=settings))
    choices = evaluate_files(settings, made.run).thresholds
    for k, name in enumerate(("gt_known_error", "top1_localization_error")):
        at = choices[name].rules["fixed"]
        (figures,) = run_script(browser, FIGURES, [at.threshold])
        assert figures[k][0] == at.value


def test_filter_to_one_kind_of_error(browser, drawn):
    made, page = drawn
    opened(browser, page)
    result = evaluate_files(EvalSettings(annotations=made.boxes), made.run)
    kinds = result.details.diagnoses["gt_known"].counts
    seen = 0
    for number, kind in enumerate(KINDS):
        script = """
            const kind = document.getElementById("kind");
            kind.value = given[0];
            kind.dispatchEvent(new Event("input", { bubbles: true }));
            await new Promise((done) => setTimeout(done, 100));
            return [camtoolReport.state.list.length, document.querySelectorAll(".card").length];
        """
        listed, cards = run_script(browser, script, str(number))
        assert listed == kinds[kind] == cards
        seen += listed
    assert seen == 60
    assert complaints(browser) == []


def test_filter_by_class_name_and_score(browser, drawn):
    _, page = drawn
    opened(browser, page)
    script = """
        const fill = (id, value) => {
          const node = document.getElementById(id);
          node.value = value;
          node.dispatchEvent(new Event("input", { bubbles: true }));
        };
        for (const [id, value] of given[0]) fill(id, value);
        const found = [...camtoolReport.state.list];
        document.getElementById("reset").click();
        return [found, camtoolReport.state.list.length];
    """
    for asked, expected in (
        ([("class", "dog")], list(range(1, 60, 3))),
        ([("class", "o")], [k for k in range(60) if k % 3]),
        ([("name", "I00"), ("class", "owl")], [2, 5, 8]),
        ([("least", "0.95")], []),
        ([("most", "0.9"), ("name", "01")], [1, *range(10, 20)]),
    ):
        assert run_script(browser, script, asked) == [expected, 60]
    assert complaints(browser) == []


def test_right_and_wrong_follow_the_threshold(browser, drawn):
    made, page = drawn
    opened(browser, page)
    script = """
        const outcome = document.getElementById("outcome");
        outcome.value = "wrong";
        outcome.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((done) => setTimeout(done, 100));
        return camtoolReport.state.list.length;
    """
    run_script(browser, script)
    for threshold in (0.1, 0.8):
        slide(browser, threshold)
        time.sleep(0.2)
        listed = run_script(browser, "return camtoolReport.state.list.length")
        assert 100 * (60 - listed) / 60 == accuracies(made.run, made.boxes, threshold)[0]


def test_boxes_and_heat_maps_are_switched_off_and_on(browser, drawn):
    _, page = drawn
    opened(browser, page)
    count = """
        const all = (q) => [...document.querySelectorAll(`.card ${q}`)];
        const heat = all("canvas").filter((c) => !c.hidden);
        return [all("rect.pred").length, all("rect.true").length, heat.length];
    """
    before = run_script(browser, count)
    assert min(before) >= 40
    for place, key in enumerate("pth"):
        press(browser, key)
        off = run_script(browser, count)
        assert off[place] == 0
        assert [n for k, n in enumerate(off) if k != place] == [
            n for k, n in enumerate(before) if k != place
        ]
        press(browser, key)
        assert run_script(browser, count) == before


def test_keys_go_from_image_to_image(browser, drawn):
    from selenium.webdriver.common.keys import Keys

    _, page = drawn
    opened(browser, page)
    name = """
        await new Promise((done) => setTimeout(done, 80));
        const [viewer, name] = ["viewer", "viewer-name"].map((id) => document.getElementById(id));
        return [viewer.open, name.textContent, camtoolReport.state.selected];
    """
    press(browser, Keys.ARROW_RIGHT)
    assert run_script(browser, name)[2] == 0
    press(browser, Keys.ENTER)
    assert run_script(browser, name) == [True, "i000", 0]
    press(browser, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert run_script(browser, name) == [True, "i002", 2]
    press(browser, Keys.ARROW_LEFT)
    assert run_script(browser, name) == [True, "i001", 1]
    press(browser, Keys.ESCAPE)
    assert run_script(browser, name)[0] is False
    # Beyond the last image of a page lies the next page.
    for _ in range(47):
        press(browser, "j")
    assert run_script(browser, name)[2] == 48
    assert (
        run_script(browser, "return document.getElementById('page').textContent") == "page 2 of 2"
    )
    assert complaints(browser) == []


def test_every_picture_says_what_it_is(browser, drawn):
    _, page = drawn
    opened(browser, page)
    script = "return [...document.querySelectorAll('.card img')].map((i) => i.alt)"
    texts = run_script(browser, script)
    assert len(texts) == 48
    assert texts[1] == "val/i001, dog, right"
    unlabelled = """
        return [...document.querySelectorAll("button, input, select")]
            .filter((n) => !(n.textContent.trim() || n.ariaLabel || (n.labels && n.labels.length)))
            .map((n) => n.outerHTML)
    """
    assert run_script(browser, unlabelled) == []


def test_nothing_is_fetched(browser, drawn):
    _, page = drawn
    opened(browser, page)
    assert requests(browser) == [page.resolve().as_uri()]


def test_two_runs_and_the_images_that_changed(browser, tmp_path):
    first = drawn_run(tmp_path / "1", names(24))
    second = drawn_run(tmp_path / "2", names(24), PaperBoxes(threshold=0.45))
    page = report(first.run, second.run, boxes=first.boxes, out=tmp_path / "page.html")
    opened(browser, page)
    right = [
        evaluate_files(EvalSettings(annotations=first.boxes), one.run).trials.located.right(
            EvalSettings().protocol.known, "run"
        )
        for one in (first, second)
    ]
    script = """
        const changed = document.getElementById("changed");
        changed.value = given[0];
        changed.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((done) => setTimeout(done, 100));
        return camtoolReport.state.list;
    """
    side = np.flatnonzero(right[0] != right[1]).tolist()
    assert 0 < len(side) < 24
    assert run_script(browser, script, "side") == side
    assert run_script(browser, script, "worse") == np.flatnonzero(right[0] & ~right[1]).tolist()
    assert run_script(
        browser, "return document.querySelectorAll('.card .frame').length"
    ) == 2 * len(np.flatnonzero(right[0] & ~right[1]))
    assert complaints(browser) == []


def test_a_page_with_assets_loads_them_from_beside_it(browser, drawn, tmp_path):
    made, _ = drawn
    page = report(made.run, boxes=made.boxes, out=tmp_path / "a b#.html", assets=True)
    opened(browser, page)
    script = """
        await Promise.all([...document.images].map((i) => i.decode()));
        return [...document.images].filter((i) => i.naturalWidth > 0).length;
    """
    assert run_script(browser, script) == 48
    press(browser, "o")
    run_script(browser, "document.getElementById('on').click()")
    time.sleep(0.3)
    assert run_script(browser, script) == 12
    (figures,) = run_script(browser, FIGURES, [0.3])
    assert [figure[1] for figure in figures] == accuracies(made.run, made.boxes, 0.3)
    assert complaints(browser) == []


def test_names_with_markup_are_shown_as_they_are(browser, tmp_path):
    out = report(awkward_run(tmp_path / "<b>run</b>"), out=tmp_path / "a'\"<b>&#.html")
    opened(browser, out)
    script = """
        const names = [...document.querySelectorAll(".card .name")].map((n) => n.textContent);
        const classes = [...document.querySelectorAll(".card .what")].map((n) => n.textContent);
        const odd = document.querySelectorAll("main b:not(#figures b), main img, #cards script");
        return [names, classes, odd.length, window.pwned === undefined];
    """
    ids, classes, odd, safe = run_script(browser, script)
    assert ids == [shown(name) for name in AWKWARD]
    assert classes == [f"{shown(name)}, 50.0 %" for name in AWKWARD]
    assert (odd, safe) == (0, True)
    assert complaints(browser) == []


def test_a_run_of_localize_over_drawn_pictures(browser, tmp_path, monkeypatch):
    """The whole way, as a user goes it: localize, report, and the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pictures = draw_pictures(tmp_path / "pictures", 9, broken=(4,))
    boxes = write_voc(tmp_path / "boxes.xml", {f"{k:05d}": [(4, 3, 30, 20)] for k in range(9)})
    assert run_here("localize", pictures, *TINY, "--labels", boxes).code == 0
    done = run_here("report", "--boxes", boxes)
    run = tmp_path / "runs" / "localize"
    assert (done.code, done.err) == (0, f"reporting the run written last: {run}\n")
    opened(browser, tmp_path / "report.html")
    own = run_script(browser, "return camtoolReport.data.positions[camtoolReport.data.runs[0].own]")
    for of_image in run_script(browser, BOXES, [None, own]):
        for stored, followed in of_image:
            assert [box[:4] for box in stored] == [box[:4] for box in followed]
    missing = "return [...document.querySelectorAll('.missing')].map((n) => n.textContent)"
    assert run_script(browser, missing) == ["not an image: it holds text"]
    accuracy = accuracies(run, boxes, 0.5)
    (figures,) = run_script(browser, FIGURES, [0.5])
    assert figures[0][1] == accuracy[0]
    assert complaints(browser) == []


def test_a_page_without_maps_has_no_slider(browser, tmp_path):
    drawn = drawn_run(tmp_path / "drawn", names(8), maps=False)
    opened(browser, report(drawn.run, boxes=drawn.boxes, out=tmp_path / "page.html"))
    hidden = """
        const at = (id) => document.getElementById(id);
        return ["slider-label", "viewer-slider", "own"].map((id) => at(id).hidden);
    """
    assert run_script(browser, hidden) == [True, True, True]
    press(browser, ".")
    assert run_script(browser, "return camtoolReport.state.position") == -1
    diagnosis = DiagnosisSettings(pointing=False)
    settings = EvalSettings(annotations=drawn.boxes, sweep=None, diagnosis=diagnosis)
    result = evaluate_files(settings, drawn.run)
    for name in ("gt_known_error", "top1_localization_error"):
        assert shown_figures(browser)[name][0] == result.metrics[name].value
    assert complaints(browser) == []


@pytest.mark.slow
def test_two_hundred_images_of_imagenet(browser, shared, tmp_path):
    from camtool import Experiment, localize
    from camtool.reports.overlay import OverlaySettings

    data = shared / "data" / "ilsvrc-val-227"
    images = sorted((data / "Data" / "CLS-LOC" / "val").iterdir())[:200]
    experiment = Experiment()
    quiet = experiment.localize.model_copy(update={"overlays": OverlaySettings(enabled=False)})
    experiment = experiment.model_copy(
        update={
            "localize": quiet,
            "run": experiment.run.model_copy(update={"dir": tmp_path / "run"}),
        }
    )
    run = localize(images, experiment, labels=data / "labels.csv").folder
    boxes = data / "Annotations" / "CLS-LOC" / "val"
    settings = EvalSettings(annotations=boxes, images="1-200")
    page = report(run, out=tmp_path / "page.html", settings=settings)
    assert page.stat().st_size < 15e6
    assert min(seconds_to_open(browser, page) for _ in range(3)) < 2
    for threshold in (0.1, 0.25, 0.6):
        slide(browser, threshold)
        figures = shown_figures(browser)
        known, top1 = accuracies(run, boxes, threshold, images="1-200")
        assert figures["gt_known_error"][1] == known
        assert figures["top1_localization_error"][1] == top1
    own = run_script(browser, "return camtoolReport.data.positions[camtoolReport.data.runs[0].own]")
    for of_image in run_script(browser, BOXES, [None, own]):
        for stored, followed in of_image:
            assert [box[:4] for box in stored] == [box[:4] for box in followed]
    assert complaints(browser) == []
