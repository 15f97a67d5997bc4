"""The live view in a real browser, whose camera and microphone play a sample."""

from __future__ import annotations

import base64
import re
from concurrent.futures import wait

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from app.components.live import LiveState
from benchmarks.screen import SAMPLE, camera, find_browser, open_live
from benchmarks.server import running
from tests.app.test_browser import PATIENCE_MS, screenshot, visit


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A browser whose camera asks before it is used, unless a page has the permission."""
    if (path := find_browser()) is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=camera(tmp_path_factory.mktemp("camera")))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a running server."""
    with running(tmp_path_factory.mktemp("server") / "server.log") as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def page(address, browser):
    """A page whose camera is allowed, at the live view, after its first score."""
    page = visit(browser, f"{address}/?lang=en", permissions=["camera", "microphone"])
    open_live(page)
    return page


def start(page: Page) -> None:
    """Start the live view and wait for its first score."""
    page.get_by_role("button", name="Start live").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"scores are \d+\.\d s behind"), timeout=PATIENCE_MS)


def test_scores_come_while_one_speaks_and_stop_drops_them_all(page):
    start(page)
    heard = page.get_by_text("Heard:")
    first = heard.inner_text()
    page.wait_for_function("old => !document.body.innerText.includes(old)", arg=first)
    page.locator("#preview").scroll_into_view_if_needed()
    screenshot(page, "live")
    page.locator("#begin").click()
    expect(heard).to_have_count(0, timeout=PATIENCE_MS)
    assert page.locator("#preview").evaluate("video => video.srcObject === null"), "the camera is off"
    expect(page.get_by_role("heading", name="Your recording")).to_have_count(0)


def test_the_last_seconds_become_the_result_where_that_is_asked_for(page):
    start(page)
    page.get_by_role("button", name="Stop and keep the last seconds").click()
    page.get_by_role("heading", name="Your recording").wait_for()
    screenshot(page, "live-kept")


def test_a_refused_camera_is_told(address, browser):
    page = visit(browser, f"{address}/?lang=en")
    open_live(page)
    page.get_by_role("button", name="Start live").click()
    expect(page.locator("#status")).to_contain_text("The camera could not be used")


@pytest.mark.parametrize(
    "sent", [7, {"number": 1}, {"number": 1, "mime": "text/html", "base64": ""}, {"number": "1", "base64": "AAAA"}]
)
def test_what_no_camera_sends_is_a_sentence_and_no_score(sent):
    state = LiveState()
    state.ask(sent)
    assert "is not a recording" in state.problem
    assert state.job is None and state.latest is None and not state.scores
    assert state.answered == (1 if isinstance(sent, dict) and sent["number"] == 1 else 0)


def collect(state: LiveState) -> None:
    """Wait for the analysis that was begun."""
    wait([state.job.future], timeout=PATIENCE_MS / 1000)
    state.collect()
    assert state.job is None


def test_a_recording_without_end_gives_its_score_and_one_that_fails_leaves_it():
    state, content = LiveState(), base64.b64encode(SAMPLE.read_bytes()).decode()
    state.ask({"number": 3, "mime": "video/webm", "base64": content[: len(content) * 3 // 16 * 4]})
    collect(state)
    assert state.problem is None and state.answered == 3
    (found,) = state.scores
    assert found.low < found.score < found.high
    state.ask({"number": 4, "mime": "video/webm", "base64": "AAAA"})
    collect(state)
    assert state.answered == 4 and state.problem
    assert state.scores == [found] and state.latest.predictions[state.latest.available].score == found.score
