"""Train the checkpoint of the app.

Run `python -m training.train --data ../shared/data --out checkpoints/alignmamba-open`.
"""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau
from tqdm import tqdm

from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.config import ModelConfig
from alignmamba.modality import Modality
from alignmamba.model import AlignMamba, loss
from extractors import clip
from training import corpora as readers
from training.compose import Composed, Composer, as_clip, drop_modalities, sentiment_class
from training.corpora import Sample
from training.metrics import sentiment_metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a run; all are our choice.

    Attributes:
        seed: Of weights, composition and order.
        epochs: At the most; training stops `patience` epochs after the best one.
        batch_size: Clips a step.
        learning_rate: Of AdamW at the start; halved when validation stands still.
        weight_decay: Of AdamW.
        clip_norm: Gradients are scaled down to this norm.
        patience: Epochs without a better validation score before the stop.
        disagreement: See `Composer`.
        mosi_repeat: How often an epoch shows each MOSI sentence: the only ones with the task's own labels.
    """

    seed: int = 1111
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 5
    disagreement: float = 0.15
    mosi_repeat: int = 4


@dataclass(frozen=True, kw_only=True)
class Corpora:
    """Everything that is trained and measured on."""

    texts: list[Sample]
    voices: list[Sample]
    faces: list[Sample]
    talking: list[np.ndarray]

    @classmethod
    def read(cls, data: Path, cache: Path) -> Corpora:
        """Read, extracting what the cache does not hold."""
        return cls(
            texts=readers.read_text(data, cache),
            voices=readers.read_voices(data, cache),
            faces=readers.read_faces(data, cache),
            talking=readers.read_talking(data, cache),
        )

    def split(self, name: str) -> Corpora:
        """The samples of "train", "valid" or "test"; talking faces carry no label and serve in all."""
        parts = {kind: [s for s in getattr(self, kind) if s.split == name] for kind in ("texts", "voices", "faces")}
        return Corpora(**parts, talking=self.talking)

    def composer(self, *, disagreement: float) -> Composer:
        """A composer over these samples."""
        return Composer(
            **{k: getattr(self, k) for k in ("texts", "voices", "faces", "talking")}, disagreement=disagreement
        )


def length_buckets(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of indices of similar length, in random order."""
    order = np.argsort(np.array(lengths) + rng.uniform(0, 4, len(lengths)))  # words; noise mixes neighbours
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def standardise(model: AlignMamba, train: Corpora, composer: Composer, rng: np.random.Generator) -> None:
    """Set the encoders' mean and standard deviation from training data."""
    sources = {
        Modality.LANGUAGE: [sample.values for sample in train.texts if sample.corpus == "mosi"],
        Modality.AUDIO: [sample.values for sample in train.voices],
        Modality.VIDEO: [composer.face_sequence(sample, rng) for sample in train.faces],
    }
    for modality, sequences in sources.items():
        rows = np.concatenate(sequences).astype(np.float64)
        encoder = model.encoders[modality]
        encoder.mean.copy_(torch.from_numpy(rows.mean(0)))
        spread = rows.std(0)
        encoder.std.copy_(torch.from_numpy(np.where(spread > 1e-4, spread, 1.0)))  # a constant column stays as it is


@torch.inference_mode()
def predict_scores(model: AlignMamba, clips: Sequence[dict], *, batch_size: int = 128) -> np.ndarray:
    """Scores of many clips, clipped to [-3, 3]."""
    model.eval()
    order = np.argsort([sum(len(steps.mask) for steps in item.values()) for item in clips])
    scores = np.zeros(len(clips))
    for first in range(0, len(clips), batch_size):
        chosen = order[first : first + batch_size]
        scores[chosen] = model(collate([clips[index] for index in chosen])).score.numpy()
    return scores.clip(-3, 3)


def validation_mae(model: AlignMamba, clips: Sequence[Composed], texts: Sequence[Sample]) -> dict[str, float]:
    """What epochs are chosen by: mean of the error on MOSI words alone and on composed clips of random subsets."""
    words = predict_scores(model, [as_clip({Modality.LANGUAGE: sample.values}) for sample in texts])
    mixed = predict_scores(model, [item.clip for item in clips])
    text_metrics = sentiment_metrics(words, np.array([sample.score for sample in texts]))
    mixed_mae = float(np.mean(np.abs(mixed - np.array([item.score for item in clips]))))
    return {"chosen_by": (text_metrics["mae"] + mixed_mae) / 2, "mixed_mae": mixed_mae, **text_metrics}


def train_epoch(
    model: AlignMamba,
    optimiser: torch.optim.Optimizer,
    composer: Composer,
    samples: Sequence[Sample],
    config: TrainConfig,
    rng: np.random.Generator,
) -> float:
    """One pass over the sentences; returns the mean loss."""
    model.train()
    total, batches = 0.0, length_buckets([len(s.values) for s in samples], config.batch_size, rng)
    for indices in tqdm(batches, desc="train", unit="batch", leave=False):
        composed = [composer.compose(samples[index], rng) for index in indices]
        batch = collate([drop_modalities(item.clip, rng) for item in composed])
        score = torch.tensor([item.score for item in composed])
        classes = torch.tensor([sentiment_class(item.score) for item in composed])
        value = loss(model(batch), score, classes, model.config)
        optimiser.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimiser.step()
        total += value.item()
    return total / len(batches)


def train(corpora: Corpora, model_config: ModelConfig, config: TrainConfig) -> tuple[AlignMamba, dict]:
    """Train, choosing the epoch by validation; returns the model and a record of the run."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    parts, valid = corpora.split("train"), corpora.split("valid")
    composer = parts.composer(disagreement=config.disagreement)
    model = AlignMamba(model_config)
    standardise(model, parts, composer, rng)
    samples = [s for s in parts.texts for _ in range(config.mosi_repeat if s.corpus == "mosi" else 1)]
    mosi = [sample for sample in valid.texts if sample.corpus == "mosi"]
    held = list(_validation_clips(valid, mosi))
    optimiser = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = ReduceLROnPlateau(optimiser, factor=0.5, patience=1)
    best, best_state, best_epoch, history = np.inf, {}, 0, []
    for epoch in range(1, config.epochs + 1):
        mean_loss = train_epoch(model, optimiser, composer, samples, config, rng)
        measured = validation_mae(model, held, mosi)
        schedule.step(measured["chosen_by"])
        history.append({"epoch": epoch, "loss": mean_loss, **measured})
        log.info("epoch %d: loss %.3f, %s", epoch, mean_loss, {k: round(v, 3) for k, v in measured.items()})
        if measured["chosen_by"] < best:
            best, best_state, best_epoch = measured["chosen_by"], copy.deepcopy(model.state_dict()), epoch
        if epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(best_state)
    return model, {"config": asdict(config), "best_epoch": best_epoch, "history": history}


def _validation_clips(valid: Corpora, texts: Sequence[Sample]) -> Iterator[Composed]:
    """Composed validation clips, each with a fixed random subset; the same in every run."""
    rng = np.random.default_rng(0)
    composer = valid.composer(disagreement=0.0)
    for sample in texts:
        item = composer.compose(sample, rng)
        yield Composed(clip=drop_modalities(item.clip, rng), score=item.score)


def main() -> None:
    """Train from the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/, speech/, faces/, clips/")
    parser.add_argument("--cache", type=Path, default=Path("runs/features"), help="where extracted features are kept")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--align-weight", type=float, default=ModelConfig.align_weight)
    parser.add_argument("--scaling", choices=("paper", "mean"), default="mean")
    parser.add_argument("--local", choices=("relaxed", "uniform"), default="relaxed")
    parser.add_argument("--width", type=int, default=ModelConfig.width)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    dims = {f"{name}_dim": getattr(clip.SCHEMA, name).dim for name in ("audio", "video", "language")}
    model_config = ModelConfig(
        **dims,
        width=arguments.width,
        align_weight=arguments.align_weight,
        scaling=arguments.scaling,
        local=arguments.local,
    )
    config = TrainConfig(seed=arguments.seed, epochs=arguments.epochs)
    model, record = train(Corpora.read(arguments.data, arguments.cache), model_config, config)
    checkpoint.save(arguments.out, model, schema=clip.SCHEMA.to_dict(), training=record)


if __name__ == "__main__":
    main()
