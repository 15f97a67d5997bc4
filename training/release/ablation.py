"""What each part of the method earns in a checkpoint; writes results/composed/variants.json.

Run `python -m training.release.ablation --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

The first row has the checkpoint's own settings and encoder, every other differs from it in what its name says. All are
trained with the same seeds on the CMU-MOSI sentences alone, so that a round takes minutes. Choices are made on the
validation columns.
"""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alignmamba.config import ModelConfig
from training.release.evaluate import composed_rows
from training.release.inputs import label_hashes, measuring_parser, open_checkpoint
from training.release.train import Corpora, TrainConfig, train
from training.reporting import result_files
from training.reporting.summary import over_seeds

log = logging.getLogger(__name__)

SEEDS = (1111, 1112, 1113)
EPOCHS = 3
RESULTS = result_files.ROOT / "training" / "results" / "composed"
VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "without local alignment": {"local": "uniform"},
    "without global alignment": {"align_weight": 0.0},
    "without both": {"local": "uniform", "align_weight": 0.0},
    "no time term": {"time_weight": 0.0},
}
METRICS = ("acc2_non0", "mae", "corr")


def measure(corpora: Corpora, config: ModelConfig, seeds: tuple[int, ...], epochs: int) -> dict[str, Any]:
    """Train with every seed; validation error, and test metrics averaged over the seven subsets."""
    chosen_by, metrics = [], {key: [] for key in METRICS}
    for seed in seeds:
        settings = replace(TrainConfig(), seed=seed, epochs=epochs, patience=epochs, batch_size=32)
        model, run = train(corpora, config, settings)
        chosen_by.append(min(entry["chosen_by"] for entry in run["history"]))
        rows = composed_rows(model, corpora.split("test"))
        for key in METRICS:
            metrics[key].append(float(np.mean([row[key] for row in rows])))
    return {
        "validation_mae": over_seeds(chosen_by),
        "metric": {key: over_seeds(values) for key, values in metrics.items()},
    }


def main() -> None:
    """Compare from the command line."""
    parser = measuring_parser(__doc__, features=True)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the result file goes")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    shipped = open_checkpoint(arguments.checkpoint, calibrated=False)
    whole = Corpora.read(arguments.data, arguments.cache, encoder=shipped.encoder)
    corpora = replace(whole, texts=[sample for sample in whole.texts if sample.corpus == "mosi"])
    rows = []
    for setting, change in VARIANTS.items():
        config = replace(shipped.model.config, **change)
        rows.append({"model": "alignmamba", "setting": setting, **measure(corpora, config, SEEDS, EPOCHS)})
        log.info("%s", json.dumps(rows[-1]))
    written = result_files.write(
        "variants",
        f"python -m training.release.ablation --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=label_hashes(arguments.data),
        seeds=SEEDS,
        folder=arguments.folder,
    )
    print(written)


if __name__ == "__main__":
    main()
