"""How long a visitor waits: for the first screen of a visit, and for new numbers after a toggle.

`python -m benchmarks.screen` writes results/screen-cpu.json. A headless Chromium on the same machine watches the page
of a warm server: the times hold the server's work, the way over loopback and the browser's drawing. Needs
requirements-dev.txt.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.server import running
from training.record import write

VISITS, TOGGLES = 10, 40
PATIENCE_MS = 120_000  # the first visit loads every model
QUIET = ("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync")
SCORE = '[data-testid="stMetricValue"]'
# Clicks a button, looks at the score in every frame, and tells the milliseconds until it has changed.
TOGGLE = """
(button) => new Promise((resolve) => {
  const score = () => document.querySelector('[data-testid="stMetricValue"]')?.innerText
  const before = score(), start = performance.now()
  const look = () => (score() && score() !== before ? resolve(performance.now() - start) : requestAnimationFrame(look))
  button.click()
  requestAnimationFrame(look)
})
"""


def visit(browser: Browser, address: str) -> tuple[Page, float]:
    """Open the app as a new visitor; returns the page and the milliseconds until a first result stood there."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.locator(SCORE).first.wait_for()
    return page, page.evaluate("performance.now()")


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
        running(Path(folder) / "said.txt") as port,
        sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        address = f"http://127.0.0.1:{port}"
        page, _cold = visit(browser, address)
        page.wait_for_timeout(5000)  # the other models load in the background
        visits = []
        for _ in range(VISITS):
            other, took = visit(browser, address)
            visits.append(took)
            other.context.close()
        first = row("first screen, warm", visits)
        face = page.locator('[data-testid="stButtonGroup"] button', has_text="Face").first
        face.evaluate(TOGGLE)
        toggled = row("toggle to new numbers", [face.evaluate(TOGGLE) for _ in range(TOGGLES)])
        browser.close()
    return [first, toggled]


def find_browser() -> str | None:
    """Path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure how long a visitor waits for the first screen and a toggle.")
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
