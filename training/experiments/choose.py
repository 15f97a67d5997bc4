"""Compare settings within the training part of a dataset; its test part is never looked at.

`python -m training.experiments.choose --settings FILE --candidates FILE --data PATH`: the candidates file names
changes of the settings ({"half as wide": {"model": {"width": 32}}}). Training and validation examples together are
dealt into folds; every candidate is trained on all but one of them, once per fold, and measured on that one, corrupted
as the settings (not the candidate) say, with nothing missing and with modalities missing at random. Results go to
`training/results/<settings>/choice.json`, or another `--name`, in the order of the error over all missing rates.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from alignmamba.ops.device import default_device
from training.baselines import registry
from training.data import datasets
from training.data.benchmark import Benchmark, Robustness
from training.data.datasets import Dataset
from training.experiments.settings import RESULTS, Settings, model_config
from training.reporting import result_files
from training.reporting.summary import summary
from training.settings.reader import parse, read_yaml
from training.trainer import TrainConfig, fit

log = logging.getLogger(__name__)

FOLDS = 4
SEED = 1  # of weights and order; none of the seeds that tables are made with
DRAWS = 5  # corrupted copies of the held examples
PARTS = ("model", "train", "robustness")
OVER_RATES = "mae_over_rates"  # mean absolute error over the missing rates that an epoch is chosen by
METRICS = (OVER_RATES, "mae", "acc2_has0", "acc2_non0", "corr")


def refolded(dataset: Dataset, fold: int, *, folds: int = FOLDS) -> Dataset:
    """The dataset with another validation part, dealt by a hash of the ids from training and validation together."""
    known = {example.id: example for part in ("train", "valid") for example in dataset.splits[part]}
    dealt = datasets.deal(known, folds=folds)
    held = tuple(known[name] for name, place in dealt.items() if place == fold)
    others = tuple(known[name] for name, place in dealt.items() if place != fold)
    return replace(dataset, splits={**dataset.splits, "train": others, "valid": held})


def measure(dataset: Dataset, name: str, settings: Settings, change: Mapping[str, Any]) -> list[dict[str, float]]:
    """Metrics of a changed model on each fold.

    Raises:
        ValueError: If the change names an unknown part or setting.
    """
    if unknown := sorted(set(change) - set(PARTS)):
        raise ValueError(f"change: {unknown}, expected some of {PARTS}")
    base = {part: settings.of(name, part) for part in PARTS}
    changed = {part: {**base[part], **change.get(part, {})} for part in PARTS}
    found = []
    for fold in range(FOLDS):
        dealt = refolded(dataset, fold, folds=FOLDS)
        benchmark, alike = (
            Benchmark(dealt, parse(Robustness, each["robustness"], where="robustness")) for each in (changed, base)
        )
        torch.manual_seed(SEED)
        model = registry.build(name, model_config(benchmark, changed["model"])).to(default_device())
        fit(model, benchmark, parse(TrainConfig, {**changed["train"], "seed": SEED}, where="train config"))
        complete = alike.measure(model, alike.corrupted("valid", draws=DRAWS))
        found.append({OVER_RATES: alike.validate(model)["chosen_by"], **complete})
    return found


def main() -> None:
    """Compare from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--candidates", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=registry.OURS)
    parser.add_argument("--name", default="choice", help="of the result file")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = Settings.read(given.settings)
    dataset = datasets.read(settings.dataset, given.data, **settings.options)
    rows = []
    for candidate, change in tqdm(read_yaml(given.candidates).items(), desc="candidates", disable=None):
        folds = measure(dataset, given.model, settings, change or {})
        metric = summary([{key: each[key] for key in METRICS} for each in folds])
        rows.append({"model": given.model, "setting": candidate, "change": change or {}, "metric": metric})
        log.info("%s: %s", candidate, {key: round(value["mean"], 4) for key, value in metric.items()})
    named = "" if given.name == parser.get_default("name") else f" --name {given.name}"
    written = result_files.write(
        given.name,
        f"python -m training.experiments.choose --settings training/settings/{given.settings.name} "
        f"--candidates training/settings/{given.candidates.name} --data DATA{named}",
        sorted(rows, key=lambda row: row["metric"][OVER_RATES]["mean"]),
        data_sha256=dataset.data_sha256,
        seeds=[SEED],
        folder=given.results / given.settings.stem,
    )
    print(written)


if __name__ == "__main__":
    main()
