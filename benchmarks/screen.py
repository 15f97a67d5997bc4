"""How long the server works on a screen: the first one of a visit, and new numbers after a toggle.

`python -m benchmarks.screen` writes results/screen-cpu.json. The script runs as the server runs it, without a browser.
A toggle is measured as a run of the whole page, although the app draws only the result anew: an upper bound.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.testing.v1 import AppTest

from alignmamba.modality import Modality
from training.record import ROOT, write

VISITS, TOGGLES = 10, 40
TIMEOUT_SECONDS = 300.0  # the first visit loads the checkpoint


def visit() -> AppTest:
    """Open the app as a new visitor, who is shown the first sample's result."""
    page = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=TIMEOUT_SECONDS).run()
    if page.exception or page.error:
        raise RuntimeError(f"the first screen failed: {[*page.exception, *page.error]}")
    return page


def toggle(page: AppTest) -> None:
    """Switch the face on or off; the score has to change.

    Raises:
        RuntimeError: If it does not.
    """
    before = page.metric[0].value
    (pills,) = (group for group in page.button_group if str(group.key).startswith("modalities-"))
    others = [modality for modality in pills.value if modality != Modality.VIDEO]
    pills.set_value([*others, Modality.VIDEO] if len(others) == len(pills.value) else others).run()
    if page.metric[0].value == before:
        raise RuntimeError(f"the score stayed {before} after a toggle")


def milliseconds(work: Callable[[], object], *, times: int) -> list[float]:
    """How long each of some runs takes, after one that does not count."""
    work()
    found = []
    for _ in range(times):
        begin = time.perf_counter()
        work()
        found.append(1000 * (time.perf_counter() - begin))
    return found


def run() -> list[dict[str, Any]]:
    """Measure and return the rows."""
    rows = []
    page = visit()
    for what, work, times in (("first screen, warm", visit, VISITS), ("toggle", lambda: toggle(page), TOGGLES)):
        found = milliseconds(work, times=times)
        rows.append(
            {
                "what": what,
                "runs": times,
                "p50_ms": round(statistics.median(found), 1),
                "p95_ms": round(float(np.percentile(found, 95)), 1),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure the server's time for the first screen and for a toggle.")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the result file (default: benchmarks/results)"
    )
    arguments = parser.parse_args()
    folder = {} if arguments.out is None else {"folder": arguments.out}
    print(write("screen", "python -m benchmarks.screen", run(), device="cpu", **folder))


if __name__ == "__main__":
    main()
