"""The pages in Debian's chromium: found, opened, compared, watched; by keyboard, in the dark, on a narrow screen.

Every test ends with what all must hold: no request to another host, nothing on the console.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.cli.program import write
from tests.servers import running_server
from tests.web import hostile
from tests.web.conftest import Filled
from tests.web.serving import project, serving
from tests.web.test_jobs import slow_config

ROOT = Path(__file__).parents[2]
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
#: where screenshots go for whoever wants to look at them
SHOTS = os.environ.get("PROBE_TEST_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all; not longer than this module, because an event loop runs in its thread as long as it is there."""
    installed = subprocess.run(
        [sys.executable, "-m", "tools.install_chromium"], cwd=ROOT, capture_output=True, text=True
    )
    if installed.returncode and not os.environ.get("CI"):
        pytest.skip(installed.stdout.strip())
    assert installed.returncode == 0, installed.stderr
    program = installed.stdout.strip()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=list(QUIET))
        yield launched
        launched.close()


@dataclass
class Watched:
    """A page, and what it did that it should not have."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note requests to other hosts, words on the console, dialogs."""
        host = urlsplit(self.url).netloc

        def request(sent: Any) -> None:
            parts = urlsplit(sent.url)
            if parts.scheme != "data" and parts.netloc != host:
                self.wrong.append(f"asked {sent.url}")

        self.page.on("request", request)
        self.page.on("console", lambda said: self.wrong.append(f"console: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))

    def open(self, path: str) -> Page:
        """Go there."""
        self.page.goto(self.url + path)
        return self.page

    def shot(self, name: str) -> None:
        """Keep a picture if somebody asked for it."""
        if SHOTS:
            self.page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)

    def serious(self) -> list[str]:
        """What axe finds that keeps people out."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{each['id']}: {each['nodes'][0]['html'][:200]}"
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]


@pytest.fixture
def looked(filled: Filled, browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A page in a context that the test may shape: ``@pytest.mark.parametrize("looked", [{…}], indirect=True)``."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **getattr(request, "param", {})})
    watched = Watched(context.new_page(), filled.service.url)
    watched.watch()
    yield watched
    context.close()
    assert watched.wrong == []


def test_a_run_is_found_and_an_explanation_opened(looked: Watched, filled: Filled) -> None:
    page = looked.open("/")
    expect(page).to_have_title("Runs · probe")
    page.get_by_label("Find a run").fill("no such thing")
    expect(page.get_by_text("No run is like that.")).to_be_visible()  # by htmx, without a button
    page.get_by_label("Find a run").fill("ramp")
    expect(page.locator("table.runs tbody tr")).to_have_count(2)
    assert page.url.endswith("/runs?text=ramp")
    page.get_by_role("link", name=filled.runs[-1]).click()
    page.get_by_role("link", name="ramp.png").click()
    expect(page.get_by_role("img", name="Heat map of the attributions")).to_be_visible()
    expect(page.get_by_role("complementary", name="Trust card")).to_contain_text("How far to trust it")
    heat = page.get_by_role("img", name="Heat map of the attributions").locator("image")
    assert heat.evaluate("e => e.getAttribute('href').startsWith('data:image/png') && e.getBBox().width > 50")
    page.get_by_role("link", name="3", exact=True).click()
    expect(page.get_by_role("heading", name="Request 3")).to_be_visible()
    expect(page.locator("pre").first).to_contain_text("curl -sS -X POST")
    expect(page.get_by_role("img", name="The picture as it was sent")).to_be_visible()
    page.go_back()
    page.get_by_role("link", name="over time").click()
    expect(page.get_by_role("group", name="Score over time")).to_be_visible()


def test_two_runs_are_compared(looked: Watched, filled: Filled) -> None:
    page = looked.open(f"/runs/{filled.runs[-1]}")
    page.get_by_label("Compare with an earlier run").select_option(filled.runs[0])
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name=f"{filled.runs[0]} → {filled.runs[1]}")).to_be_visible()
    expect(page.get_by_text("coalitions asked on both sides").first).to_be_visible()


def test_everything_is_reached_with_the_keyboard(looked: Watched, filled: Filled) -> None:
    page = looked.open("/runs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Find a run")).to_be_focused()
    page.keyboard.type("loans")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{looked.url}/runs?text=loans")
    target = page.get_by_role("link", name=filled.runs[-1])
    for _ in range(60):
        if target.evaluate("e => e === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(target).to_be_focused()
    outline = target.evaluate("e => getComputedStyle(e).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{looked.url}/runs/{filled.runs[-1]}")


PAGES = (
    *("/runs", "/runs/{run}", "/probes/{image}", "/probes/{text}", "/probes/{row}", "/probes/{image}/requests/2"),
    *("/probes/{row}/history", "/diff?a={first}&b={run}", "/search?feature=refund"),
    *("/sql?q=SELECT+*+FROM+usage_day", "/queue", "/api", "/login", "/nowhere"),
)


def addresses(filled: Filled) -> list[str]:
    names = {"run": filled.runs[-1], "first": filled.runs[0], "image": filled.probe("pictures", "lime")}
    names |= {"text": filled.probe("reviews", "shapley"), "row": filled.probe("loans", "shapley")}
    return [path.format(**names) for path in PAGES]


@pytest.mark.parametrize(
    "looked", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"]
)
def test_axe_has_no_serious_findings(looked: Watched, filled: Filled, request: pytest.FixtureRequest) -> None:
    found = []
    for path in addresses(filled):
        page = looked.open(path)
        if page.evaluate("document.title").startswith("Not Found"):
            looked.wrong.clear()  # chromium notes the status of the page itself
        looked.shot(f"{request.node.callspec.id}{path.split('?')[0].replace('/', '-')}")
        found += [f"{path}: {each}" for each in looked.serious()]
    assert found == []


@pytest.mark.parametrize("looked", [{"color_scheme": "dark"}], indirect=True)
def test_the_dark_is_dark(looked: Watched, filled: Filled) -> None:
    page = looked.open("/runs")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 26, 32)"


@pytest.mark.parametrize("looked", [{"viewport": {"width": 360, "height": 740}}], indirect=True)
def test_a_narrow_screen_needs_no_scrolling_sideways(looked: Watched, filled: Filled) -> None:
    for path in addresses(filled)[:-1]:
        page = looked.open(path)
        looked.shot(f"narrow{path.split('?')[0].replace('/', '-')}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


@pytest.mark.parametrize("looked", [{"java_script_enabled": False}], indirect=True)
def test_the_pages_work_without_scripts(looked: Watched, filled: Filled) -> None:
    page = looked.open("/runs")
    page.get_by_label("Find a run").fill("ramp")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("table.runs tbody tr")).to_have_count(2)
    page.get_by_role("link", name="lime").click()
    expect(page).to_have_url(f"{looked.url}/runs?text=ramp&method=lime")
    page.get_by_role("link", name=filled.runs[-1]).click()
    page.get_by_role("link", name="ramp.png").click()
    expect(page.get_by_role("img", name="Heat map of the attributions")).to_be_visible()


def test_a_run_is_started_and_watched_live(browser: Browser, tmp_path: Path) -> None:
    with running_server() as endpoint:
        project(tmp_path, endpoint.url)
        write(tmp_path, slow_config(endpoint.url, budget=80, rate="8/s"), name="slow.yaml")
        with serving(tmp_path) as service:
            context = browser.new_context()
            looked = Watched(context.new_page(), service.url)
            looked.watch()
            page = looked.open("/queue")
            page.get_by_label("config").select_option("slow.yaml")
            page.get_by_role("button", name="Run it").click()
            page.locator("#jobs td a").first.click()
            bar = page.get_by_role("progressbar", name="Evaluations answered")
            seen = {bar.get_attribute("value")}
            while bar.is_visible() and len(seen) < 4:
                seen.add(bar.evaluate("e => e.getAttribute('value')"))
                page.wait_for_timeout(200)
            looked.shot("live")
            assert len(seen) >= 3, seen  # it moves by itself
            # at its end the page shows the results by itself
            expect(page.get_by_role("heading", name="reviews")).to_be_visible(timeout=30_000)
            expect(page.locator(".page-head .status")).to_have_text("finished")
            assert looked.wrong == []
            context.close()


def test_hostile_results_do_nothing_in_a_browser(browser: Browser, tmp_path: Path) -> None:
    probes = hostile.fill(tmp_path)
    with serving(tmp_path) as service:
        context = browser.new_context()
        looked = Watched(context.new_page(), service.url)
        looked.watch()
        for path in hostile.paths(probes):
            if not path.partition("?")[0].endswith((".csv", "/report", "/export", "/metrics")):
                page = looked.open(path)
                page.mouse.move(300, 300)
                assert page.evaluate("window.hacked") is None, path
        assert [each for each in looked.wrong if "404" not in each] == []  # thumbnails that are none
        context.close()
