"""The app as `streamlit run app/main.py` starts it, on a free port of loopback."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import psutil

from training.reporting.result_files import ROOT

SCRIPT = Path("app", "main.py")
START_SECONDS = 120.0  # a cold start loads every model on whatever else the machine is doing
STOP_SECONDS = 30.0


class Answer(NamedTuple):
    """What the HTTP interface answers: a result, or an error."""

    status: int
    document: dict[str, Any]


@contextmanager
def running(
    log: Path,
    *,
    address: str = "127.0.0.1",
    under: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    script: Path = SCRIPT,
) -> Iterator[int]:
    """Start the app, give its port, stop it; what it prints goes to `log`.

    Args:
        log: File to write.
        address: That it listens on.
        under: Program, with its arguments, that runs it in the same process.
        environment: Further variables.
        script: Another Streamlit app, to compare with.

    Raises:
        RuntimeError: If it does not start, or prints a traceback.
    """
    settings = {"address": address, "under": under, "environment": environment, "script": script}
    with running_process(log, **settings) as (_process, port):
        yield port


@contextmanager
def running_process(
    log: Path,
    *,
    address: str = "127.0.0.1",
    under: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    script: Path = SCRIPT,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Do what `running` does, and give the process as well."""
    with log.open("wb") as stream:
        server, port = start(stream, address=address, under=under, environment=environment, script=script)
        try:
            wait_until_healthy(server, port, log)
            yield server, port
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
    if "Traceback" in log.read_text():
        raise RuntimeError(f"the server failed:\n{log.read_text()}")


def start(
    stream: IO[bytes],
    *,
    address: str = "127.0.0.1",
    under: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    script: Path = SCRIPT,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the app without waiting for it; arguments as in `running`.

    Returns:
        Its process and port.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = ["--server.headless=true", f"--server.address={address}", f"--server.port={port}"]
    server = subprocess.Popen(  # noqa: S603  # fixed arguments, no shell
        [*under, sys.executable, "-m", "streamlit", "run", str(script), *flags],
        cwd=ROOT,
        stdout=stream,
        stderr=stream,
        env={**os.environ, **(environment or {})},
    )
    return server, port


def wait_until_healthy(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait for a server.

    Raises:
        RuntimeError: If it does not start.
    """
    end = time.monotonic() + START_SECONDS
    while not answers(port):
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.1)


def post(port: int, clip: bytes, *, name: str = "clip.bin", seconds: float = 600.0, **fields: str) -> Answer:
    """Send a clip to the HTTP interface.

    Args:
        port: Of the server.
        clip: A file's bytes.
        name: Of the file.
        seconds: Until the server must have answered.
        fields: Of text, as `transcript`.

    Raises:
        OSError: If there is no answer.
    """
    boundary = secrets.token_hex(16)
    parts = [f'name="{key}"\r\n\r\n'.encode() + value.encode() for key, value in fields.items()]
    parts.append(f'name="file"; filename="{name}"\r\n\r\n'.encode() + clip)
    body = b"".join(f"--{boundary}\r\ncontent-disposition: form-data; ".encode() + part + b"\r\n" for part in parts)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
        connection.request("POST", "/api/v1/analyse", body + f"--{boundary}--\r\n".encode(), headers)
        answer = connection.getresponse()
        return Answer(answer.status, json.loads(answer.read()))
    except http.client.HTTPException as error:
        raise OSError(f"the answer is cut off: {error!r}") from error
    finally:
        connection.close()


def answers(port: int) -> bool:
    """Whether a server reports that it is healthy."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:  # loopback
            return answer.status == 200
    except OSError:
        return False


def tree_mb(pid: int) -> float:
    """Resident memory of a process and of all that it has started; 0 once it has ended."""
    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6
