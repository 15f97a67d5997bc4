"""The scan benchmark runs every implementation and reports what is missing."""

import os

import torch

from alignmamba.ops.selective_scan import BACKENDS
from benchmarks import scan


def test_every_implementation_has_a_row(monkeypatch):
    monkeypatch.setattr(scan, "ROUNDS", 1)
    monkeypatch.setenv("ALIGNMAMBA_SCAN", "torch")
    rows = {row["implementation"]: row for row in scan.measure(1, 40, "cpu", peaks=False)}
    assert rows.keys() == {*BACKENDS, *scan.BASELINES}
    for row in rows.values():
        assert row["status"] == "ok" or row["status"].startswith("not run: ")
        assert (row["forward_ms"] is None) == (row["status"] != "ok")
        if row["status"] == "ok":
            assert row["max_abs_error"] < 1e-4
            assert min(row["forward_ms"], row["forward_backward_ms"]) > 0
    assert rows["torch"]["status"] == rows["reference"]["status"] == "ok"
    assert rows["cuda"]["status"].endswith("runs on NVIDIA GPUs only")
    assert os.environ["ALIGNMAMBA_SCAN"] == "torch"  # as it was


def test_peak_counts_what_a_scan_holds():
    megabytes = scan.peak_of_a_process("torch", 4, 512, "both", "cpu")
    inputs = 4 * 512 * scan.D_INNER * torch.float32.itemsize / 1e6
    if megabytes is not None:  # Linux
        assert megabytes > 2 * inputs  # y and the gradients of x and dt at least, besides small ones
