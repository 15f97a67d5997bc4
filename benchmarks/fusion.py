"""Time, memory and arithmetic of whole models against the sequence length.

`python -m benchmarks.fusion` writes results/fusion-<device>.json. All models have the same width and depth, one or 16
clips of random features per forward pass, no gradients. AlignMamba leaves its MMD out, which only the loss needs. The
Transformers are run with SDPA and, as in the paper's comparison, with attention weights that are stored. Times of one
length are taken in turns in one process; memory is the growth of a fresh process's peak during one pass (on a GPU that
of `max_memory_allocated`, which needs no process of its own), weights and inputs not counted.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from alignmamba.batch import PaddedSteps
from alignmamba.config import ModelConfig
from alignmamba.modality import MODALITIES, Modality
from alignmamba.modeling import mamba
from alignmamba.modeling.alignmamba2 import AlignMamba2
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.selective_scan import FORCE_VARIABLE, choose_backend
from training.baselines.streams import STREAMS
from training.reporting.efficiency import STORED, ratios_table
from training.reporting.result_files import ROOT, write

WIDTH, ENCODER_LAYERS, FUSION_LAYERS = 128, 1, 3
FEATURE_DIM = 64  # columns of every modality
LENGTHS = (50, 128, 512, 1500, 2133, 4096)  # steps per modality; 2133 are the paper's 6.4k tokens
BATCH = 16  # clips of the second series
BATCH_LENGTHS = {"cpu": (50, 128, 512), "cuda": LENGTHS}  # beyond, a CPU takes minutes for a pass
LONG = 66_667  # steps per modality: 200,001 tokens, AlignMamba only
SLOW_SECONDS = 3.0  # passes longer than this are timed fewer times
QUICK_SECONDS = 0.05  # where all passes are shorter, rounds are cheap and noise is large: QUICK_ROUNDS for each
QUICK_ROUNDS = 10
SCAN_FLOP = 9  # per step, channel and state: the count used by Mamba's authors
TRANSFORMERS = tuple(name for name in STREAMS if name.endswith("transformer"))
MODELS: dict[str, Callable[[ModelConfig], torch.nn.Module]] = {
    "alignmamba": AlignMamba,
    "alignmamba-2": AlignMamba2,
    **STREAMS,
    **{f"{name}{STORED}": STREAMS[name] for name in TRANSFORMERS},
}


def build(name: str, device: str) -> Callable[[dict[Modality, PaddedSteps]], Any]:
    """A model with random weights, ready to predict."""
    torch.manual_seed(1111)
    config = ModelConfig(
        **{f"{modality}_dim": FEATURE_DIM for modality in MODALITIES},
        width=WIDTH,
        encoder_layers=ENCODER_LAYERS,
        fusion_layers=FUSION_LAYERS,
    )
    model = MODELS[name](config).eval().requires_grad_(False).to(device)
    if name.endswith(STORED):
        return partial(_with_stored_weights, model)
    return partial(model, with_mmd=False) if isinstance(model, AlignMamba | AlignMamba2) else model


def _with_stored_weights(model: torch.nn.Module, inputs: dict[Modality, PaddedSteps]) -> Any:
    with sdpa_kernel(SDPBackend.MATH):  # the weights of all pairs of tokens at once, as they are written down
        return model(inputs)


def batch(steps: int, device: str, clips: int = 1) -> dict[Modality, PaddedSteps]:
    """Clips of random features."""
    torch.manual_seed(2222)
    return {
        modality: PaddedSteps(
            values=torch.randn(clips, steps, FEATURE_DIM),
            mask=torch.ones(clips, steps, dtype=torch.bool),
            seconds=(torch.arange(steps) / 10).repeat(clips, 1),
        ).to(device)
        for modality in MODALITIES
    }


def timed(model: Callable, inputs: dict[Modality, PaddedSteps], device: str) -> float:
    """Milliseconds of one pass."""
    begin = time.perf_counter()
    model(inputs)
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * (time.perf_counter() - begin)


@contextmanager
def counted_scans(total: list[int]) -> Iterator[None]:
    """Add every scan's operations, which torch's counter cannot see, to `total[0]` instead of scanning."""

    def counting(
        x: torch.Tensor, _dt: torch.Tensor, A: torch.Tensor, *_: Any, state: torch.Tensor | None, **__: Any
    ) -> Any:
        total[0] += SCAN_FLOP * x.numel() * A.shape[1]
        return x, x.new_zeros(len(x), *A.shape) if state is None else state  # the next piece begins with it

    with patch.object(mamba, "selective_scan", counting):
        yield


def _attention_flop(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """Two matrix products per head: scores, and weighted values."""
    clips, heads, targets, width = query
    return 2 * clips * heads * targets * key[2] * (width + value[3])


# torch's counter knows the GPU's attention kernels, not the CPU's.
CPU_ATTENTION = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop}


def gflop(model: Callable, inputs: dict[Modality, PaddedSteps]) -> float:
    """Arithmetic of one pass: matrix products and attention by torch's counter, scans by formula."""
    scans = [0]
    # The torch loop, because products inside fused kernels cannot be seen from here.
    plain = patch.dict(os.environ, {FORCE_VARIABLE: "torch"})
    with plain, FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter, counted_scans(scans):
        model(inputs)
    return (counter.get_total_flops() + scans[0]) / 1e9


def _resident_mb(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def peak_here(name: str, steps: int, device: str, clips: int = 1) -> float:
    """Megabytes by which one pass raises this process's (or the GPU's) peak; a short pass comes first."""
    model, inputs = build(name, device), batch(steps, device, clips)
    model(batch(2, device))
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        model(inputs)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = _resident_mb("VmRSS")
    model(inputs)
    return _resident_mb("VmHWM") - before


def peak_apart(name: str, steps: int, device: str, clips: int = 1) -> tuple[float | None, str]:
    """`peak_here`, on a CPU in a fresh process, and how it ended."""
    if device == "cuda":
        try:
            return peak_here(name, steps, device, clips), "ok"
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return None, "out of memory"
    command = [sys.executable, "-m", "benchmarks.fusion", "--device", device, "--peak", name, str(steps), str(clips)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), "ok"
    if done.returncode < 0 or "out of memory" in done.stderr.lower() or "can't allocate" in done.stderr:
        return None, "out of memory"
    raise RuntimeError(f"{name} at {steps} steps failed:\n{done.stderr}")


def rows_of(steps: int, names: list[str], device: str, rounds: int, clips: int = 1) -> list[dict[str, Any]]:
    """Measure some models at one length, in turns; with no rounds the first pass is timed and nothing is counted."""
    inputs = batch(steps, device, clips)
    peaks = {name: peak_apart(name, steps, device, clips) for name in names}
    models = {name: build(name, device) for name in names if peaks[name][1] == "ok"}
    first = {name: timed(model, inputs, device) for name, model in models.items()}  # warms up, and finds the slow
    times: dict[str, list[float]] = {name: [] for name in models}
    quick = all(milliseconds < 1000 * QUICK_SECONDS for milliseconds in first.values())
    for turn in range(rounds * (QUICK_ROUNDS if quick else 1)):
        for name, model in models.items():
            if first[name] < 1000 * SLOW_SECONDS or turn < 3:
                times[name].append(timed(model, inputs, device))
    rows = []
    for name in names:
        peak, status = peaks[name]
        measured = {"model": name, "batch": clips, "tokens": len(MODALITIES) * steps}
        measured |= {"time_ms": None, "peak_mb": peak, "gflop": None, "scan": choose_backend(device)}
        if name in models:
            measured["time_ms"] = round(statistics.median(times[name] or [first[name]]), 2)
            measured["peak_mb"] = round(peak, 1)
            if rounds:
                measured["gflop"] = round(gflop(models[name], inputs), 2)
        rows.append({**measured, "status": status})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--rounds", type=int, default=9, help="timed passes per model and length")
    parser.add_argument("--long", type=int, default=LONG, help="steps of AlignMamba's longest pass; 0 for none")
    parser.add_argument("--folder", type=Path, help="where the result file goes")
    parser.add_argument("--peak", nargs=3, metavar=("MODEL", "STEPS", "CLIPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with torch.no_grad():
        if arguments.peak:
            name, steps, clips = arguments.peak
            print(peak_here(name, int(steps), arguments.device, int(clips)))
            return
        rows = []
        for clips, lengths in ((1, LENGTHS), (BATCH, BATCH_LENGTHS[arguments.device])):
            for steps in lengths:
                rows += rows_of(steps, list(MODELS), arguments.device, arguments.rounds, clips)
        print(ratios_table({"rows": rows}))
        command = f"python -m benchmarks.fusion --device {arguments.device}"
        print(
            write("fusion", command, rows, device=arguments.device, folder=arguments.folder)
        )  # the long pass may not end well
        if arguments.long:
            rows += rows_of(arguments.long, ["alignmamba"], arguments.device, 0)
            print(write("fusion", command, rows, device=arguments.device, folder=arguments.folder))


if __name__ == "__main__":
    main()
