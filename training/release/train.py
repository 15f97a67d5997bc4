"""Train the checkpoint of the app.

Run `python -m training.release.train --data ../shared/data --out checkpoints/alignmamba-open`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.checkpoint import ENCODER_FOLDER
from alignmamba.config import ModelConfig
from alignmamba.evaluation.metrics import sentiment_class, sentiment_metrics
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from extractors.language.text_encoder import ENCODER
from extractors.storage.config import ExtractionConfig
from training.data import corpora as readers
from training.data.corpora import LabelledSequence
from training.data.datasets import length_buckets
from training.release import inputs
from training.release.compose import Composed, Composer, as_clip, by_class, drop_modalities
from training.release.predictions import outputs
from training.trainer import Labelled, TrainConfig, fit

TIME_WEIGHT = 0.5  # cost of a second between two steps; what it earns: results/composed/variants.json


@dataclass(frozen=True, kw_only=True)
class ComposeConfig:
    """How training clips are composed; all are our choice.

    Attributes:
        disagreement: See `Composer`.
        mosi_repeat: How often an epoch shows each MOSI sentence: the only ones with the task's own labels.
        single_repeat: Voices and faces that an epoch shows alone, labelled by their own valence, as a multiple of all.
    """

    disagreement: float = 0.15
    mosi_repeat: int = 4
    single_repeat: int = 2


@dataclass(frozen=True, kw_only=True)
class Corpora:
    """Everything that is trained and measured on."""

    texts: list[LabelledSequence]
    voices: list[LabelledSequence]
    faces: list[LabelledSequence]
    talking: list[np.ndarray]

    @classmethod
    def read(cls, data: Path, cache: Path, *, encoder: str = ENCODER) -> Corpora:
        """Read, extracting what the cache does not hold."""
        return cls(
            texts=readers.read_text(data, cache, encoder=encoder),
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


class ComposedSource:
    """Composed clips as a `Source` of the trainer: an epoch shows every sentence once, and voices and faces alone."""

    def __init__(self, corpora: Corpora, config: ComposeConfig) -> None:
        train, valid = corpora.split("train"), corpora.split("valid")
        self.config = config
        self.train, self.composer = train, train.composer(disagreement=config.disagreement)
        self._samples = [s for s in train.texts for _ in range(config.mosi_repeat if s.corpus == "mosi" else 1)]
        self._words = [sample for sample in valid.texts if sample.corpus == "mosi"]
        self._mixed = list(_validation_clips(valid, self._words, config.disagreement))
        self._voices = valid.voices

    def batches(self, size: int, rng: np.random.Generator) -> list[list[Composed]]:
        """One epoch's clips, each with a random subset of its modalities."""
        batches = []
        for indices in length_buckets([len(sample.values) for sample in self._samples], size, rng):
            composed = [self.composer.compose(self._samples[index], rng) for index in indices]
            batches.append([replace(item, clip=drop_modalities(item.clip, rng)) for item in composed])
        alone = [*self._balanced(Modality.AUDIO, rng), *self._balanced(Modality.VIDEO, rng)]
        for indices in length_buckets([max(len(c.mask) for c in item.clip.values()) for item in alone], size, rng):
            batches.append([alone[index] for index in indices])
        return [batches[index] for index in rng.permutation(len(batches))]

    def collate(self, items: Sequence[Composed]) -> Labelled:
        """Clips as a batch with its truth."""
        classes = torch.tensor([sentiment_class(item.score) for item in items])
        score = torch.tensor([item.score for item in items], dtype=torch.float32)
        return Labelled(collate([item.clip for item in items]), score, classes)

    def validate(self, model: AlignMamba) -> dict[str, float]:
        """Mean of three errors: MOSI's words alone, composed clips of random subsets, voices alone."""
        words = outputs(model, [as_clip({Modality.LANGUAGE: sample.values}) for sample in self._words]).scores
        mixed = outputs(model, [item.clip for item in self._mixed]).scores
        voices = outputs(model, [as_clip({Modality.AUDIO: sample.values}) for sample in self._voices]).scores
        measured = sentiment_metrics(words, np.array([sample.score for sample in self._words]))
        mixed_mae = float(np.mean(np.abs(mixed - np.array([item.score for item in self._mixed]))))
        voice_mae = float(np.mean(np.abs(voices - np.array([sample.score for sample in self._voices]))))
        chosen_by = (measured["mae"] + mixed_mae + voice_mae) / 3
        return {"chosen_by": chosen_by, "mixed_mae": mixed_mae, "voice_mae": voice_mae, **measured}

    def _balanced(self, kind: Modality, rng: np.random.Generator) -> Iterator[Composed]:
        """Voices or faces alone, as many of each class: acted emotions are mostly negative, people are not."""
        samples = self.train.voices if kind == Modality.AUDIO else self.train.faces
        groups = [group for group in by_class(samples) if group]
        for _ in range(len(samples) * self.config.single_repeat):
            group = groups[rng.integers(len(groups))]
            sample = group[rng.integers(len(group))]
            values = sample.values
            if kind == Modality.VIDEO:
                values = self.composer.face_sequence(self.composer.draw_face([sample], rng), rng)
            yield Composed(clip=as_clip({kind: values}), score=sample.score)


def train(
    corpora: Corpora, model_config: ModelConfig, config: TrainConfig, composing: ComposeConfig | None = None
) -> tuple[AlignMamba, dict[str, Any]]:
    """Train, choosing the epoch by validation; returns the model and a record of the run."""
    composing = composing or ComposeConfig()
    torch.manual_seed(config.seed)
    source = ComposedSource(corpora, composing)
    model = AlignMamba(model_config)
    standardise(model, source.train, source.composer, np.random.default_rng(config.seed))
    run = fit(model, source, config)
    return model, {"config": asdict(config), "composing": asdict(composing), **run._asdict()}


def _validation_clips(valid: Corpora, texts: Sequence[LabelledSequence], disagreement: float) -> Iterator[Composed]:
    """Composed validation clips, each with a fixed random subset; the same in every run."""
    rng = np.random.default_rng(0)
    composer = valid.composer(disagreement=disagreement)
    for sample in texts:
        item = composer.compose(sample, rng)
        yield Composed(clip=drop_modalities(item.clip, rng), score=item.score)


def main() -> None:
    """Train from the command line and write the checkpoint."""
    parser = inputs.parser(__doc__, features=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--epochs", type=int, default=TrainConfig.epochs)
    parser.add_argument("--align-weight", type=float, default=ModelConfig.align_weight)
    parser.add_argument("--scaling", choices=("paper", "mean"), default="mean")
    parser.add_argument("--local", choices=("relaxed", "uniform"), default="relaxed")
    parser.add_argument("--time-weight", type=float, default=TIME_WEIGHT)
    parser.add_argument("--width", type=int, default=ModelConfig.width)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    encoder = arguments.out / ENCODER_FOLDER
    encoder = str(encoder) if encoder.exists() else ENCODER
    schema = ExtractionConfig(encoder=encoder).schema()
    dims = {f"{name}_dim": getattr(schema, name).dim for name in ("audio", "video", "language")}
    model_config = ModelConfig(
        **dims,
        width=arguments.width,
        align_weight=arguments.align_weight,
        scaling=arguments.scaling,
        local=arguments.local,
        time_weight=arguments.time_weight,
    )
    config = TrainConfig(seed=arguments.seed, epochs=arguments.epochs)
    model, record = train(Corpora.read(arguments.data, arguments.cache, encoder=encoder), model_config, config)
    checkpoint.save(arguments.out, model, schema=schema.to_dict(), training=record)


if __name__ == "__main__":
    main()
