"""Time, memory and error of every selective scan at hand: `python -m benchmarks.scan`.

All implementations run in turn on the same inputs, round after round, so that a busy machine slows all of them alike;
medians are kept. Baselines: mambapy, which tests/requirements.txt brings, and mamba-ssm's `selective_scan_ref`, which
imports only where its CUDA kernel was built (alignmamba/ops/requirements.txt).
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from alignmamba.ops.selective_scan import (
    BACKENDS,
    FORCE_VARIABLE,
    BackendError,
    backend_name,
    choose_backend,
    selective_scan,
)
from training.reporting import result_files

BATCHES = (1, 16)
LENGTHS = (512, 1500, 6000)
LARGEST = 16 * 1500  # steps in all; beyond, mambapy's backward needs over 10 GB
D_INNER = 256
D_STATE = 16
ROUNDS = 9
# Seconds after which an implementation starts no further round at a shape.
BUDGET = {"cpu": 20.0, "cuda": 3.0}
BASELINES = ("mambapy", "selective_scan_ref")

Scan = Callable[..., Tensor]


def main() -> None:
    """Measure all shapes, print a table, write `results/scan-<device>.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--peak", nargs=4, metavar=("IMPLEMENTATION", "BATCH", "LENGTH", "DIRECTION"))
    arguments = parser.parse_args()
    if arguments.peak:
        implementation, batch, length, direction = arguments.peak
        print(peak_mb(implementation, int(batch), int(length), direction, arguments.device))
        return
    rows = []
    for batch, length in product(BATCHES, LENGTHS):
        if batch * length <= LARGEST:
            rows += measure(batch, length, arguments.device)
    command = f"python -m benchmarks.scan --device {arguments.device}"
    print(result_files.write("scan", command, rows, device=arguments.device, seeds=[0], folder=arguments.folder))


def measure(batch: int, length: int, device: str, *, peaks: bool = True) -> list[dict[str, Any]]:
    """Measure all implementations at one shape; those that cannot run get a row with the reason."""
    inputs = make_inputs(batch, length, device)
    oracle = call("reference", [tensor.double() for tensor in inputs])
    runs, rows = {}, []
    for name in (*BACKENDS, *BASELINES):
        row = {
            "implementation": name, "batch": batch, "length": length, "d_inner": D_INNER, "d_state": D_STATE,
            "forward_ms": None, "forward_backward_ms": None, "peak_mb": None, "forward_backward_peak_mb": None,
            "max_abs_error": None, "rounds": 0, "threads": torch.get_num_threads(), "status": "ok",
        }  # fmt: skip
        rows.append(row)
        try:
            differentiate(name, make_inputs(1, 40, device))  # warms up: builds, starts threads
            row["max_abs_error"] = (call(name, inputs) - oracle).abs().max().item()
        except (ImportError, BackendError) as reason:
            row["status"] = f"not run: {reason}"
            continue
        runs[name] = row, [], []
    interleave(runs, inputs, budget=BUDGET[device])
    for name, (row, forward, both) in runs.items():
        row |= {"forward_ms": 1e3 * median(forward), "forward_backward_ms": 1e3 * median(both), "rounds": len(both)}
        if peaks:
            # torch counts what is held on a GPU; what a process holds on a CPU another implementation may have grown.
            peak = peak_mb if device == "cuda" else peak_of_a_process
            row["peak_mb"] = peak(name, batch, length, "forward", device)
            row["forward_backward_peak_mb"] = peak(name, batch, length, "both", device)
    show(rows, device)
    return rows


def interleave(
    runs: dict[str, tuple[dict[str, Any], list[float], list[float]]], inputs: list[Tensor], *, budget: float
) -> None:
    """Fill in seconds of forward and of forward with backward, one of each per implementation and round."""
    for _ in range(ROUNDS):
        for name, (_, forward, both) in runs.items():
            if sum(forward) + sum(both) > budget:
                continue
            forward.append(seconds(lambda name=name: call(name, inputs)))
            both.append(seconds(lambda name=name: differentiate(name, inputs)))


def seconds(run: Callable[[], object]) -> float:
    """Wall-clock seconds of a call, work on the GPU included."""
    synchronise()
    start = time.perf_counter()
    result = run()
    synchronise()
    elapsed = time.perf_counter() - start
    del result  # freeing is not part of it
    return elapsed


def synchronise() -> None:
    """Wait for the GPU, where one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def make_inputs(batch: int, length: int, device: str) -> list[Tensor]:
    """Draw x, dt, A, B, C, D as a fresh Mamba block has them: dt log-uniform in [.001, .1], A = -1..-d_state."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    sizes = torch.rand(batch, length, D_INNER, generator=generator)
    dt = torch.exp(sizes * 4.60517 - 6.907755)  # log(.1 / .001), log(.001)
    A = -torch.arange(1.0, D_STATE + 1).repeat(D_INNER, 1)
    weights = draw(batch, length, D_STATE), draw(batch, length, D_STATE)
    return [tensor.to(device) for tensor in (draw(batch, length, D_INNER), dt, A, *weights, torch.ones(D_INNER))]


@torch.no_grad()
def call(name: str, inputs: list[Tensor]) -> Tensor:
    """Run an implementation forward: y."""
    with implementation(name, inputs[0].device) as scan:
        return scan(*inputs)


def differentiate(name: str, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Run an implementation forward and backward: the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    with implementation(name, inputs[0].device) as scan:
        y = scan(*leaves)
        return torch.autograd.grad(y, leaves, torch.ones_like(y))


@contextmanager
def implementation(name: str, device: torch.device) -> Iterator[Scan]:
    """Give a function of (x, dt, A, B, C, D) that returns y.

    Raises:
        ImportError: If a baseline is not installed.
        BackendError: If a backend cannot run on the device.
    """
    if name == "mambapy":
        block = importlib.import_module("mambapy.mamba").MambaBlock
        yield lambda *inputs: block.selective_scan(None, *inputs)  # a method that uses nothing of its object
    elif name == "selective_scan_ref":
        reference = importlib.import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_ref
        yield lambda x, dt, A, B, C, D: reference(x.mT, dt.mT, A, B.mT, C.mT, D).mT
    else:
        before = os.environ.get(FORCE_VARIABLE)
        os.environ[FORCE_VARIABLE] = name
        try:
            choose_backend(device)
            yield lambda *inputs: selective_scan(*inputs)[0]
        finally:
            os.environ.pop(FORCE_VARIABLE)
            if before is not None:
                os.environ[FORCE_VARIABLE] = before


def peak_of_a_process(name: str, batch: int, length: int, direction: str, device: str) -> float | None:
    """`peak_mb` in a process of its own, whose heap no other implementation has grown."""
    command = [sys.executable, "-m", "benchmarks.scan", "--device", device]
    command += ["--peak", name, str(batch), str(length), direction]
    done = subprocess.run(command, cwd=result_files.ROOT, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        print(f"{name}, {direction}: no peak: {(done.stderr.strip().splitlines() or [f'exit {done.returncode}'])[-1]}")
        return None
    printed = done.stdout.split()[-1]
    return None if printed == "None" else round(float(printed), 2)


def peak_mb(name: str, batch: int, length: int, direction: str, device: str) -> float | None:
    """Megabytes (1e6 bytes) above what was held before, at the highest point of one scan; None off Linux and GPU."""
    run = {"forward": call, "both": differentiate}[direction]
    run(name, make_inputs(1, 40, device))
    inputs = make_inputs(batch, length, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run(name, inputs)
        return round((torch.cuda.max_memory_allocated() - before) / 1e6, 2)
    if not Path("/proc/self/clear_refs").exists():
        return None
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = high_water_mb()
    run(name, inputs)
    return high_water_mb() - before


def high_water_mb() -> float:
    """Peak resident memory of this process since the mark was set."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("/proc/self/status: no VmHWM, expected it on Linux")


def show(rows: list[dict[str, Any]], device: str) -> None:
    """Print a shape's rows, with times relative to mambapy's where it ran."""
    first = rows[0]
    print(
        f"\nbatch {first['batch']}, length {first['length']}, "
        f"{result_files.device_name(device)}, {backend_name(device)}"
    )
    baseline = next((row for row in rows if row["implementation"] == "mambapy" and row["status"] == "ok"), None)
    for row in rows:
        if row["status"] != "ok":
            print(f"  {row['implementation']:20} {row['status']}")
            continue
        line = f"  {row['implementation']:20} {row['forward_ms']:9.1f} {row['forward_backward_ms']:9.1f} ms"
        if baseline is not None:
            ratios = (baseline[key] / row[key] for key in ("forward_ms", "forward_backward_ms"))
            line += "  mambapy x " + " / ".join(f"{ratio:.1f}" for ratio in ratios)
        print(line + f"  error {row['max_abs_error']:.1e}  MB {row['peak_mb']} / {row['forward_backward_peak_mb']}")


if __name__ == "__main__":
    main()
