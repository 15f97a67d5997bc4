"""What each part of the method earns in a checkpoint; writes results/composed/variants.json.

Run `python -m training.release.ablation --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

The first row has the checkpoint's own settings and encoder, every other differs from it in what its name says. All are
trained with the same seeds on the CMU-MOSI sentences alone and without two people of the real pairs, on whom they are
measured, so that a round takes minutes. Choices are made on the validation columns. What was measured with a seed is
kept under `--runs`: a killed command goes on there. The Whisper states are no row: `alignmamba-opensmile` is the
checkpoint without them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from training.data.corpora.sequence import LabelledSequence
from training.release import readouts, unseen_people
from training.release.compose import COPIES, Corpora
from training.release.evaluate import composed_rows, narrow_voices, voices_rows
from training.release.inputs import corpora_of, label_hashes, measuring_parser, open_checkpoint, whisper_of
from training.release.readouts import Readout
from training.release.train import SEEDS, TRAIN, ComposeConfig, fit_readouts, train
from training.reporting import result_files
from training.reporting.summary import over_seeds
from training.run_state import digest
from training.trainer import TrainConfig

log = logging.getLogger(__name__)

EPOCHS = 3
DRAWS = 3  # of voices and faces around the test sentences
HELD_OUT = ("6", "7")  # people of the real pairs
RESULTS = result_files.ROOT / "training" / "results" / "composed"
METRICS = ("acc2_non0", "mae", "corr")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Changes to the settings of the model and to how training clips are composed."""

    model: Mapping[str, Any] = field(default_factory=dict)
    composing: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = {
    "as shipped": Variant(),
    "without local alignment": Variant(model={"local": "uniform"}),
    "without global alignment": Variant(model={"align_weight": 0.0}),
    "without both": Variant(model={"local": "uniform", "align_weight": 0.0}),
    "no time term": Variant(model={"time_weight": 0.0}),
    "without real pairs": Variant(composing={"pair_repeat": 0}),
    "without augmentation": Variant(composing={"augment": False}),
}


def left_in(corpora: Corpora) -> Corpora:
    """The corpora without the people of `HELD_OUT`."""
    return replace(corpora, pairs=[pair for pair in corpora.pairs if pair.person not in HELD_OUT])


def measure(
    corpora: Corpora,
    narrow: Sequence[LabelledSequence],
    config: ModelConfig,
    settings: TrainConfig,
    variant: Variant,
    *,
    read: Mapping[Modality, Readout],
) -> dict[str, float]:
    """Train one variant with one seed and measure it.

    Args:
        corpora: With everybody; the people of `HELD_OUT` are left out of training.
        narrow: Voices of the test speakers at 8 kHz.
        config: Settings of the checkpoint.
        settings: Of the training.
        variant: The changes.
        read: Fitted on `left_in`, which no variant changes.

    Returns:
        validation_mae; acc2_non0, mae and corr of composed test clips as means over the seven subsets; of voices of
        unseen speakers (without SAVEE) voice_balanced and voice_balanced_8_khz; of the people left out video_auc,
        both_auc and near_share (see `unseen_people`).
    """
    held = [pair for pair in corpora.pairs if pair.person in HELD_OUT]
    others = left_in(corpora)
    composing = replace(ComposeConfig(), **variant.composing)
    model, _, run = train(others, replace(config, **variant.model), settings, composing, read=read)
    frozen, test = readouts.from_model(model.requires_grad_(False)), corpora.split("test")
    by_subset = composed_rows(model, test, frozen, draws=DRAWS)
    voices, low = (
        next(row for row in voices_rows(model, each, frozen, name="") if row["test_set"] == "-without-savee")
        for each in (test.voices, narrow)
    )
    people = unseen_people.rows(unseen_people.measure(model, others, held))
    auc = {row["modalities"]: row["auc"] for row in people if "auc" in row}
    return {
        "validation_mae": min(entry["chosen_by"] for entry in run["history"]),
        **{key: float(np.mean([row[key] for row in by_subset])) for key in METRICS},
        "voice_balanced": voices["balanced_accuracy"],
        "voice_balanced_8_khz": low["balanced_accuracy"],
        "video_auc": auc[Modality.VIDEO.letter],
        "both_auc": auc["av"],
        "near_share": people[-1]["near_share"]["content alone"],
    }


def main() -> None:
    """Compare from the command line."""
    parser = measuring_parser(__doc__, features=True)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="where the result file goes")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"), help="where each seed's figures are kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    shipped = open_checkpoint(arguments.checkpoint, calibrated=False)
    corpora = unseen_people.short(corpora_of(shipped, arguments, copies=COPIES))
    narrow = narrow_voices(arguments.data, arguments.cache, whisper=whisper_of(shipped))
    data, rows = digest([corpora, narrow]), []
    read = fit_readouts(left_in(corpora).split("train"))
    for setting, variant in VARIANTS.items():
        by_seed = []
        for seed in arguments.seeds:
            settings = replace(TRAIN, seed=seed, epochs=arguments.epochs, patience=arguments.epochs)
            known = [shipped.model.config.to_dict(), asdict(settings), asdict(variant), data]
            kept = arguments.runs / f"{digest(known)[:16]}.json"
            if not kept.exists():
                found = measure(corpora, narrow, shipped.model.config, settings, variant, read=read)
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(found), encoding="utf-8")
            by_seed.append(json.loads(kept.read_text(encoding="utf-8")))
            log.info("%s, seed %d: %s", setting, seed, by_seed[-1])
        metric = {key: over_seeds([each[key] for each in by_seed]) for key in by_seed[0]}
        if variant.model.get("local") == "uniform":
            del metric["near_share"]  # steps go to the same relative place, whatever their content
        rows.append(
            {
                "model": "alignmamba",
                "setting": setting,
                "validation_mae": metric.pop("validation_mae"),
                "metric": metric,
            }
        )
    written = result_files.write(
        "variants",
        f"python -m training.release.ablation --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=label_hashes(arguments.data),
        seeds=arguments.seeds,
        folder=arguments.folder,
    )
    print(written)


if __name__ == "__main__":
    main()
