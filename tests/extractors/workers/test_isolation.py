"""Worker processes have no network, by each of the ways."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from extractors.workers import isolation
from extractors.workers.process import Process

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


ON_GPU = """
from extractors.workers import isolation
isolation.leave_network()
import torch
from extractors.language import asr
print(torch.ones(2, device="cuda").sum().item(), asr.load().device)
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpu_stays():
    done = subprocess.run([sys.executable, "-c", ON_GPU], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.split() == ["2.0", "cuda"], done.stderr


def test_elsewhere_proxies_lead_nowhere(monkeypatch):
    monkeypatch.setattr(isolation.sys, "platform", "other")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.setenv(name, "http://proxy.example")
        monkeypatch.setenv(name.upper(), "http://proxy.example")
    assert isolation.leave_network() == ("proxies",)
    import urllib.request

    with pytest.raises(OSError, match="refused"):
        urllib.request.build_opener().open("http://localhost/", timeout=5)
