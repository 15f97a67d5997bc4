"""Broken clips against the decoders, in isolation, and against the whole server.

`python -m benchmarks.fuzz --n 10000 --seed 1` writes results/fuzz.json. Every broken clip is decoded to its end in a
worker process, as the app does it; `--models` of them are also sent to a running server, which extracts and predicts.
Each must end in a result or in a typed error, within the budget of a clip.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import mutants, server
from benchmarks.clip import peak_mb
from extractors.workers import client
from extractors.workers.client import BUDGET, AbortedError, MediaError, Pool
from training.reporting.result_files import write

SAVED_EVERY = 100  # clips, so that a run that is cut off leaves what it has found
NOT_TYPED = 500  # HTTP status; the server's answer to an error that nobody foresaw
BrokenClip = tuple[int, str, bytes]
TRANSCRIPT = "a fine day"  # of every other clip that is sent; speech is recognised in the others


@dataclass
class Tally:
    """What came out of the broken clips of one format.

    Attributes:
        results: Clips that were decoded to their end.
        errors: Typed errors by code.
        aborted: Clips that crashed their worker or went beyond the budget, by kind.
        untyped: Numbers of clips that met an error that nobody foresaw.
        slowest_s: Seconds of the clip that took longest.
        peak_mb: Largest memory of a worker process so far, whatever the format; of the server with its workers.
    """

    results: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    aborted: Counter[str] = field(default_factory=Counter)
    untyped: list[int] = field(default_factory=list)
    slowest_s: float = 0.0
    peak_mb: float = 0.0

    @property
    def clips(self) -> int:
        """How many there were."""
        return self.results + self.errors.total() + self.aborted.total() + len(self.untyped)

    def row(self, what: str, name: str) -> dict[str, Any]:
        """Return a row of the result file."""
        return {
            "what": what,
            "format": name,
            "clips": self.clips,
            "results": self.results,
            "errors": dict(self.errors.most_common()),
            "aborted": dict(self.aborted.most_common()),
            "untyped_numbers": self.untyped[:20],
            "untyped": len(self.untyped),
            "slowest_s": round(self.slowest_s, 2),
            "peak_mb": round(self.peak_mb),
        }


def broken_clips(numbers: Iterable[int], seed: int) -> Iterator[BrokenClip]:
    """Yield (number, format, bytes) for each number; the seed and the number alone decide the rest."""
    whole = {name: mutants.clip(name) for name in mutants.FORMATS}
    names = list(whole)
    for number in numbers:
        random = np.random.default_rng([seed, number])
        name, other = names[number % len(names)], names[int(random.integers(len(names)))]
        yield number, name, mutants.mutant(whole[name], whole[other], random)


def decode(path: Path, tally: Tally, *, number: int, pool: Pool) -> None:
    """Decode a clip in a worker process and tally how it ends."""
    begin = time.perf_counter()
    try:
        client.check(path, pool=pool)
        tally.results += 1
    except AbortedError as error:
        tally.aborted[error.kind] += 1
    except MediaError as error:
        tally.errors[error.message.code] += 1
    except Exception as error:
        print(f"clip {number}: {type(error).__name__}: {error}", flush=True)
        tally.untyped.append(number)
    tally.slowest_s = max(tally.slowest_s, time.perf_counter() - begin)
    tally.peak_mb = max([tally.peak_mb, *(_peak_mb(pid) for pid in pool.processes())])


def send(port: int, content: bytes, tally: Tally, *, number: int) -> None:
    """Have a server analyse a clip and tally how it ends; another clip's result counts as untyped."""
    begin = time.perf_counter()
    try:
        status, document = server.post(port, content, **({"transcript": TRANSCRIPT} if number % 2 else {}))
        if status == 200 and document["clip"]["sha256"] == hashlib.sha256(content).hexdigest():
            tally.results += 1
        elif status == 200 or status == NOT_TYPED:
            tally.untyped.append(number)
        else:
            tally.errors[document["error"]["code"]] += 1
    except (OSError, ValueError, KeyError) as error:
        print(f"clip {number}: {type(error).__name__}: {error}", flush=True)
        tally.untyped.append(number)
    tally.slowest_s = max(tally.slowest_s, time.perf_counter() - begin)


def run(*, n: int, models: int, seed: int, minutes: float, save: Callable[[list[dict[str, Any]]], None]) -> None:
    """Try broken clips until there are enough, or the time is up.

    Args:
        n: Clips that are decoded.
        models: Of them, how many are then sent to a server as well.
        seed: Of all clips.
        minutes: After which no other clip begins.
        save: Called with the rows, now and then and at the end.
    """
    end = time.monotonic() + 60 * minutes
    decoded, sent = {name: Tally() for name in mutants.FORMATS}, Tally()
    pool = Pool(1, threads=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.bin"
        try:
            for number, name, content in _in_time(broken_clips(range(n), seed), end):
                path.write_bytes(content)
                decode(path, decoded[name], number=number, pool=pool)
                if number % SAVED_EVERY == SAVED_EVERY - 1:
                    save(_rows(decoded, sent, 0))
        finally:
            pool.close()
        chosen = np.random.default_rng(seed).choice(n, min(models, n), replace=False).tolist()
        failures = _send_all(_in_time(broken_clips(chosen, seed), end), sent, log=Path(folder) / "log") if chosen else 0
    save(_rows(decoded, sent, failures))


def _in_time(clips: Iterable[BrokenClip], end: float) -> Iterator[BrokenClip]:
    for clip in clips:
        if time.monotonic() > end:
            return
        yield clip


def _send_all(clips: Iterable[BrokenClip], sent: Tally, *, log: Path) -> int:
    """Send clips to a server of their own; return how often it failed."""
    failures = 0
    try:
        with server.running_process(log) as (process, port):
            for number, _name, content in clips:
                send(port, content, sent, number=number)
                sent.peak_mb = max(sent.peak_mb, server.tree_mb(process.pid))
                failures += not server.answers(port)
    except RuntimeError as error:  # it did not start, or printed a traceback
        print(error, flush=True)
        failures += 1
    return failures


def _rows(decoded: dict[str, Tally], sent: Tally, failures: int) -> list[dict[str, Any]]:
    every = Tally()
    for tally in decoded.values():
        every.results += tally.results
        every.errors += tally.errors
        every.aborted += tally.aborted
        every.untyped += tally.untyped
        every.slowest_s = max(every.slowest_s, tally.slowest_s)
        every.peak_mb = max(every.peak_mb, tally.peak_mb)
    bounds = {"budget_s": BUDGET.seconds, "budget_mb": BUDGET.memory_bytes / 1e6}
    return [
        {**every.row("decoded", "all"), **bounds},
        {**sent.row("analysed by the server", "all"), "server_failures": failures},
        *(tally.row("decoded", name) for name, tally in decoded.items()),
    ]


def _peak_mb(pid: int) -> float:
    try:
        return peak_mb(pid)
    except (OSError, StopIteration):  # it has ended
        return 0.0


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Try broken clips of every format against decoders and server.")
    parser.add_argument("--n", type=int, default=10_000, help="broken clips that are decoded")
    parser.add_argument("--models", type=int, default=500, help="of them, those that a server analyses as well")
    parser.add_argument("--seed", type=int, default=1, help="of all clips")
    parser.add_argument("--minutes", type=float, default=600.0, help="after which no other clip begins")
    parser.add_argument(
        "--out", type=Path, default=None, help="folder for the result file (default: benchmarks/results)"
    )
    arguments = parser.parse_args()
    folder = {} if arguments.out is None else {"folder": arguments.out}
    command = f"python -m benchmarks.fuzz --n {arguments.n} --models {arguments.models} --seed {arguments.seed}"

    def save(rows: list[dict[str, Any]]) -> None:
        print(write("fuzz", command, rows, seeds=[arguments.seed], **folder), flush=True)

    run(n=arguments.n, models=arguments.models, seed=arguments.seed, minutes=arguments.minutes, save=save)


if __name__ == "__main__":
    main()
