"""The screen in a real browser, as a user sees it: Chromium, an uploaded file, the player, clicks, downloads.

Screenshots are saved in `build/screenshots/`.
"""

from __future__ import annotations

import json
import re

import av
import jsonschema
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from alignmamba.result import schema
from app.i18n.translate import LANGUAGES, SOURCE, _, spoken_in
from benchmarks.screen import open_live
from benchmarks.server import ROOT, running
from tests.app.app_pages.test_analyse import movie

PATIENCE_MS = 120_000  # the first analysis loads every model, on whatever else the machine is doing
SCREENSHOTS = ROOT / "build" / "screenshots"
FILE, HOSTILE_NAME = ROOT / "app" / "samples" / "positive.webm", "my <b>clip.webm"
PAGES = ("", "alignment", "robustness", "compare", "batch", "results", "about")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
FIRST_SCREEN = {"width": 1440, "height": 900}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Address of a running server."""
    with running(tmp_path_factory.mktemp("server") / "server.log") as port:
        yield f"http://127.0.0.1:{port}"


def visit(browser: Browser, url: str, *, received: list[bytes] | None = None, **settings) -> Page:
    """Open a page in a new session and wait until the script has run; messages of the server are added to a list."""
    page = browser.new_context(**{"viewport": DESKTOP, **settings}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    if received is not None:
        page.on("websocket", lambda socket: socket.on("framereceived", lambda message: received.append(message)))
    page.goto(url)
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait for the end of a script run."""
    page.locator("h1").first.wait_for()
    expect(page.locator('[data-testid="stApp"]')).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=PATIENCE_MS
    )


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def seconds(page: Page) -> float:
    """Return the player's position in seconds."""
    return page.locator('[class*="st-key-player"] video').evaluate("video => video.currentTime")


def times_of(word) -> tuple[float, float]:
    """Return when a word of the transcript is spoken, from its hint."""
    begin, end = re.findall(r"\d+\.\d+", word.get_attribute("title"))[:2]
    return float(begin), float(end)


@pytest.mark.parametrize(
    "code", [pytest.param(code, marks=() if code == SOURCE else pytest.mark.slow) for code in LANGUAGES]
)
def test_from_an_upload_to_the_opened_report(address, browser, code, tmp_path):
    with spoken_in(code):
        received: list[bytes] = []
        page = visit(browser, f"{address}/?lang={code}", received=received)
        upload(page, content=FILE.read_bytes(), mime="video/webm")
        screenshot(page, f"result-{code}")
        follow_the_words(page)
        play_a_sentence(page)
        switch_the_overlay_on(page)
        export_the_overlay(page, tmp_path)
        sort_the_sentences(page)
        seek_by_the_map(page)
        switch_the_face_off(page, received)
        screenshot(page, f"without-face-{code}")
        read_the_exports(page, code, tmp_path)


def upload(page: Page, *, name: str = HOSTILE_NAME, content: bytes, mime: str, transcript: str = "") -> None:
    """Upload a file and wait for its result."""
    submit(page, name=name, content=content, mime=mime, transcript=transcript)
    page.get_by_role("heading", name=name).wait_for()
    settle(page)
    assert page.locator("b").count() == 0, "a file's name is text"


def submit(page: Page, *, name: str, content: bytes, mime: str, transcript: str = "") -> None:
    """Agree to the notice and upload a file, with its transcript, if given."""
    page.get_by_text(_("Choose a clip: samples, your own, camera")).click()
    page.get_by_role("tab", name=_("Your own clip")).click()
    page.get_by_role("button", name=_("I have read this and may use my clips")).click()
    page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(
        {"name": name, "mimeType": mime, "buffer": content}
    )
    page.get_by_text(name).first.wait_for()
    if transcript:
        page.get_by_role("textbox").first.fill(transcript)
    page.get_by_role("button", name=_("Analyse my clip")).click()


def follow_the_words(page: Page) -> None:
    """Play the clip: the spoken word lights up; a click on a word moves the player."""
    video = page.locator('[class*="st-key-player"] video')
    video.evaluate("video => { video.muted = true; video.currentTime = 0; return video.play() }")
    spoken = page.locator('#words button[aria-current="true"]')
    spoken.wait_for()
    video.evaluate("video => video.pause()")
    assert seconds(page) > 0
    begin, end = times_of(spoken)
    assert begin - 0.3 <= seconds(page) <= end + 0.3, "the highlighted word is the one that is spoken"
    word = page.locator("#words button").nth(9)
    word.click()
    begin, _end = times_of(word)
    assert seconds(page) == pytest.approx(begin, abs=0.02)
    expect(word).to_have_attribute("aria-current", "true")


def play_a_sentence(page: Page) -> None:
    """Choose a sentence on the strip by keyboard: it plays, and stops at its end."""
    strip = page.locator("#strip")
    first, last = strip.get_by_role("button").first, strip.get_by_role("button").last
    first.focus()
    page.keyboard.press("End")
    expect(last).to_be_focused()
    page.keyboard.press("Enter")
    expect(last).to_have_attribute("aria-current", "true")
    page.wait_for_function("() => document.querySelector('[class*=\"st-key-player\"] video').paused === false")
    page.wait_for_function("() => document.querySelector('[class*=\"st-key-player\"] video').paused")


def switch_the_overlay_on(page: Page) -> None:
    """Face and score are drawn over the picture while it plays, and go away again."""
    box = page.get_by_label(_("Show face and running score on the clip"))
    box.focus()
    page.keyboard.press("Space")
    canvas = page.locator('[class*="st-key-player"] canvas.overlay')
    expect(canvas).to_be_visible()
    video = page.locator('[class*="st-key-player"] video')
    video.evaluate("video => { video.currentTime = video.duration - 0.5 }")
    expect(canvas).to_have_attribute("data-face", "true")
    expect(canvas).to_have_attribute("data-score", re.compile(r"[+−]\d\.\d\d"))
    over, under = canvas.bounding_box(), video.bounding_box()
    assert [over[side] for side in over] == pytest.approx([under[side] for side in over], abs=2)
    painted = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    assert canvas.evaluate(painted)
    screenshot(page, "overlay")
    video.evaluate("video => { video.currentTime = 0; return video.play() }")
    page.wait_for_function("() => document.querySelector('[class*=\"st-key-player\"] video').currentTime > 1")
    screenshot(page, "overlay-plays")
    video.evaluate("video => video.pause()")
    box.focus()
    page.keyboard.press("Space")
    expect(canvas).to_have_count(0)


def export_the_overlay(page: Page, folder) -> None:
    """Make the clip with its overlay, download it and look into it."""
    page.get_by_role("button", name=_("Export")).click()
    page.get_by_role("button", name=_("Make the clip with its overlay (MP4)")).click()
    button = page.get_by_role("button", name=_("Clip with overlay (MP4)"), exact=True)
    button.wait_for()
    settle(page)
    screenshot(page, "overlay-export")
    with page.expect_download() as download:
        button.click()
    assert download.value.suggested_filename == "clip-with-overlay.mp4"
    download.value.save_as(folder / "clip.mp4")
    with av.open(str(folder / "clip.mp4")) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    frames[len(frames) // 2].save(SCREENSHOTS / "overlay-exported.png")
    page.get_by_role("button", name=_("Export")).click()
    expect(button).to_be_hidden()


def sort_the_sentences(page: Page) -> None:
    """Sort the table of sentences by a score, by keyboard; a click on a row plays it."""
    heading = page.locator("#frame th").nth(2)
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")
    scores = [float(text.split()[0]) for text in page.locator("#frame tbody td:nth-child(3)").all_inner_texts()]
    assert scores == sorted(scores)
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    screenshot(page, "sentences")
    row = page.locator("#frame tbody tr").first
    row.locator("td").nth(1).click()
    expect(row).to_have_attribute("aria-current", "true")
    page.locator('[class*="st-key-player"] video').evaluate("video => video.pause()")


def test_the_first_screen_holds_the_result_without_scrolling(address, browser):
    page = visit(browser, f"{address}/?lang=en", viewport=FIRST_SCREEN)
    parts = [
        '[class*="st-key-player"] video',
        '[data-testid="stMetricValue"]',
        '[data-testid="stButtonGroup"]',
        "#strip",
    ]
    parts.append('[data-testid="stVegaLiteChart"]')
    for part in parts:
        box = page.locator(part).last.bounding_box()
        assert box["y"] + box["height"] <= FIRST_SCREEN["height"], part
    words = page.locator("#words")
    assert len(words.inner_text().split()) == words.get_by_role("button").count(), "whoever copies them gets words"
    screenshot(page, "first-screen")


def seek_by_the_map(page: Page) -> None:
    """Click on a map: the player goes to that moment, and the playhead with it."""
    page.get_by_role("tab", name=_("Alignment")).click()
    chart = page.locator('[class*="st-key-timed-map"]').first
    chart.scroll_into_view_if_needed()
    plot = chart.locator("svg path.background").first.bounding_box()
    page.mouse.click(plot["x"] + plot["width"] / 2, plot["y"] + plot["height"] / 2)
    length = page.locator('[class*="st-key-player"] video').evaluate("video => video.duration")
    assert seconds(page) == pytest.approx(length / 2, abs=0.2)
    line = chart.locator(".playhead")
    expect(line).to_be_visible()
    middle = line.bounding_box()
    assert middle["x"] == pytest.approx(plot["x"] + plot["width"] / 2, abs=5)


def switch_the_face_off(page: Page, received: list[bytes]) -> None:
    """Switch a modality off: the score changes, on the video too; what is drawn of the face is not sent again."""
    page.get_by_label(_("Show face and running score on the clip")).check()
    canvas = page.locator('[class*="st-key-player"] canvas.overlay')
    expect(canvas).to_have_attribute("data-score", re.compile(r"\d"))
    drawn = canvas.get_attribute("data-score")
    score = page.locator('[data-testid="stMetricValue"]').first
    before = score.inner_text()
    assert any(b'"outline"' in message for message in received)
    received.clear()
    pill = page.get_by_role("button", name=re.compile(rf"{_('Face')}$"))
    pill.first.click()
    expect(score).not_to_have_text(before)
    expect(canvas).not_to_have_attribute("data-score", drawn)
    settle(page)
    assert received
    assert not any(b'"outline"' in message for message in received)


def read_the_exports(page: Page, code: str, folder) -> None:
    """Download result and report, read the one, open the other."""
    page.get_by_role("button", name=_("Export")).click()
    for name, label in (("result.json", _("Result (JSON)")), ("report.html", _("Report (HTML)"))):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert download.value.suggested_filename == name
        download.value.save_as(folder / name)
    plain = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema()).validate(plain)
    assert plain["prediction"]["used"] == ["audio", "language"], "what was on screen"
    report = page.context.new_page()
    asked = []
    report.on("request", lambda request: asked.append(request.url))
    report.goto((folder / "report.html").as_uri())
    assert report.locator("html").get_attribute("lang") == code
    assert HOSTILE_NAME in report.locator("h1").inner_text()
    assert all(url.startswith(("file:", "data:")) for url in asked), "it needs nothing else"
    screenshot(report, f"report-{code}")
    report.close()


@pytest.mark.parametrize(
    "look",
    [
        pytest.param({}, id="desktop"),
        pytest.param({"color_scheme": "dark"}, id="dark", marks=pytest.mark.slow),
        pytest.param({"viewport": PHONE}, id="phone", marks=pytest.mark.slow),
    ],
)
def test_no_page_has_serious_accessibility_problems(address, browser, look, request):
    page = visit(browser, address, **look)
    found = {}
    for name in PAGES:
        page.goto(f"{address}/{name}")
        settle(page)
        screenshot(page, f"{request.node.callspec.id}-{name or 'analyse'}")
        violations = Axe().run(page).response["violations"]
        found |= {
            f"{name}: {each['id']}": [node["html"] for node in each["nodes"]]
            for each in violations
            if each["impact"] in ("serious", "critical")
        }
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{name} is too wide"
    assert not found


def test_a_clip_whose_video_the_browser_cannot_play_shows_a_hint(address, browser):
    page = visit(browser, f"{address}/?lang=en")
    hint = page.locator("#unseen")
    expect(hint).to_be_hidden()
    upload(page, name="grey.mp4", content=movie(seconds=2), mime="video/mp4", transcript="A grey day it was.")
    expect(hint).to_be_visible()
    expect(hint).to_contain_text("cannot play its format")
    hint.scroll_into_view_if_needed()
    screenshot(page, "unseen")


def live(browser: Browser, address: str) -> Page:
    """Open the live view on a page whose camera and microphone are allowed; they play a sample."""
    page = visit(browser, f"{address}/?lang=en", permissions=["camera", "microphone"])
    open_live(page)
    return page


def start(page: Page) -> None:
    """Start the live view and wait for its first score."""
    page.get_by_role("button", name="Start live").click()
    expect(page.locator("#status")).to_contain_text(re.compile(r"scores are \d+\.\d s behind"), timeout=PATIENCE_MS)


@pytest.mark.slow
def test_scores_come_while_one_speaks_and_stop_drops_them_all(address, browser):
    page = live(browser, address)
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


@pytest.mark.slow
def test_the_last_seconds_become_the_result_where_that_is_asked_for(address, browser):
    page = live(browser, address)
    start(page)
    page.get_by_role("button", name="Stop and keep the last seconds").click()
    page.get_by_role("heading", name="Your recording").wait_for()
    screenshot(page, "live-kept")


@pytest.mark.slow
def test_a_refused_camera_is_told(address, browser):
    page = visit(browser, f"{address}/?lang=en")
    open_live(page)
    page.get_by_role("button", name="Start live").click()
    expect(page.locator("#status")).to_contain_text("The camera could not be used")
