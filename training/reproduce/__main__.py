"""The slides' Tables 1 and 3 and Figures 3 and 4: `python -m training.reproduce mosi --data aligned_50.pkl`.

First the time is estimated, model by model, on a few batches; `--estimate` ends there. Then everything is trained and
measured (a killed command resumes; on several GPUs it starts a process on each), time and memory of the fusion part are
measured by `benchmarks.fusion`, and one HTML report is written with the paper's figures beside ours. `mosei` and
unaligned files work alike.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from alignmamba.ops.device import default_device
from training.experiments.__main__ import MASKS, RUNS
from training.experiments.experiment import Experiment
from training.experiments.settings import SEEDS, Settings, check_seeds
from training.experiments.tables import TABLES
from training.reporting import result_files
from training.reproduce import plan, report
from training.trainer import processes

Corpus = Literal["mosi", "mosei"]
SETTINGS = result_files.ROOT / "training" / "settings" / "mmsa.yaml"

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reproduce from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=get_args(Corpus))
    parser.add_argument("--data", type=Path, required=True, help="MMSA's aligned_50.pkl or unaligned_50.pkl")
    parser.add_argument("--settings", type=Path, default=SETTINGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--runs", type=Path, default=RUNS, help="where trained models are kept")
    parser.add_argument("--masks", type=Path, default=MASKS, help="where the masks of test sets are kept, or come from")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="where results and report go")
    parser.add_argument("--estimate", action="store_true", help="only say how long it takes")
    parser.add_argument("--no-efficiency", action="store_true", help="leave Figures 3 and 4 out")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if (count := torch.cuda.device_count()) > 1 and "WORLD_SIZE" not in os.environ:
        command = ["-m", "torch.distributed.run", f"--nproc_per_node={count}", "-m", "training.reproduce"]
        # Our own command, with the arguments that this process was given.
        done = subprocess.run([sys.executable, *command, *(arguments or sys.argv[1:])], check=False)  # noqa: S603
        raise SystemExit(done.returncode)
    try:
        with processes() as first:
            _reproduce(given, writes=first)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error


def _reproduce(given: argparse.Namespace, *, writes: bool) -> None:
    check_seeds(given.seeds)
    experiment = Experiment(Settings.read(given.settings), given.data, given.runs, given.masks)
    dataset = experiment.dataset
    if dataset.name.partition("-")[0] != given.corpus:
        raise ValueError(f"data: {given.data.name} holds {dataset.name}, expected CMU-{given.corpus.upper()}")
    folder = given.out / dataset.name
    for name in plan.TABLES:
        result_files.check_replaces(folder / f"{name}.json", data_sha256=dataset.data_sha256)
    parts = plan.estimate(experiment, given.seeds)
    if writes:
        for part in parts:
            print(f"{part.model}: {part.runs} runs of at most {plan.in_words(part.seconds)}")
        print(f"estimated: at most {plan.in_words(plan.total_seconds(parts))} of training, then Figures 3 and 4")
    if given.estimate:
        return
    results = {name: _table(experiment, given, name, folder, writes=writes) for name in plan.TABLES}
    if not writes:
        return
    fusion = None if given.no_efficiency else _fusion(folder)
    tables = [
        report.missing_table(results["missing"], given.corpus),
        report.ablation_table(results["ablation"], given.corpus),
    ]
    about = {
        "data": f"{dataset.name}: {'; '.join(dataset.notes)}",
        "command": f"python -m training.reproduce {given.corpus} --data {given.data.name}",
        "settings": given.settings.name,
        "machine": f"{result_files.device_name(default_device().type)}, {result_files.cpu_count()} cores",
        "commit": str(result_files.commit()),
        "date": results["missing"]["date"],
    }
    path = folder / "report.html"
    report.write(path, dataset=given.corpus, tables=tables, fusion=fusion, about=about)
    print(path)


def _table(
    experiment: Experiment, given: argparse.Namespace, name: str, folder: Path, *, writes: bool
) -> dict[str, Any]:
    rows = TABLES[name](experiment, given.seeds)
    if not writes:
        return {}
    written = result_files.write(
        name,
        f"python -m training.reproduce {given.corpus} --data DATA",
        rows,
        data_sha256=experiment.dataset.data_sha256,
        seeds=given.seeds,
        folder=folder,
    )
    print(written)
    found: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return found


def _fusion(folder: Path) -> dict[str, Any]:
    """Measure time and memory in a process of its own: this folder does not know the benchmarks."""
    device = default_device().type
    written = folder.absolute() / f"fusion-{device}.json"
    if written.exists():
        log.info("reused: %s", written)
    else:
        command = [sys.executable, "-m", "benchmarks.fusion", "--device", device, "--folder", str(written.parent)]
        subprocess.run(command, check=True, cwd=result_files.ROOT)  # noqa: S603
    found: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
