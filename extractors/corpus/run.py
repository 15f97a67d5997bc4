"""Features of many clips: `python -m extractors.corpus DIR|list.csv --out DIR [--shard i/n] [--workers k]`.

A run may be killed at any moment; the same command goes on where it stopped. `extractors.corpus.output` says what the
output folder holds. Every clip is held to `extractors.media.container.LIMITS`, which no option changes: a longer or
larger one is a failure with its reason.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from extractors.corpus.items import Item, ItemsError, Shard, find
from extractors.corpus.outcome import CLIP_SECONDS, Outcome, Task, clip_budget, extract_clip
from extractors.corpus.output import Output
from extractors.language.text_encoder import ENCODER
from extractors.media.probe import LIMITS
from extractors.schema import FEATURE_SETS
from extractors.storage.scratch import sweep
from extractors.workers.errors import WorkerError
from extractors.workers.pool import Pool

DESCRIPTION = "Extract features of many clips; may be killed and started again at any moment."
MAX_REASONS = 10  # that the summary lists

Outcomes = Callable[[list[Task]], Generator[tuple[str, Outcome], None, None]]
"""Does tasks and yields (id, outcome), in any order."""


class CorpusError(RuntimeError):
    """The run cannot go on, and no clip is to blame."""


@dataclass
class Summary:
    """Counts of a run's clips by what became of them.

    Attributes:
        clips: Clips in this shard.
        done: Extracted now.
        there: Skipped, because their features were there.
        failed_before: Skipped, because they had failed.
        failed: Failed now, counted by reason.
        media_seconds: Length of what was extracted now.
        wall_seconds: Time the run took.
    """

    clips: int
    done: int = 0
    there: int = 0
    failed_before: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    media_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __str__(self) -> str:
        """Return a table for the terminal."""
        factor = f"{self.media_seconds / self.wall_seconds:.2f} x real time" if self.media_seconds else "-"
        rows = [
            ("clips", f"{self.clips}"),
            ("done", f"{self.done}"),
            ("already there", f"{self.there}"),
            ("failed before", f"{self.failed_before}" + " (--retry-failed tries again)" * bool(self.failed_before)),
            ("failed", f"{self.failed.total()}"),
            *(("", f"{count} x {reason}") for reason, count in self.failed.most_common(MAX_REASONS)),
            ("extracted", f"{self.media_seconds:.1f} s of clips"),
            ("took", f"{self.wall_seconds:.1f} s"),
            ("speed", factor),
        ]
        if len(self.failed) > MAX_REASONS:
            rows.append(("", f"{len(self.failed) - MAX_REASONS} more reasons: see failures.jsonl"))
        return "\n".join(f"{name:<14} {value}" for name, value in rows)


def run(
    items: Sequence[Item], output: Output, outcomes: Outcomes, *, shard: Shard | None = None, retry_failed: bool = False
) -> Summary:
    """Extract what is not there yet.

    Args:
        items: All clips of the corpus.
        output: Where features and failures go.
        outcomes: Does the work: `in_processes`, or Ray.
        shard: Part of the corpus that is this run's; all of it if not given.
        retry_failed: Whether to try again what has failed before.

    Returns:
        What was done.

    Raises:
        CorpusError: If the run cannot go on; what is done stays done.
        WorkerError: If no worker process can be started.
    """
    begin = time.monotonic()
    shard = shard or Shard()
    ours = {item.id: item for item in items if shard.holds(item)}
    output.clean(list(ours.values()), shard)
    summary = Summary(clips=len(ours))
    pending = []
    with logging_redirect_tqdm(), tqdm(total=len(ours), unit="clip", disable=None) as bar:
        for item in ours.values():
            state = output.state(item)
            if state == "done":
                output.forget_failure(item)
                summary.there += 1
            elif state == "failed" and not retry_failed:
                summary.failed_before += 1
            else:
                output.forget_features(item)
                pending.append(output.task(item))
        bar.update(len(ours) - len(pending))
        with closing(outcomes(pending)) as stream:  # whatever ends the loop ends the workers
            for name, outcome in stream:
                _record(ours[name], outcome, output, summary)
                bar.set_postfix(failed=summary.failed.total(), refresh=False)
                bar.update()
    output.clean(list(ours.values()), shard)
    output.merge()
    summary.wall_seconds = time.monotonic() - begin
    return summary


def in_processes(workers: int, *, seconds: float) -> Outcomes:
    """Return a way to do tasks in worker processes of this machine, which share its processors.

    Args:
        workers: How many at once.
        seconds: Wall-clock time that each clip may take.
    """
    budget = clip_budget(seconds)

    def outcomes(tasks: list[Task]) -> Generator[tuple[str, Outcome], None, None]:
        if not tasks:
            return
        size = min(workers, len(tasks))
        pool = Pool(size, threads=max(1, (os.cpu_count() or 1) // size))
        cancel = threading.Event()
        with ThreadPoolExecutor(size) as executor:  # each thread waits for a process
            try:
                jobs = {
                    executor.submit(extract_clip, task, pool=pool, budget=budget, cancel=cancel): task["id"]
                    for task in tasks
                }
                for job in as_completed(jobs):
                    yield jobs[job], job.result()
            finally:
                cancel.set()
                executor.shutdown(wait=False, cancel_futures=True)
                pool.close()

    return outcomes


def _record(item: Item, outcome: Outcome, output: Output, summary: Summary) -> None:
    if outcome["status"] == "fatal":
        raise CorpusError(outcome["reason"])
    if outcome["status"] == "done":
        output.forget_failure(item)
        summary.done += 1
        summary.media_seconds += outcome["seconds"]
    else:
        output.add_failure(item, outcome)
        summary.failed[outcome["reason"]] += 1


def parser(prog: str) -> argparse.ArgumentParser:
    """Return the options that all ways to extract a corpus share."""
    made = argparse.ArgumentParser(prog=prog, description=DESCRIPTION)
    made.add_argument("source", type=Path, help="a folder of clips, or a CSV file with columns video[,transcript]")
    made.add_argument("--out", type=Path, required=True, help="folder for the features; the same one to go on")
    made.add_argument("--shard", default="1/1", help="i/n: only the i-th of n parts, i from 1")
    made.add_argument("--workers", type=_positive(int), default=1, help="clips at once (default 1)")
    made.add_argument("--timeout", type=_positive(float), default=CLIP_SECONDS, help="seconds a clip may take")
    made.add_argument("--encoder", default=ENCODER, help="of the text: a checkpoint's encoder/ folder, or a name")
    made.add_argument("--features", choices=FEATURE_SETS, default="steps", help="columns of audio and video")
    made.add_argument("--retry-failed", action="store_true", help="try again what has failed before")
    return made


def start(arguments: argparse.Namespace, outcomes: Outcomes) -> int:
    """Do what a command line asks for and print the summary.

    Returns:
        0 when every clip was dealt with, 1 if the run could not start or go on, 130 if interrupted.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    sweep()
    try:
        shard = Shard.parse(arguments.shard)
        items = find(arguments.source)
        output = Output(arguments.out, limits=LIMITS, encoder=arguments.encoder, feature_set=arguments.features)
        summary = run(items, output, outcomes, shard=shard, retry_failed=arguments.retry_failed)
    except (ItemsError, CorpusError, WorkerError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return 130
    print(summary)
    return 0


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text}, expected more than 0")
        return value

    return parse


def main(given: Sequence[str] | None = None, *, prog: str = "python -m extractors.corpus") -> int:
    """Extract the features of many clips.

    Args:
        given: Arguments; those of the process if not given.
        prog: Name of the command, for its help.

    Returns:
        As `start`.
    """
    arguments = parser(prog).parse_args(given)
    return start(arguments, in_processes(arguments.workers, seconds=arguments.timeout))
