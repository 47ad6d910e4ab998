"""A real browser for tests: Chromium of the system's packages, without a window."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver import Chrome

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_PROMISE = """
const done = arguments[arguments.length - 1];
(async () => {{ {script} }})().then((value) => done([value]), (error) => done(String(error)));
"""


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Start the browser and its driver; the test is skipped where either is absent."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    found = webdriver.Chrome(options=options, service=Service(driver))
    try:
        found.set_script_timeout(60)
        yield found
    finally:
        found.quit()


def opened(browser: Chrome, page: Path) -> Chrome:
    """Open a page of this machine, and wait until its first images are there."""
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.resolve().as_uri())
    ready = "return document.body.dataset.ready"
    WebDriverWait(browser, 20, 0.02).until(lambda b: b.execute_script(ready))
    return browser


def run_script(browser: Chrome, script: str, *arguments: object) -> object:
    """Run the body of an asynchronous function; its arguments are `arguments[0]` and so on."""
    script = f"const given = [{', '.join(f'outer[{i}]' for i in range(len(arguments)))}]; {script}"
    wrapped = "const outer = arguments;" + _PROMISE.format(script=script)
    found = browser.execute_async_script(wrapped, *arguments)
    assert isinstance(found, list), found
    return found[0]


def complaints(browser: Chrome) -> list[str]:
    """Return what the console says since the page was opened."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Chrome) -> list[str]:
    """Return the addresses that were asked for since then, but for data within the page."""
    import json

    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    sent = (e["params"] for e in events if e["method"] == "Network.requestWillBeSent")
    return [u for p in sent if not (u := p["request"]["url"]).startswith("data:")]
