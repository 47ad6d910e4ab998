"""What tests ask of a page in the browser, and what the program says of the same."""

from __future__ import annotations

import time

from camtool.evaluation import EvalSettings, evaluate_files
from tests.browser import opened, run_script

BOXES = """
const R = camtoolReport, images = [...R.data.index.ids.keys()];
const every = await R.records(images);
const at = given[0].map((t) => t === null ? -1 : R.data.positions.indexOf(t));
return every.map((r) => r.runs[0].map((c) => at.map((p) => R.boxesOf(r, 0, c, p))));
"""
FIGURES = """
const R = camtoolReport;
return given[0].map((t) => [0, 1].map((figure) => {
  const found = R.counted(0, figure, t === null ? -1 : R.data.positions.indexOf(t));
  return found && [found.error, found.accuracy];
}));
"""


def press(browser, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def shown_figures(browser):
    """Return the figures that stand beside the slider."""
    script = """
        await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
        return [...document.querySelectorAll("#figures [data-figure]")]
            .map((n) => [n.dataset.figure, n.dataset, n.textContent]);
    """
    return {
        name: (float(data["error"]), float(data["accuracy"]), text)
        for name, data, text in run_script(browser, script)
    }


def slide(browser, threshold):
    """Move the slider as a hand does."""
    run_script(
        browser,
        """
        const slider = document.getElementById("threshold");
        slider.value = camtoolReport.data.positions.indexOf(given[0]);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        """,
        threshold,
    )


def seconds_to_open(browser, page):
    began = time.monotonic()
    opened(browser, page)
    return time.monotonic() - began


def accuracies(run, boxes, threshold, **settings):
    """Return GT-known and top-1 localization accuracy at a threshold, as `eval` says."""
    found = evaluate_files(EvalSettings(annotations=boxes, **settings), run)
    at = found.curves["gt_known"].x.index(threshold)
    return [found.curves[name].y["IoU ≥ 0.5"][at] for name in ("gt_known", "top1_localization")]
