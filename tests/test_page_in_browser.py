"""The report in a real browser: nothing loads, complains or is cut off, on a phone or a desk."""

from __future__ import annotations

import base64
import json
import os
import shutil
from dataclasses import replace

import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from tuner import TuningConfig, tune
from tuner._records import Finding

pytestmark = pytest.mark.slow

LONG = "a_name_" * 40  # without a place to break it


@pytest.fixture(scope="module")
def browser():
    """Start headless Chromium; without it the tests are skipped, on CI they fail."""
    selenium = pytest.importorskip("selenium.webdriver")
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in programs.values():
        why = f"needs Debian's chromium and chromium-driver, found {programs}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    options = selenium.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = selenium.Chrome(options, selenium.ChromeService(programs["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module", params=["binary", "regression", "multiclass"])
def page(request, tmp_path_factory):
    """Return the path of a real run's report, with a finding and a note too long for any line."""
    load = {"binary": load_breast_cancer, "regression": load_diabetes, "multiclass": load_wine}[request.param]
    X, y = load(return_X_y=True)
    config = TuningConfig(
        task="regression" if request.param == "regression" else "classification",
        max_trials=24,
        time_budget=None,
        families=["linear", "kernel"],
        estimate="crossfit",
        n_folds=3,
        tracking=False,
        verbose=0,
        random_state=0,
    )
    result = tune(X[::2], y[::2], config=config)
    finding = Finding("D999", "warning", LONG, LONG, LONG)
    result = replace(result, diagnosis=(finding, *result.diagnosis), notes=(LONG,), study_name=LONG)
    return result.report(tmp_path_factory.mktemp("report") / "report.html")


def open_page(browser, page, width):
    """Open the page in a window that wide; earlier messages of the browser are forgotten."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.as_uri())


@pytest.mark.parametrize("width", [390, 1280])
def test_page_is_quiet_alone_and_fits(browser, page, width):
    """No message on the console, no request but for the page, no part beyond the edge, all figures drawn."""
    open_page(browser, page, width)
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert [address for address in asked if not address.startswith("data:")] == [page.as_uri()]
    assert browser.execute_script("return window.innerWidth") == width
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    sentences = "return [...document.querySelectorAll('td.long')].map(cell => cell.clientWidth)"
    assert min(browser.execute_script(sentences)) >= 130  # pixels: room for some words on a line
    drawn = browser.execute_script("return [...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert len(drawn) >= 5
    assert all(drawn)


def test_answer_is_seen_without_scrolling(browser, page, tmp_path):
    """On a phone the number, its interval and the picture of it stand on the first screen, dark on white."""
    open_page(browser, page, 390)
    bottom = "return document.querySelector('.answer img').getBoundingClientRect().bottom"
    assert 100 < browser.execute_script(bottom) < 844
    colors = "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
    assert browser.execute_script(colors) == ["rgb(28, 39, 51)", "rgb(255, 255, 255)"]
    assert browser.save_screenshot(str(tmp_path / "phone.png"))


def test_page_prints_on_a_few_sheets(browser, page):
    """The printed report is a PDF of a handful of pages."""
    open_page(browser, page, 1280)
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 10
