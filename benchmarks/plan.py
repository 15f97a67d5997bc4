"""Time of the exact plan search with and without the bound that its time term gives: `python -m benchmarks.plan`.

Two streams of random steps at ten a second, an hour or two of audio and video. Both searches run in turns, round after
round, in one process; the plans must be the same. CPU seconds count where other work shares the machine.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import torch

from alignmamba.modality import MODALITIES
from alignmamba.modeling import transport
from alignmamba.modeling.transport import IndexPlan
from training.reporting import result_files

STEPS = (4_096, 16_384, 66_667)  # of each modality; the last are 200,001 tokens
WIDTH = 128
RATE = 10  # steps a second
TIME_WEIGHT = 0.5  # of the shipped checkpoint
ROUNDS = 3


def search(source: torch.Tensor, target: torch.Tensor, *, bounded: bool) -> tuple[IndexPlan, float, float]:
    """The plan, and the wall-clock and CPU seconds that it took."""
    mask = torch.ones(source.shape[:2], dtype=torch.bool)
    seconds = torch.arange(source.shape[1])[None] / RATE
    unbounded = patch.object(transport, "_reach", lambda *_, **__: None)
    begin, cpu = time.perf_counter(), time.process_time()
    if bounded:
        plan = _plan(source, target, mask, seconds)
    else:
        with unbounded:
            plan = _plan(source, target, mask, seconds)
    return plan, time.perf_counter() - begin, time.process_time() - cpu


def _plan(source: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, seconds: torch.Tensor) -> IndexPlan:
    times = {"source_seconds": seconds, "target_seconds": seconds}
    return transport.relaxed_plan(source, target, mask, mask, time_weight=TIME_WEIGHT, **times)


def measure(steps: int, *, rounds: int) -> list[dict[str, Any]]:
    """Both searches at one length.

    Raises:
        ArithmeticError: If they find different plans.
    """
    torch.manual_seed(0)
    source, target = torch.randn(1, steps, WIDTH), torch.randn(1, steps, WIDTH)
    walls: dict[bool, list[float]] = {True: [], False: []}
    cpus: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        plans = {}
        for bounded in (True, False):
            plans[bounded], wall, cpu = search(source, target, bounded=bounded)
            walls[bounded].append(wall)
            cpus[bounded].append(cpu)
        if not torch.equal(plans[True].chosen, plans[False].chosen):
            raise ArithmeticError(f"{steps} steps: the bounded search has found another plan")
    return [
        {
            "search": "within reach" if bounded else "all targets",
            "steps": steps,
            "tokens": len(MODALITIES) * steps,
            "time_weight": TIME_WEIGHT,
            "width": WIDTH,
            "time_s": round(median(walls[bounded]), 3),
            "cpu_s": round(median(cpus[bounded]), 3),
            "rounds": rounds,
            "threads": torch.get_num_threads(),
            "same_plan": True,
        }
        for bounded in (True, False)
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS), help="of each modality")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--folder", type=Path, default=result_files.RESULTS)
    arguments = parser.parse_args()
    transport.relaxed_plan(*[torch.randn(1, 4, WIDTH)] * 2, *[torch.ones(1, 4, dtype=torch.bool)] * 2)  # builds kernels
    rows = [row for steps in arguments.steps for row in measure(steps, rounds=arguments.rounds)]
    for row in rows:
        print(row)
    rounds = "" if arguments.rounds == ROUNDS else f" --rounds {arguments.rounds}"
    command = f"python -m benchmarks.plan{rounds}"
    print(result_files.write("plan", command, rows, device="cpu", seeds=[0], folder=arguments.folder))


if __name__ == "__main__":
    main()
