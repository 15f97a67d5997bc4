"""Waiting time of a user: for the first screen of a session, for new numbers after a toggle, and for live scores.

`python -m benchmarks.screen` writes results/screen-cpu.json. A headless Chromium on the same machine watches the page
of a warm server. "server" is the time from the browser's request to the first answer that holds the score, by the
browser's own clock of its connection; "seen" adds what the browser needs to draw it, on the same cores. What Streamlit
itself needs for that stands beside it: a page of another app with nothing but a number. A live score is late by the
time from the end of a recording until its score is there, the next one a quarter of a second after that; camera and
microphone play a sample. Needs tests/requirements.txt.
"""

from __future__ import annotations

import argparse
import base64
import re
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from benchmarks.server import ROOT, running
from training.reporting.result_files import write

VISITS, TOGGLES, ANSWERS = 10, 40, 6
PATIENCE_MS = 120_000  # the first visit loads every model
PAUSE_MS = 1500  # between two toggles, until the page is at rest
# No traffic but to the page's own server; sandboxing needs rights that a container seldom has.
QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
SAMPLE = ROOT / "app" / "samples" / "positive.webm"
WINDOW: ViewportSize = {"width": 1280, "height": 900}
CAMERA = (480, 360)  # pixels
SCORE = '[data-testid="stMetricValue"]'
# Clicks a button, looks at the score in every frame, and returns the milliseconds until it has changed.
TOGGLE = """
(button) => new Promise((resolve) => {
  const score = () => document.querySelector('[data-testid="stMetricValue"]')?.innerText
  const before = score(), start = performance.now()
  const look = () => (score() && score() !== before ? resolve(performance.now() - start) : requestAnimationFrame(look))
  button.click()
  requestAnimationFrame(look)
})
"""


class Wire:
    """Frames of a page's connection to the server, with their times."""

    def __init__(self, page: Page) -> None:
        self.sent: list[float] = []  # seconds of the browser's clock
        self.received: list[tuple[float, bytes]] = []
        session = page.context.new_cdp_session(page)
        session.on("Network.webSocketFrameSent", lambda event: self.sent.append(event["timestamp"]))
        session.on("Network.webSocketFrameReceived", self._take)
        session.send("Network.enable")

    def _take(self, event: dict[str, Any]) -> None:
        frame = event["response"]
        text = frame["payloadData"]
        self.received.append((event["timestamp"], base64.b64decode(text) if frame["opcode"] == 2 else text.encode()))

    def answer_ms(self, score: str) -> float:
        """Milliseconds from the first request noted here to the first answer that holds a score.

        Raises:
            RuntimeError: If there was none.
        """
        answers = (at for at, content in self.received if at >= self.sent[0] and score.encode() in content)
        if (at := next(answers, None)) is None:
            raise RuntimeError(f"no answer of the server holds {score}")
        return 1000 * (at - self.sent[0])

    def clear(self) -> None:
        """Clear both lists."""
        self.sent.clear()
        self.received.clear()


def visit(context: BrowserContext, address: str) -> tuple[Page, Wire, float]:
    """Open the app in a new session; returns the page and the milliseconds until a first result was shown."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    wire = Wire(page)
    page.goto(address)
    page.locator(SCORE).first.wait_for()
    return page, wire, page.evaluate("performance.now()")


def visits(browser: Browser, address: str, *, again: bool) -> list[tuple[Wire, str, float]]:
    """Open the app in many sessions; returns what came, the score, and the milliseconds until it was shown.

    Args:
        browser: Chromium.
        address: Of the app.
        again: Whether the browser was there before and has kept its scripts, or meets the app for the first time.
    """
    kept, found = browser.new_context(viewport=WINDOW), []
    if again:
        visit(kept, address)[0].close()
    for _ in range(VISITS):
        context = kept if again else browser.new_context(viewport=WINDOW)
        page, wire, seen = visit(context, address)
        found.append((wire, page.locator(SCORE).first.inner_text(), seen))
        page.close()
        if not again:
            context.close()
    kept.close()
    return found


def bare(browser: Browser, folder: Path) -> list[float]:
    """Milliseconds until a Streamlit app that shows a number, and nothing else, has shown it."""
    script = folder / "bare.py"
    script.write_text('import streamlit as st\n\nst.metric("Score", "+1.00")\n', encoding="utf-8")
    with running(folder / "bare.log", script=script) as port:
        address = f"http://127.0.0.1:{port}"
        visit(browser.new_context(viewport=WINDOW), address)[0].context.close()
        return [seen for _wire, _score, seen in visits(browser, address, again=False)]


def toggle(page: Page, wire: Wire) -> tuple[float, float]:
    """Switch video on or off; returns the milliseconds of the server and those until the new score was shown."""
    page.wait_for_timeout(PAUSE_MS)
    wire.clear()
    seen = page.locator('[data-testid="stButtonGroup"] button', has_text="Face").first.evaluate(TOGGLE)
    return wire.answer_ms(page.locator(SCORE).first.inner_text()), seen


def camera(folder: Path) -> list[str]:
    """Write the sample as Chromium plays it for a camera and a microphone; returns the browser's options for it."""
    video, sound = folder / "camera.y4m", folder / "microphone.wav"
    with av.open(str(SAMPLE)) as clip, video.open("wb") as written:
        width, height = CAMERA
        written.write(f"YUV4MPEG2 W{width} H{height} F{clip.streams.video[0].average_rate}:1 Ip C420\n".encode())
        for frame in clip.decode(video=0):
            written.write(b"FRAME\n" + frame.reformat(width, height, "yuv420p").to_ndarray().tobytes())
    with av.open(str(SAMPLE)) as clip, av.open(str(sound), "w") as written:
        stream = written.add_stream("pcm_s16le", rate=48_000, layout="mono")
        resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000)
        for frame in clip.decode(audio=0):
            for part in resampler.resample(frame):
                part.pts = None
                written.mux(stream.encode(part))
    devices = [f"--use-file-for-fake-video-capture={video}", f"--use-file-for-fake-audio-capture={sound}"]
    return [*QUIET, "--use-fake-device-for-media-stream", *devices]


def open_live(page: Page) -> None:
    """Go to the live view of a page in English, after the notice."""
    page.get_by_text("Choose a clip: samples, your own, camera").click()
    page.get_by_role("tab", name="Your own clip").click()
    page.get_by_role("button", name="I have read this and may use my clips").click()
    page.get_by_role("tab", name="Camera").click()
    page.get_by_text("Live, while you speak").click()
    expect(page.locator("#status")).to_have_count(1)  # the recorder, which has one too, is gone


def live(browser: Browser, address: str) -> list[float]:
    """Milliseconds by which live scores are late, of recordings as long as they become."""
    context = browser.new_context(permissions=["camera", "microphone"])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/?lang=en")
    open_live(page)
    page.get_by_role("button", name="Start live").click()
    status, late = page.locator("#status"), []
    expect(status).to_have_attribute("data-answers", re.compile(r"\d"), timeout=PATIENCE_MS)
    page.wait_for_timeout(10_000)
    for _ in range(ANSWERS):
        before = status.get_attribute("data-answers")
        # In a shadow root, which no script of the page sees.
        expect(status).not_to_have_attribute("data-answers", before or "", timeout=PATIENCE_MS)
        late.append(float(status.get_attribute("data-milliseconds") or "nan"))
    context.close()
    return late


def row(what: str, milliseconds: list[float]) -> dict[str, Any]:
    """Median and 95th percentile."""
    found = {
        "what": what,
        "runs": len(milliseconds),
        "p50_ms": round(statistics.median(milliseconds), 1),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 1),
    }
    print(found, flush=True)
    return found


def run(path: str) -> list[dict[str, Any]]:
    """Measure with the browser at a path and return the rows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "server.log") as port,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=path, args=camera(Path(folder)))
        address = f"http://127.0.0.1:{port}"
        page, wire, _cold = visit(browser.new_context(viewport=WINDOW), address)
        page.wait_for_timeout(5000)  # the other models load in the background
        rows = []
        for what, again in (
            ("first screen, warm", False),
            ("first screen, warm, in a browser that was here before", True),
        ):
            found = visits(browser, address, again=again)
            rows.append(row(f"{what}, server", [wire.answer_ms(score) for wire, score, _seen in found]))
            rows.append(row(f"{what}, seen", [seen for _wire, _score, seen in found]))
        toggles = [toggle(page, wire) for _ in range(2 + TOGGLES)][2:]  # the first two show a subset for the first time
        for place, part in enumerate(("server", "seen")):
            rows.append(row(f"toggle to new numbers, {part}", [each[place] for each in toggles]))
        page.context.close()
        rows.append(row("another Streamlit app, a number alone, seen", bare(browser, Path(folder))))
        rows.append(row("live, from the end of a recording to its score, seen", live(browser, address)))
        browser.close()
    return rows


def find_browser() -> str | None:
    """Path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure how long a user waits for the first screen and a toggle.")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the result file (default: benchmarks/results)"
    )
    arguments = parser.parse_args()
    path = find_browser()
    if path is None:
        raise SystemExit("No Chromium was found on the path. Install it (Debian: apt-get install chromium).")
    folder = {} if arguments.out is None else {"folder": arguments.out}
    print(write("screen", "python -m benchmarks.screen", run(path), device="cpu", **folder))


if __name__ == "__main__":
    main()
