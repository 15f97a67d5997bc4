"""Hours of use: does the server's memory grow, does a result reach the wrong client, does a file stay?

`python -m benchmarks.soak --minutes 60` writes results/soak.json. Some clients send clips over HTTP without a pause,
others upload them in Chromium and close the tab; each clip is unlike all others, so that a result is known by its own
hash or words. Needs tests/requirements.txt, and a Chromium for the sessions on screen.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, sync_playwright
from scipy.stats import linregress

from benchmarks import mutants, server
from benchmarks.clip import SAMPLE
from benchmarks.screen import PATIENCE_MS, QUIET, find_browser
from training.reporting.result_files import write

CLIENTS, SESSIONS = 8, 2
SAMPLE_SECONDS = 5.0  # between two looks at the memory
WARM_SHARE = 0.25  # of the time, after which memory is expected not to grow
RECOGNISED_EVERY = 20  # clips, one is real and its speech is recognised
FORMATS = ("mp4", "webm", "mkv", "avi", "mov", "wav", "mp3", "ogg", "ts", "flv")
BUSY = 503


@dataclass
class Counts:
    """What one kind of client met.

    Attributes:
        asked: Clips that were sent.
        results: Own results.
        busy: Answers that asked to come back.
        mixed: Results of another clip.
        failed: Sentences on what else went wrong.
    """

    asked: int = 0
    results: int = 0
    busy: int = 0
    mixed: int = 0
    failed: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, *, results: int = 0, busy: int = 0, mixed: int = 0, failed: Sequence[str] = ()) -> None:
        """Count a clip."""
        with self._lock:
            self.asked += 1
            self.results += results
            self.busy += busy
            self.mixed += mixed
            self.failed += failed

    def row(self, what: str, clients: int) -> dict[str, Any]:
        """Return a row of the result file."""
        counts = {"asked": self.asked, "results": self.results, "busy": self.busy, "mixed": self.mixed}
        return {"what": what, "clients": clients, **counts, "failed": len(self.failed), "failures": self.failed[:10]}


def unlike(number: int, whole: dict[str, bytes]) -> bytes:
    """Return a clip that nobody else sends: containers end before what is appended."""
    return whole[FORMATS[number % len(FORMATS)]] + number.to_bytes(8, "big")


def send_clips(port: int, client: int, counts: Counts, *, whole: dict[str, bytes], stop: threading.Event) -> None:
    """Send clips over HTTP, one after the other, until it is over."""
    turn = 0
    while not stop.is_set():
        turn += 1
        number = client * 1_000_000 + turn
        recognised = turn % RECOGNISED_EVERY == client
        content = SAMPLE.read_bytes() + number.to_bytes(8, "big") if recognised else unlike(number, whole)
        words = f"client {client} says {number}"
        try:
            status, document = server.post(port, content, **({} if recognised else {"transcript": words}))
        except (OSError, ValueError) as error:
            counts.add(failed=[f"{type(error).__name__}: {error}"])
            continue
        if status == BUSY and document["error"]["code"] == "busy":
            counts.add(busy=1)
            stop.wait(5)
        elif status != 200:
            counts.add(failed=[f"{status}: {document['error']['why']}"])
        else:
            said = " ".join(word["text"] for word in document["transcript"]["words"])
            own = document["clip"]["sha256"] == hashlib.sha256(content).hexdigest() and (recognised or said == words)
            counts.add(results=own, mixed=not own)


def use_screen(port: int, session: int, counts: Counts, *, whole: dict[str, bytes], stop: threading.Event) -> None:
    """Upload clips in a browser, each in a tab that is closed afterwards, until it is over."""
    path = find_browser()
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        turn = 0
        while not stop.is_set():
            turn += 1
            number = (CLIENTS + session) * 1_000_000 + turn
            try:
                counts.add(**_upload(browser, port, unlike(number, whole), f"said{number}", close_early=turn % 4 == 0))
            except (Error, AssertionError) as error:
                counts.add(failed=[str(error).splitlines()[0]])
        browser.close()


def _upload(browser: Browser, port: int, content: bytes, word: str, *, close_early: bool) -> dict[str, int]:
    """Upload a clip in a tab of its own and look whose words it shows; the tab may be closed in the middle."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}/?lang=en")
        page.get_by_text("Choose a clip: samples, your own, camera").click()
        page.get_by_role("tab", name="Your own clip").click()
        page.get_by_role("button", name="I have read this and may use my clips").click()
        name = f"{word}.mp4"
        page.locator('[data-testid="stFileUploaderDropzoneInput"]').first.set_input_files(
            {"name": name, "mimeType": "video/mp4", "buffer": content}
        )
        page.get_by_text(name).first.wait_for()
        page.get_by_role("textbox").first.fill(f"a fine {word}")
        page.get_by_role("button", name="Analyse my clip").click()
        if close_early:
            page.wait_for_timeout(300)
            return {}
        page.get_by_role("heading", name=name).wait_for()
        page.locator("#words button").first.wait_for()
        own = word in page.locator("#words").inner_text()
        return {"results": own, "mixed": not own}
    finally:
        context.close()


def slope(moments: Sequence[float], megabytes: Sequence[float]) -> dict[str, float]:
    """Return growth in MB an hour with its standard error, by a line through the means of minutes.

    >>> slope([0, 30, 60, 90, 120, 150], [1, 1, 2, 2, 3, 3])["mb_per_hour"]
    60.0
    """
    minutes: dict[int, list[float]] = {}
    for moment, size in zip(moments, megabytes, strict=True):
        minutes.setdefault(int(moment // 60), []).append(size)
    if len(minutes) < 3:
        raise ValueError(f"minutes: {len(minutes)}, expected at least 3 for a slope with an error")
    line = linregress(list(minutes), [sum(each) / len(each) for each in minutes.values()])
    return {"mb_per_hour": round(60 * line.slope, 1), "error_mb_per_hour": round(60 * line.stderr, 1)}


def run(*, minutes: float, clients: int = CLIENTS, sessions: int = SESSIONS) -> list[dict[str, Any]]:
    """Use a server for some minutes and return the rows."""
    whole = {name: mutants.clip(name) for name in FORMATS}
    http, screen = Counts(), Counts()
    stop = threading.Event()
    moments: list[float] = []
    sizes: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "temporary"
        temporary.mkdir()
        with server.running_process(Path(folder) / "log", environment={"TMPDIR": str(temporary)}) as (process, port):
            for number in range(2):  # every model has been used once
                server.post(port, unlike(10**9 + number, whole), transcript="a fine day")
            kept = set(temporary.iterdir())
            uses: list[tuple[Callable[..., None], int, Counts]] = [
                *((send_clips, client, http) for client in range(clients)),
                *((use_screen, session, screen) for session in range(sessions)),
            ]
            threads = [
                threading.Thread(target=use, args=(port, who, counts), kwargs={"whole": whole, "stop": stop})
                for use, who, counts in uses
            ]
            begin = time.monotonic()
            for thread in threads:
                thread.start()
            while (now := time.monotonic() - begin) < 60 * minutes:
                moments.append(now)
                sizes.append(server.tree_mb(process.pid))
                time.sleep(SAMPLE_SECONDS)
            stop.set()
            for thread in threads:
                thread.join()
            time.sleep(SAMPLE_SECONDS)  # tabs that were closed last
            left = sorted(path.name for path in set(temporary.iterdir()) - kept)
            healthy = server.answers(port)
    warm = next(place for place, moment in enumerate(moments) if moment >= WARM_SHARE * moments[-1])
    memory = {
        "what": "memory of the process tree",
        "minutes": round(minutes, 1),
        "from_minute": round(moments[warm] / 60, 1),
        "first_mb": round(sizes[warm]),
        "last_mb": round(sizes[-1]),
        "peak_mb": round(max(sizes)),
        **slope(moments[warm:], sizes[warm:]),
    }
    rows = [memory, http.row("HTTP", clients), screen.row("Chromium", sessions)]
    return [*rows, {"what": "remains", "files": left, "healthy": healthy}]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Use the app for a long time, by HTTP and in a browser.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="that send clips over HTTP")
    parser.add_argument("--sessions", type=int, default=SESSIONS, help="in Chromium")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the result file (default: benchmarks/results)"
    )
    arguments = parser.parse_args()
    if arguments.sessions and find_browser() is None:
        raise SystemExit("No Chromium was found on the path. Install it (Debian: apt-get install chromium).")
    rows = run(minutes=arguments.minutes, clients=arguments.clients, sessions=arguments.sessions)
    folder = {} if arguments.out is None else {"folder": arguments.out}
    print(write("soak", f"python -m benchmarks.soak --minutes {arguments.minutes:g}", rows, **folder))


if __name__ == "__main__":
    main()
