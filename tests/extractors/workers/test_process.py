"""What a worker process writes to its standard error, and the memory that counts as its own."""

import mmap
import os
import sys
from pathlib import Path

import pytest
import torch

from extractors.workers.process import LINE_BYTES, _forward, _own_bytes

WRITE = os.write
UNALIGNED = b"W0000 00:00:1795806415.446407 602 inference_runner_litert.cc:1418] Input tensor memory is not aligned\n"


@pytest.fixture
def stream():
    """Yield a function that gives bytes to `_forward` as a process's log."""

    def forward(written):
        read, write = os.pipe()
        os.write(write, written)
        os.close(write)
        _forward(os.fdopen(read, "rb"))

    return forward


def test_mediapipes_usual_lines_are_left_out_of_the_log(stream, capfd):
    stream(b"first\n" + UNALIGNED + b"second\n" + UNALIGNED + b"without an end")
    assert capfd.readouterr().err == "first\nsecond\nwithout an end"


def test_bytes_of_any_kind_and_length_pass(stream, capfdbinary):
    log = b"\xff\x00" * LINE_BYTES + b"\n"
    stream(log)
    assert capfdbinary.readouterr().err == log


def test_a_closed_standard_error_keeps_no_process_waiting(stream, monkeypatch):
    refused = []

    def write(number, line):
        if number != 2:
            return WRITE(number, line)
        refused.append(line)
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        stream(b"first\nsecond\n")
    assert refused == [b"first\n", b"second\n"]


LIBRARY = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
SIZE = 100_000_000  # bytes, of which one in each page is touched


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read in /proc")
@pytest.mark.parametrize("kind, share", [("private", 1), ("shared", 1), ("library", 0)])
def test_pages_of_files_are_not_a_process_own(kind, share):
    """A library that is mapped is no cost of a clip; what a clip can fill is."""
    before = _own_bytes(os.getpid())
    if kind == "library":
        with LIBRARY.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)
        assert sum(mapped[at] for at in range(0, SIZE, mmap.PAGESIZE))
    else:
        mapped = mmap.mmap(-1, SIZE, flags={"private": mmap.MAP_PRIVATE, "shared": mmap.MAP_SHARED}[kind])
        for at in range(0, SIZE, mmap.PAGESIZE):
            mapped[at] = 1
    grown = _own_bytes(os.getpid()) - before
    mapped.close()
    assert before > 0
    assert grown / SIZE == pytest.approx(share, abs=0.1)


def test_a_process_that_has_ended_has_no_memory():
    assert _own_bytes(2**30) == 0
