"""`alignmamba demo`: it tells its address, and opens a browser where there is a screen."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from benchmarks.server import STOP_SECONDS, wait_until_healthy
from tests.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="screens are told by DISPLAY here")]


@pytest.mark.parametrize(
    ("screen", "flags", "opens"), [(":9", [], True), ("", [], False), (":9", ["--no-browser"], False)]
)
def test_address_and_browser(screen, flags, opens, tmp_path):
    opened = tmp_path / "opened"
    program = tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    program.chmod(0o755)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    log = tmp_path / "log"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "demo", f"--port={port}", *flags],
            cwd=ROOT, stdout=stream, stderr=stream, env={**kept, "PATH": path, "DISPLAY": screen},
        )  # fmt: skip
        try:
            wait_until_healthy(server, port, log)
            end = time.monotonic() + (30 if opens else 2)
            while not opened.exists() and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(0.2)  # until it is written
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(STOP_SECONDS)
    assert f"http://localhost:{port}" in log.read_text()
    assert (opened.read_text().strip() if opened.exists() else None) == (f"http://localhost:{port}" if opens else None)
