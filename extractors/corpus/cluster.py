"""The corpus command on a cluster: `python -m extractors.corpus.cluster DIR|list.csv --out DIR --workers k`.

Same options, same output folder and same features as `extractors.corpus.run`, done by Ray Data's actors instead of
local processes. Clips and output must be on storage that all nodes share. First:
`pip install -r extractors/corpus/requirements.txt`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Generator

import ray

from extractors.corpus.outcome import Outcome, Task, clip_budget, extract_clip
from extractors.corpus.run import Outcomes, parser, start
from extractors.workers.pool import Pool


class Extractor:
    """An actor with a pool of one worker process, so that a crash costs one clip and not the actor.

    Args:
        seconds: Wall-clock time a clip may take.
    """

    def __init__(self, seconds: float) -> None:
        self._pool = Pool(1, threads=1)
        self._budget = clip_budget(seconds)

    def __call__(self, row: dict[str, str]) -> dict[str, str]:
        """Do the task of a row; tasks and outcomes travel as JSON, so that tables need no common columns."""
        task = json.loads(row["task"])
        return {"id": task["id"], "outcome": json.dumps(extract_clip(task, pool=self._pool, budget=self._budget))}


def on_ray(actors: int, *, seconds: float) -> Outcomes:
    """Return a way to do tasks in Ray Data's actors, one CPU each.

    Args:
        actors: How many.
        seconds: Wall-clock time that each clip may take.
    """

    def outcomes(tasks: list[Task]) -> Generator[tuple[str, Outcome], None, None]:
        if not tasks:
            return
        ray.data.DataContext.get_current().enable_progress_bars = False  # the corpus has its own
        rows = ray.data.from_items([{"task": json.dumps(task)} for task in tasks], override_num_blocks=len(tasks))
        done = rows.map(
            Extractor,
            fn_constructor_kwargs={"seconds": seconds},
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(tasks))),
            num_cpus=1,
        )
        for row in done.iter_rows():
            yield row["id"], json.loads(row["outcome"])

    return outcomes


def main() -> int:
    """Extract features of many clips on a Ray cluster; may be killed and started again at any moment."""
    options = parser("python -m extractors.corpus.cluster")
    options.description = main.__doc__
    options.add_argument("--address", help="of the cluster; a Ray of this machine's own is started if not given")
    arguments = options.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent unless the user wants it
    local = {} if arguments.address else {"num_cpus": max(arguments.workers, os.cpu_count() or 1)}
    ray.init(address=arguments.address, log_to_driver=False, include_dashboard=False, **local)
    try:
        return start(arguments, on_ray(arguments.workers, seconds=arguments.timeout))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
