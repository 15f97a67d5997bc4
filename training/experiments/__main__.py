"""The tables of the paper on a dataset: `python -m training.experiments TABLE --settings FILE --data PATH`.

TABLE is complete, missing, fixed, imbalanced, missmac, within, lnln, ablation or distance. Every model is trained once
per seed and kept under `runs/`, so that the tables share their models and a killed command goes on where it was; a kept
model is reused only for the same data, starting weights, model and training. Results go to
`training/results/<settings>/<table>.json`. On several GPUs or processors: `torchrun --nproc_per_node=N -m
training.experiments ...`.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from training.experiments.experiment import Experiment
from training.experiments.settings import RESULTS, SEEDS, Settings, check_seeds
from training.experiments.tables import TABLES
from training.reporting import result_files
from training.trainer import processes

RUNS, MASKS = Path("runs/benchmarks"), Path("runs/masks")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make one table from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES))
    parser.add_argument("--settings", type=Path, required=True, help="a file like those in training/settings/")
    parser.add_argument("--data", type=Path, required=True, help="the dataset's file or folder")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--runs", type=Path, default=RUNS, help="where trained models are kept")
    parser.add_argument("--masks", type=Path, default=MASKS, help="where the masks of test sets are kept, or come from")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the result file goes")
    parser.add_argument("--tensorboard", action="store_true", help="also write each run's curves for TensorBoard")
    given = parser.parse_args(arguments)
    with processes() as first:
        _table(given, writes=first)


def _table(given: argparse.Namespace, *, writes: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    folder = given.results / given.settings.stem
    try:
        check_seeds(given.seeds)
        experiment = Experiment(
            Settings.read(given.settings), given.data, given.runs, given.masks, board=given.tensorboard
        )
        result_files.check_replaces(folder / f"{given.table}.json", data_sha256=experiment.dataset.data_sha256)
        rows = TABLES[given.table](experiment, given.seeds)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    if not writes:
        return
    written = result_files.write(
        given.table,
        f"python -m training.experiments {given.table} --settings training/settings/{given.settings.name} --data DATA",
        rows,
        data_sha256=experiment.dataset.data_sha256,
        seeds=given.seeds,
        folder=folder,
    )
    print(written)


if __name__ == "__main__":
    main()
