"""Worker processes have no network, by each of the ways."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from extractors.language import asr, speech_states
from extractors.media.audio import decode_audio
from extractors.workers import isolation
from extractors.workers.process import Process
from tests.paths import SAMPLES

TRY = """
import os, socket, sys
from extractors.workers import isolation

for name in filter(None, sys.argv[2].split(",")):
    setattr(isolation, name, lambda: False)
before = os.geteuid(), os.getegid()
print(*isolation.leave_network())
assert before == (os.geteuid(), os.getegid())
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5)
except OSError as error:
    print("refused")
"""


CORE_LINE = "Max core file size"


def core_limit(pid: int) -> str:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.removeprefix(CORE_LINE).split()[0] for line in lines if line.startswith(CORE_LINE))


@pytest.mark.skipif(sys.platform != "linux", reason="limits are read in /proc")
def test_a_crash_leaves_no_image_of_a_clip_on_the_disk():
    import resource

    before = resource.getrlimit(resource.RLIMIT_CORE)
    if before[1] == 0:
        pytest.skip("no process here may write one")
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        worker = Process()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    try:
        deadline = time.monotonic() + 120
        while core_limit(worker.pid) != "0" and worker.alive and time.monotonic() < deadline:
            time.sleep(0.05)
        assert core_limit(worker.pid) == "0"
    finally:
        worker.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are only proxies")
@pytest.mark.parametrize("left_out", ["", "_enter_empty_namespace", "_filter_sockets"])
def test_no_connection_can_be_made(left_out):
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [sys.executable, "-c", TRY, str(server.getsockname()[1]), left_out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    methods, *refused = done.stdout.splitlines()
    if methods == "proxies":
        pytest.skip("this kernel allows no namespace")
    assert refused == ["refused"]
    assert ("filter" in methods) == (left_out != "_filter_sockets")


LOCALLY = """
import os, socket, sys
from extractors.workers import isolation

isolation._enter_empty_namespace = lambda: False
isolation.leave_network()


def answer(what):
    try:
        return what()
    except OSError as error:
        return type(error).__name__


def send_unconnected():
    ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.sendto(b"x", sys.argv[1])


def listen():
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.bind("\\0alignmamba-test-%d" % os.getpid())
    ours.listen()
    return "listens"


def talk():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.sendall(b"talks")
    return theirs.recv(5).decode()


print(answer(lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"x", sys.argv[1])))
print(answer(send_unconnected))
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    print(answer(lambda: socket.socket(socket.AF_UNIX, kind).connect(sys.argv[1] + kind.name)))
print(answer(listen), answer(talk))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are only proxies")
def test_no_process_of_this_machine_is_reached_and_what_cuda_needs_works(tmp_path):
    """A local socket reaches a log or a bus, which no network namespace keeps off."""
    address = str(tmp_path / "local")
    with contextlib.ExitStack() as stack:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            ours = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            ours.bind(address + (kind.name if kind != socket.SOCK_DGRAM else ""))
            if kind == socket.SOCK_DGRAM:
                ours.setblocking(False)
                datagrams = ours
            else:
                ours.listen()
        command = [sys.executable, "-c", LOCALLY, address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        with pytest.raises(BlockingIOError):
            datagrams.recv(1)
    assert done.stdout.splitlines() == ["PermissionError"] * 4 + ["listens talks"]


ON_GPU = """
import sys
from pathlib import Path
from extractors.workers import isolation
isolation.leave_network()
import numpy as np
import torch
from extractors.language import asr, speech_states
from extractors.media.audio import decode_audio
print(torch.ones(2, device="cuda").sum().item(), asr.load().device)
np.save(sys.argv[2], speech_states.mean_state(decode_audio(Path(sys.argv[1])).samples))
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_stays(tmp_path, monkeypatch):
    """PyTorch and the recogniser find it, and what the recogniser's encoder leaves there is what a CPU finds."""
    sample, states = SAMPLES / "positive.webm", tmp_path / "states.npy"
    command = [sys.executable, "-c", ON_GPU, str(sample), str(states)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["2.0", "cuda"], done.stderr
    monkeypatch.setattr(asr, "devices", lambda: [("cpu", "float32")])
    asr._load.cache_clear()
    try:
        expected = speech_states.mean_state(decode_audio(sample).samples)
    finally:
        asr._load.cache_clear()
    assert np.linalg.norm(np.load(states) - expected) < 0.01 * np.linalg.norm(expected)


def test_elsewhere_proxies_lead_nowhere(monkeypatch):
    monkeypatch.setattr(isolation.sys, "platform", "other")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.setenv(name, "http://proxy.example")
        monkeypatch.setenv(name.upper(), "http://proxy.example")
    assert isolation.leave_network() == ("proxies",)
    import urllib.request

    with pytest.raises(OSError, match="refused"):
        urllib.request.build_opener().open("http://localhost/", timeout=5)
