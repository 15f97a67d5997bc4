"""Nothing is sent to anybody: app, command line and corpus under a trace of their network calls."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.server import running
from tests.app.api.test_endpoints import ask, form
from tests.paths import ROOT

SAMPLE = ROOT / "app" / "samples" / "positive.webm"
TRACE_SECONDS = 300
# As strace writes them: connect(3, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.2")}, 16) = ...
ADDRESS = re.compile(r'(?:inet_addr\("([^"]+)"\)|AF_INET6, "([^"]+)")')
PORT = re.compile(r"sin6?_port=htons\((\d+)\)")
CALL = re.compile(r"\b(connect|sendto|sendmsg|sendmmsg)\(")
NAME_SERVICE = re.compile(r'sun_path=@?"[^"]*(nscd|resolve|lookup)')
DNS = 53

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace on this machine")


@pytest.fixture(autouse=True)
def known_user(monkeypatch):
    """PyTorch asks for the user's name, which nscd is asked for as for a host's, unless the environment has it."""
    monkeypatch.setenv("USER", "someone")


def traced(log: Path) -> list[str]:
    return ["strace", "-D", "-f", "--seccomp-bpf", "-s", "200", "-e", "trace=network", "-o", str(log)]


def contacts(log: Path) -> list[str]:
    """Traced calls that name another machine, or a service that looks up names."""
    found = []
    for line in log.read_text(errors="replace").splitlines():
        if not CALL.search(line):
            continue
        hosts = [first or second for first, second in ADDRESS.findall(line)]
        away = any(not (host.startswith(("127.", "::ffff:127.")) or host in ("::1", "::")) for host in hosts)
        if away or str(DNS) in PORT.findall(line) or NAME_SERVICE.search(line):
            found.append(line)
    return found


def test_the_trace_sees_what_it_should(tmp_path):
    log = tmp_path / "trace"
    code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect(('192.0.2.1', 53))"
    subprocess.run([*traced(log), sys.executable, "-c", code], timeout=60, check=True)
    assert len(contacts(log)) == 1


@pytest.mark.parametrize("what", ["command", "corpus"])
def test_a_command_asks_nobody(what, tmp_path):
    clips, log = tmp_path / "clips", tmp_path / "trace"
    clips.mkdir()
    shutil.copy(SAMPLE, clips)
    arguments = {
        "command": ["extractors", str(SAMPLE)],
        "corpus": ["extractors.corpus", str(clips), "--out", str(tmp_path / "out"), "--workers", "1"],
    }[what]
    command = [*traced(log), sys.executable, "-m", *arguments]
    subprocess.run(command, cwd=ROOT, timeout=TRACE_SECONDS, check=True, capture_output=True)
    assert "exited with 0" in log.read_text()
    assert contacts(log) == []


def test_the_app_asks_nobody(tmp_path):
    """Start on all addresses, the screen in a session, an analysis with every model, and shut-down."""
    log = tmp_path / "trace"
    with running(tmp_path / "server.log", address="0.0.0.0", under=traced(log)) as port:
        assert ask(port, body=form(file=SAMPLE.read_bytes(), name=SAMPLE.name))[0] == 200
        assert ask(port, "GET", "/")[0] == 200
    assert "exited with" in log.read_text()
    assert contacts(log) == []
