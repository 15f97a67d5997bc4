"""Many at once: sessions on screen and requests over HTTP each get their own result, within a bounded memory."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.i18n.translate import SOURCE, spoken_in
from app.services.jobs import JOBS_AT_ONCE
from benchmarks import server, soak
from extractors.workers.client import BUDGET
from tests.app.app_pages.test_analyse import movie
from tests.app.test_browser import submit, visit

SESSIONS, REQUESTS = 8, 20
SERVER_MB = 3_000  # of the server itself, with all sessions
RETRIES = 100


def from_http(port: int, number: int, clip: bytes) -> bool:
    """Send a clip until the server has a place for it; whether the result is its own."""
    content, said = clip + number.to_bytes(8, "big"), f"request number{number}"
    for _ in range(RETRIES):
        status, document = server.post(port, content, transcript=said)
        if status != soak.BUSY:
            break
        assert document["error"]["code"] == "busy"
        time.sleep(5)
    assert status == 200, document
    words = " ".join(word["text"] for word in document["transcript"]["words"])
    return words == said and document["clip"]["sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_sessions_and_requests_at_once_end_right(browser, tmp_path):
    clip, sizes, done = movie(seconds=1), [], threading.Event()

    def watch(pid: int) -> None:
        while not done.wait(1):
            sizes.append(server.tree_mb(pid))

    with server.running_process(tmp_path / "log") as (process, port), ThreadPoolExecutor(REQUESTS + 1) as pool:
        watching = pool.submit(watch, process.pid)
        try:
            pages = [visit(browser, f"http://127.0.0.1:{port}/?lang=en") for _ in range(SESSIONS)]
            answers = pool.map(lambda number: from_http(port, number, clip), range(REQUESTS))
            with spoken_in(SOURCE):
                for number, page in enumerate(pages):
                    content = clip + bytes([number])
                    said = f"session word{number}"
                    submit(page, name=f"clip{number}.mp4", content=content, mime="video/mp4", transcript=said)
            for number, page in enumerate(pages):
                page.get_by_role("heading", name=f"clip{number}.mp4").wait_for()
                assert re.findall(r"\w+", page.locator("#words").inner_text()) == ["session", f"word{number}"]
                page.context.close()
            assert all(answers)
        finally:
            done.set()
        watching.result()
    assert max(sizes) < SERVER_MB + JOBS_AT_ONCE * BUDGET.memory_bytes / 1e6
