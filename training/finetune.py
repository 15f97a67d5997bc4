"""Fine-tune a checkpoint on one's own labelled clips.

`python -m training.finetune --data FOLDER --checkpoint checkpoints/alignmamba-open --out checkpoints/mine`: FOLDER
holds clips and `labels.csv` (see `training.data.labelled`). The checkpoint's own text encoder stays as it is; all other
weights are trained. The epoch is chosen on the validation clips, with the state before training as a candidate, so that
the result is never worse there than the start. `metrics.json` beside it holds the metrics on the test clips, before and
after. A killed command resumes where it was; a run is found again by its clips, labels, starting weights and settings,
so that others are trained anew.
"""

from __future__ import annotations

import argparse
import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignmamba import checkpoint
from alignmamba.checkpoint import CheckpointError
from alignmamba.config import ENCODER_FOLDER, EXTRACTORS_ENCODER
from alignmamba.ops.device import default_device
from extractors.storage.config import ExtractionConfig, feature_set_of
from training.data import labelled
from training.data.benchmark import Benchmark, Robustness
from training.reporting import result_files
from training.trainer import TrainConfig, fit, run_folder

log = logging.getLogger(__name__)

# A checkpoint's modalities are aligned already.
TRAIN = TrainConfig(epochs=20, batch_size=16, learning_rate=1e-4, patience=5, align_first=0.0)
ROBUSTNESS = Robustness(missing_rate=0.5, complete_share=0.5)


def finetune(
    folder: Path, start: Path, out: Path, *, config: TrainConfig, cache: Path, workers: int = 1
) -> list[dict[str, Any]]:
    """Fine-tune and write the new checkpoint with its `metrics.json`.

    Args:
        folder: Clips and `labels.csv`.
        start: Checkpoint to begin with.
        out: Folder of the new one; the encoder is copied along.
        config: How.
        cache: Folder for features, and for the state that a killed run goes on from.
        workers: Clips to extract at once.

    Returns:
        Test metrics before and after.

    Raises:
        ValueError: If the clips, their table or the checkpoint are not what they should be.
    """
    if out.resolve() == start.resolve():
        raise ValueError(f"out: {out}, expected another folder than the checkpoint that is read")
    trained = checkpoint.load(start)
    feature_set = feature_set_of(trained.schema)
    made = ExtractionConfig(encoder=trained.encoder, feature_set=feature_set).schema().to_dict()
    checkpoint.check_schema(made, trained.schema, whose="the extractors' output")
    dataset = labelled.read(
        folder, cache=cache / "features", workers=workers, encoder=trained.encoder, feature_set=feature_set
    )
    for note in dataset.notes:
        log.warning("%s", note)
    benchmark = Benchmark(dataset, ROBUSTNESS, standardise=False)
    model = trained.model.requires_grad_(True).to(default_device())
    untrained = {name: value.clone() for name, value in model.state_dict().items()}
    before = benchmark.validate(model)["chosen_by"]
    rows = [{"setting": "before", **benchmark.measure(model, dataset.splits["test"])}]
    torch.manual_seed(config.seed)
    run = fit(model, benchmark, config, folder=run_folder(cache / "runs", start.name, model, benchmark, config))
    best = min(entry["chosen_by"] for entry in run.history)
    if best >= before:
        log.warning("no epoch was better by validation (%.3f, %.3f before): weights stay as they were", best, before)
        model.load_state_dict(untrained)
    rows.append({"setting": "after", **benchmark.measure(model, dataset.splits["test"])})
    record = {"started_from": start.name, "config": asdict(config), **run._asdict(), "chosen_by_before": before}
    about = {"test_set": "own-clips", "modalities": "avl", "n": len(dataset.splits["test"])}
    checkpoint.save(out, model, schema=trained.schema, training=record)
    if trained.encoder != EXTRACTORS_ENCODER:
        shutil.copytree(trained.encoder, out / ENCODER_FOLDER, dirs_exist_ok=True)
    result_files.write(
        "metrics",
        f"python -m training.finetune --data FOLDER --checkpoint {start.name} --out {out.name}",
        [{**about, **_row(row)} for row in rows],
        data_sha256=dataset.data_sha256,
        seeds=[config.seed],
        folder=out,
    )
    return rows


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for a file: the correlation of a constant is null."""
    return {key: None if isinstance(value, float) and np.isnan(value) else value for key, value in row.items()}


def main() -> None:
    """Fine-tune from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of clips with labels.csv")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=TRAIN.seed)
    parser.add_argument("--epochs", type=int, default=TRAIN.epochs)
    parser.add_argument("--learning-rate", type=float, default=TRAIN.learning_rate)
    parser.add_argument("--cache", type=Path, default=Path("runs/finetune"))
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = replace(TRAIN, seed=given.seed, epochs=given.epochs, learning_rate=given.learning_rate)
        rows = finetune(
            given.data, given.checkpoint, given.out, config=config, cache=given.cache, workers=given.workers
        )
    except (CheckpointError, ValueError, FileNotFoundError) as error:
        raise SystemExit(str(error)) from error
    for row in rows:
        print(f"{row['setting']}: MAE {row['mae']:.3f}, Acc-2 {100 * row['acc2_has0']:.1f} %")


if __name__ == "__main__":
    main()
