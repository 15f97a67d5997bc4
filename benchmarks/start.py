"""Waiting time after a start: from the page to the first result of a clip that is uploaded at once.

`python -m benchmarks.start` writes results/start-cpu.json. Each run starts the app anew, asks for its page until it is
there, and sends a sample clip at the same moment, while the models still load behind the page. A second clip follows,
for comparison: it finds everything warm. The load of the machine stands beside each run: on a busy one the times grow.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.server import running
from training.reporting.result_files import ROOT, write

RUNS = 3
CLIP = ROOT / "app" / "samples" / "positive.webm"
PATIENCE_SECONDS = 900.0


def analyse(port: int) -> float:
    """Send the clip and wait for its result; returns the seconds.

    Raises:
        RuntimeError: If the server refuses it.
    """
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{CLIP.name}"\r\n\r\n'
    body = head.encode() + CLIP.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    began = time.perf_counter()
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    server.request("POST", "/api/v1/analyse", body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
    answer = server.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"status {answer.status}: {content[:300].decode(errors='replace')}")
    assert json.loads(content)["prediction"] is not None
    return time.perf_counter() - began


def page(port: int) -> None:
    """Ask for the page.

    Raises:
        RuntimeError: If it is not there.
    """
    server = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    server.request("GET", "/")
    if (status := server.getresponse().status) != http.client.OK:
        raise RuntimeError(f"status {status} for the page")


def measure(run: int) -> dict[str, Any]:
    """Start the app and return the row of one run."""
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        with running(Path(folder) / "server.log") as port:
            page(port)
            shown = time.perf_counter() - began
            first, second = analyse(port), analyse(port)
    found = {
        "run": run,
        "start_to_page_s": round(shown, 2),
        "page_to_first_result_s": round(first, 2),
        "next_result_s": round(second, 2),
        "load_before": None if busy is None else round(busy, 1),
    }
    print(found, flush=True)
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure how soon after a start the first clip is analysed.")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"starts of the app (default {RUNS})")
    parser.add_argument("--out", type=Path, help="folder for the result file (default: benchmarks/results)")
    given = parser.parse_args()
    folder = {} if given.out is None else {"folder": given.out}
    rows = [measure(run) for run in range(1, given.runs + 1)]
    print(write("start", "python -m benchmarks.start", rows, device="cpu", **folder))


if __name__ == "__main__":
    main()
