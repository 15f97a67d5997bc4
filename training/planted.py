"""Local alignment on data with a known answer: `python -m training.planted`.

In the synthetic dataset of `training.data.synthetic` a frame and a word that belong together decide the label. Per
variant, over five sets and seeds: accuracy of the sign, and the share of frames that the plan sends to their word.
Lambda, the weight of the global alignment, is shown at every value: the best by validation is the first row.
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
from training.data.synthetic import Planted, make_planted
from training.experiments import RESULTS, SEEDS
from training.reporting import result_files
from training.reporting.summary import summary
from training.trainer import TrainConfig, fit

log = logging.getLogger(__name__)

CLIPS = 4000
LAMBDAS = (0.0, 0.01, 0.1, 1.0, 3.0)
TRAIN = TrainConfig(epochs=12, batch_size=64, learning_rate=3e-3, patience=12, plateau=3)
SHAPE = {"width": 32, "encoder_layers": 0, "dropout": 0.0, "scaling": "mean", "classes": 0}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"alignmamba, lambda {weight:g}": (registry.OURS, {"align_weight": weight}) for weight in LAMBDAS},
    **{
        f"without local alignment, lambda {weight:g}": ("without local alignment", {"align_weight": weight})
        for weight in (0.0, LAMBDAS[-1])
    },
    "single-stream-mamba": ("single-stream-mamba", {}),
    "single-stream-transformer": ("single-stream-transformer", {}),
}


@torch.inference_mode()
def pairs_found(model: AlignMamba, benchmark: Benchmark, planted: Planted) -> float:
    """Share of the test frames that the plan sends to their word."""
    examples = benchmark.dataset.splits["test"]
    batch = benchmark.labelled(examples).to(next(model.parameters()).device).batch
    plan = model(batch).plans[Modality.VIDEO].dense().cpu()
    answer = torch.tensor([planted.word_of[example.id] for example in examples])
    return float((plan.argmax(-1) == answer).double().mean())


def measure(variant: str, seed: int) -> dict[str, float]:
    """Train a variant on the set of a seed; accuracy on validation and test, and the pairs found if it has a plan."""
    name, change = VARIANTS[variant]
    planted = make_planted(seed=seed, count=CLIPS)
    benchmark = Benchmark(planted, Robustness(missing_rate=0.0))
    torch.manual_seed(seed)
    config = ModelConfig(**benchmark.model_dims, **SHAPE, **change)
    model = registry.build(name, config).to(default_device())
    fit(model, benchmark, replace(TRAIN, seed=seed))
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
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    rows = []
    for variant in tqdm(VARIANTS, desc="variants", disable=None):
        metric = summary([measure(variant, seed) for seed in given.seeds])
        rows.append({"model": VARIANTS[variant][0], "setting": variant, "metric": metric})
        log.info("%s: %s", variant, {key: round(value["mean"], 3) for key, value in metric.items()})
    order = np.argsort([-row["metric"]["validation_acc2_non0"]["mean"] for row in rows], kind="stable")
    written = result_files.write(
        "planted",
        "python -m training.planted",
        [rows[place] for place in order],
        seeds=given.seeds,
        folder=given.results / "planted",
    )
    print(written)


if __name__ == "__main__":
    main()
