"""The report in a real browser: headless Chromium, without network."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from nasrec.report import drawing
from nasrec.space import published

webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
CHROMEDRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and CHROMEDRIVER) and os.environ.get("NASREC_BROWSER") != "required",
        reason="needs a browser: make browser",
    ),
]

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=CHROMEDRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(finished):
    return (finished / "run/report.html").resolve().as_uri()


def show(browser, address, width=1280, height=900, scheme="light"):
    """Open a page at a size and in a colour scheme; gives the addresses that were asked for."""
    browser.get("about:blank")
    browser.get_log("browser"), browser.get_log("performance")
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(address)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    }


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_errors_or_requests(browser, address, width, scheme):
    asked = show(browser, address, width, scheme=scheme)
    assert {url for url in asked if not url.startswith("data:")} == {address}
    assert browser.get_log("browser") == []
    # A page that is too wide makes a phone's view wider than its screen.
    page, view = browser.execute_script("return [document.body.scrollWidth, innerWidth]")
    assert page <= view == width
    overflow = browser.execute_script(
        "return [...document.querySelectorAll('main *, header *, nav *')]"
        ".filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > innerWidth + 1)"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert overflow == []


@pytest.mark.parametrize("width", [1280, 400])
def test_every_chart_is_drawn(browser, address, width):
    show(browser, address, width)
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('figure svg')].map(s => {"
        " const r = s.getBoundingClientRect();"
        " const marks = [...s.querySelectorAll('rect, circle, path, polyline, text')];"
        " const drawn = marks.filter(m => {const b = m.getBoundingClientRect();"
        "   return b.width + b.height > 0});"
        " return [r.width, r.height, marks.length, drawn.length]})"
    )
    assert len(sizes) == 6
    for across, down, marks, drawn in sizes:
        assert across > 300
        assert down > 150
        assert drawn == marks > 10
    # no text of a chart is cut off
    cut = browser.execute_script(
        "return [...document.querySelectorAll('figure svg text')].filter(t => {"
        " const b = t.getBoundingClientRect(), s = t.ownerSVGElement.getBoundingClientRect();"
        " return b.left < s.left - 1 || b.right > s.right + 1 || b.top < s.top - 1"
        "  || b.bottom > s.bottom + 1}).map(t => t.textContent)"
    )
    assert cut == []


def contrast(a, b):
    """WCAG 2 contrast of two colours of 0 to 255."""

    def light(colour):
        parts = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(a), light(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out(browser, address, scheme):
    show(browser, address, scheme=scheme)
    colours = browser.execute_script(
        "const rgb = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number);"
        "const back = e => {for (; e; e = e.parentElement) {"
        "  const c = getComputedStyle(e).backgroundColor;"
        "  if (!c.startsWith('rgba') || !c.endsWith(' 0)')) return rgb(c)} return [255,255,255]};"
        "return [...document.querySelectorAll('p, li, td, th, dt, dd, a, summary, h1, h2, small')]"
        ".map(e => [rgb(getComputedStyle(e).color), back(e), e.textContent.slice(0, 40)])"
    )
    assert len(colours) > 100
    low = [text for front, back, text in colours if contrast(front, back) < 4.5]
    assert low == []
    texts = browser.execute_script(
        "const rgb = c => c.match(/[0-9.]+/g).slice(0, 3).map(Number);"
        "return [...document.querySelectorAll('svg.chart text')]"
        ".map(e => rgb(getComputedStyle(e).fill))"
    )
    card = browser.execute_script(
        "return getComputedStyle(document.querySelector('section')).backgroundColor"
        ".match(/[0-9.]+/g).slice(0, 3).map(Number)"
    )
    assert min(contrast(text, card) for text in texts) >= 4.5


def test_it_can_be_used_by_keys(browser, address):
    from selenium.webdriver.common.keys import Keys

    show(browser, address)
    reached = []
    for _ in range(200):
        active = browser.switch_to.active_element
        active.send_keys(Keys.TAB)
        active = browser.switch_to.active_element
        if active.tag_name == "body":
            break
        outline = active.value_of_css_property("outline-style")
        assert outline == "solid", active.get_attribute("outerHTML")[:100]
        reached.append(active)
    ways = "a[href], summary, [tabindex='0']"
    seen = browser.execute_script(
        f'return [...document.querySelectorAll("{ways}")].filter(e => e.checkVisibility())'
    )
    assert reached == seen  # everything, in the order of the page
    first = browser.find_element("css selector", "details")
    assert first.get_attribute("open") is None
    first.find_element("css selector", "summary").send_keys(Keys.ENTER)
    assert first.get_attribute("open") is not None
    assert first.find_element("css selector", "table").is_displayed()


def test_a_wide_table_scrolls_in_its_own_box(browser, address):
    show(browser, address, 400)
    inside = browser.execute_script(
        "const box = document.querySelector('#leaderboard .scroll'); box.scrollLeft = 200;"
        "return [box.scrollLeft, box.scrollWidth > box.clientWidth, scrollX]"
    )
    assert inside == [200, True, 0]


def test_a_picture_by_itself(browser, tmp_path):
    file = tmp_path / "architecture.svg"
    file.write_text(str(drawing(published("criteo-full"))))
    assert show(browser, file.as_uri()) == {file.as_uri()}
    assert browser.get_log("browser") == []
    fills = {}
    for scheme in ("light", "dark"):
        show(browser, file.as_uri(), scheme=scheme)
        fills[scheme] = browser.execute_script(
            "return getComputedStyle(document.querySelector('.paper')).fill"
        )
    assert fills["light"] != fills["dark"]
