"""Local alignment on data with a known answer: `python -m training.planted`, with `schedule`, and with `wide`.

In the synthetic dataset of `training.data.synthetic` a frame and a word that belong together decide the label. Per
variant, over five sets and seeds: accuracy of the sign, and the share of frames that the plan sends to their word.
Lambda, the weight of the global alignment, is shown at every value, the same throughout training: the best by
validation is the first row. "schedule" shows the default instead, alignment first (`TrainConfig.align_first`), which
nobody has to set for a dataset, beside its parts. "wide" shows the default where a word is spread over as many columns
as BERT's, and beside it the MMD with the median bandwidth.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.device import default_device
from training.baselines import registry
from training.data.benchmark import Benchmark, Robustness
from training.data.synthetic import SHARES, Planted, make_planted, spread
from training.experiments.settings import RESULTS, SEEDS, check_seeds
from training.reporting import result_files
from training.reporting.summary import summary
from training.trainer import TrainConfig, fit

log = logging.getLogger(__name__)

CLIPS = 4000
LAMBDAS = (0.0, 0.01, 0.1, 1.0, 3.0)
TRAIN = TrainConfig(epochs=12, batch_size=64, learning_rate=3e-3, patience=12, plateau=3)
WITHOUT_LOCAL = "without local alignment"
SHAPE = {"width": 32, "encoder_layers": 0, "dropout": 0.0, "scaling": "mean", "classes": 0}
Variant = tuple[str, dict[str, Any], dict[str, Any]]
"""A model of the registry, and changes of its settings and of its training."""
CONSTANT = {"align_first": 0.0}
TABLES: dict[str, dict[str, Variant]] = {
    "planted": {
        **{f"alignmamba, lambda {weight:g}": (registry.OURS, {"align_weight": weight}, CONSTANT) for weight in LAMBDAS},
        **{
            f"without local alignment, lambda {weight:g}": (WITHOUT_LOCAL, {"align_weight": weight}, CONSTANT)
            for weight in (0.0, LAMBDAS[-1])
        },
        "single-stream-mamba": ("single-stream-mamba", {}, {}),
        "single-stream-transformer": ("single-stream-transformer", {}, {}),
    },
    "schedule": {
        "alignmamba, alignment first": (registry.OURS, {}, {}),
        "without local alignment, alignment first": (WITHOUT_LOCAL, {}, {}),
    },
    "wide": {
        "alignmamba, alignment first, 768 columns a word": (registry.OURS, {}, {}),
        "alignmamba, alignment first, median bandwidth, 768 columns a word": (
            registry.OURS,
            {"bandwidth": "median"},
            {},
        ),
        "without local alignment, alignment first, 768 columns a word": (WITHOUT_LOCAL, {}, {}),
    },
}
WORD_COLUMNS = {"wide": 768}


@torch.inference_mode()
def pairs_found(model: AlignMamba, benchmark: Benchmark, planted: Planted) -> float:
    """Share of the test frames that the plan sends to their word."""
    examples = benchmark.dataset.splits["test"]
    batch = benchmark.labelled(examples).to(next(model.parameters()).device).batch
    plan = model(batch).plans[Modality.VIDEO].dense().cpu()
    answer = torch.tensor([planted.word_of[example.id] for example in examples])
    return float((plan.argmax(-1) == answer).double().mean())


def measure(variant: Variant, seed: int, *, columns: int | None = None) -> dict[str, float]:
    """Train a variant on the set of a seed; accuracy on validation and test, and the pairs found if it has a plan."""
    name, change, training = variant
    planted = make_planted(seed=seed, count=CLIPS)
    if columns is not None:
        planted = spread(planted, columns, seed=seed)
    benchmark = Benchmark(planted, Robustness(missing_rate=0.0))
    torch.manual_seed(seed)
    config = ModelConfig(**benchmark.model_dims, **SHAPE, **change)
    model = registry.build(name, config).to(default_device())
    fit(model, benchmark, replace(TRAIN, seed=seed, **training))
    found = {
        "validation_acc2_non0": benchmark.measure(model, benchmark.dataset.splits["valid"])["acc2_non0"],
        **{key: benchmark.measure(model, benchmark.dataset.splits["test"])[key] for key in ("acc2_non0", "mae")},
    }
    if isinstance(model, AlignMamba):
        found["pairs_found"] = pairs_found(model, benchmark, planted)
    return found


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=sorted(TABLES), nargs="?", default="planted")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        check_seeds(given.seeds)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    rows = []
    for setting, variant in tqdm(TABLES[given.table].items(), desc="variants", disable=None):
        metric = summary([measure(variant, seed, columns=WORD_COLUMNS.get(given.table)) for seed in given.seeds])
        rows.append({"model": variant[0], "setting": setting, "n": round(CLIPS * SHARES["test"]), "metric": metric})
        log.info("%s: %s", setting, {key: round(value["mean"], 3) for key, value in metric.items()})
    order = np.argsort([-row["metric"]["validation_acc2_non0"]["mean"] for row in rows], kind="stable")
    written = result_files.write(
        given.table,
        "python -m training.planted" + ("" if given.table == "planted" else f" {given.table}"),
        [rows[place] for place in order],
        seeds=given.seeds,
        folder=given.results / "planted",
    )
    print(written)


if __name__ == "__main__":
    main()
