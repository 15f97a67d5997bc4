"""What a worker process writes to its standard error."""

import os

import pytest

from extractors.workers.process import LINE_BYTES, _forward

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
