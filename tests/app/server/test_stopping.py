"""A server that is told to stop ends within seconds, whatever it is doing, and leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from app.services import model
from benchmarks import server
from tests.app.api.test_endpoints import form, head
from tests.app.app_pages.test_analyse import movie

LONG = movie(seconds=110, rate=25)  # takes longer than a server may take to stop
CLIENTS = 6  # two are served at once: however fast the machine is, the last cannot be
SECONDS = 60.0  # on a machine that does much else; some 7 on its own
WAIT_SECONDS = 120.0


@pytest.fixture
def serving(tmp_path):
    """A server's process, port and temporary folder, from the moment that it is healthy."""
    log, temporary = tmp_path / "server.log", tmp_path / "temporary"
    temporary.mkdir()
    with log.open("wb") as stream:
        process, port = server.start(stream, environment={"TMPDIR": str(temporary)})
        try:
            server.wait_until_healthy(process, port, log)
            yield process, port, temporary
            assert "Traceback" not in log.read_text()
        finally:
            process.kill()
            process.wait()


def family(folder: Path) -> list[int]:
    """Processes of the server whose temporary folder is the given one, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Tell a server to stop, and assert that all of it does."""
    assert process.pid in family(folder)
    end = time.monotonic() + SECONDS
    process.send_signal(signal.SIGTERM)
    process.wait(SECONDS)
    while left := family(folder):  # a worker notices that it is alone
        assert time.monotonic() < end, left
        time.sleep(0.1)
    assert not list(folder.glob("*alignmamba-*"))


def test_while_models_are_loading(serving):
    process, _port, temporary = serving
    stop(process, temporary)


def test_with_an_open_screen(serving):
    """A browser's connection stays open until the server closes it."""
    process, port, temporary = serving
    with socket.create_connection(("127.0.0.1", port), timeout=60) as screen:
        screen.sendall(
            f"GET /_stcore/stream HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n"
            "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert screen.recv(12) == b"HTTP/1.1 101"
        stop(process, temporary)


def test_with_an_analysis_under_way(serving):
    """The client is told, and nothing of its clip stays."""
    process, port, temporary = serving
    body = form(file=LONG)
    with contextlib.ExitStack() as stack:
        for _ in range(CLIENTS):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS))
            client.sendall(head(f"content-length: {len(body)}") + body)
        end = time.monotonic() + WAIT_SECONDS
        while not list(temporary.glob("alignmamba-*/clip.bin")):
            assert time.monotonic() < end
            time.sleep(0.05)
        stop(process, temporary)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    top, _, content = answer.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after:" in top.lower()
    assert json.loads(content)["error"]["why"] == "The server is being stopped."


def test_a_stop_waits_for_models_that_load_and_is_quiet(monkeypatch, caplog):
    """As an import of torch, which fails once Python shuts down."""
    unwanted, failed = threading.Event(), []
    monkeypatch.setattr(model, "_unwanted", unwanted)
    monkeypatch.setattr(threading, "excepthook", failed.append)

    def models():
        unwanted.wait()
        time.sleep(0.3)
        raise RuntimeError("operator does not exist")

    thread = threading.Thread(target=model._load, args=(models,), daemon=True)
    monkeypatch.setattr(model, "_warming", [thread])
    thread.start()
    with caplog.at_level(logging.INFO):
        model.end_warm_up()
    assert not thread.is_alive() and failed == [] and "the server stops: RuntimeError" in caplog.text


def test_a_stop_does_not_wait_for_ever(monkeypatch):
    never = threading.Event()
    thread = threading.Thread(target=never.wait, daemon=True)
    monkeypatch.setattr(model, "_unwanted", threading.Event())
    monkeypatch.setattr(model, "_warming", [thread])
    monkeypatch.setattr(model, "LAST_SECONDS", 0.1)
    thread.start()
    model.end_warm_up()
    assert thread.is_alive()
    never.set()


def test_an_error_nobody_foresaw_is_not_hidden_while_models_are_wanted(monkeypatch):
    monkeypatch.setattr(model, "_unwanted", threading.Event())

    def models():
        raise RuntimeError("operator does not exist")

    with pytest.raises(RuntimeError):
        model._load(models)
