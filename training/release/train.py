"""Train a checkpoint of the app.

Run `python -m training.release.train --data ../shared/data --out checkpoints/alignmamba-open --features
statistics+whisper` for the default one, with `--features statistics` for the one of openSMILE alone. Five seeds are
trained, each resumable; the best by validation ships.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from alignmamba import checkpoint
from alignmamba.batch import collate
from alignmamba.config import ModelConfig
from alignmamba.evaluation.metrics import balanced_accuracy, sentiment_class, sentiment_metrics
from alignmamba.modality import Modality
from alignmamba.modeling.model import AlignMamba
from alignmamba.ops.device import default_device
from extractors.audio import acoustic
from extractors.schema import FeatureSchema
from extractors.storage.config import ExtractionConfig
from extractors.vision import facial
from training.data.corpora.pairs import pair_audio
from training.data.corpora.sequence import LabelledSequence
from training.data.datasets import length_buckets
from training.release import inputs, readouts
from training.release.compose import Augmentation, Composed, Composer, Corpora, as_clip, by_class, drop_modalities
from training.release.inputs import outputs
from training.release.readouts import Readout
from training.run_state import digest
from training.trainer import Labelled, TrainConfig, fit

log = logging.getLogger(__name__)

T = TypeVar("T")

SEEDS = (1111, 1112, 1113, 1114, 1115)
TRAIN = TrainConfig(align_first=0.0)  # alignment first was measured on sequences of words, not on composed clips
EPOCHS = 4
TIME_WEIGHT = 0.5  # cost of a second between two steps
READOUT_STRENGTH = {"statistics": 0.03, "statistics+whisper": 0.01}  # inverse regularisation C, by speaker folds
FACE_STRENGTH = 0.001  # after a look at how read-outs transfer between the people of the real pairs
FACE_EXAMPLES = 3000  # composed faces that the video read-out is fitted on
VOICE_SHARES = (0.42, 0.25, 0.33)  # of voices alone: negative, neutral, positive
FACE_SHARES = (0.2, 0.5, 0.3)  # of faces alone and of real pairs: most people who talk show little


@dataclass(frozen=True, kw_only=True)
class ComposeConfig:
    """How training clips are composed; all are our choice.

    Attributes:
        disagreement: See `Composer`.
        mosi_repeat: How often an epoch shows each MOSI sentence: the only ones with the task's own labels.
        single_repeat: Voices and faces that an epoch shows alone, labelled by their own valence, as a multiple of all.
        pair_repeat: How often an epoch shows each real pair of face and voice.
        augment: Whether training clips are augmented (copies, masks, other people's rest).
    """

    disagreement: float = 0.15
    mosi_repeat: int = 4
    single_repeat: int = 2
    pair_repeat: int = 8
    augment: bool = True


def fit_readouts(train: Corpora, *, seed: int = 0) -> dict[Modality, Readout]:
    """Fit the read-outs of audio and video on training people, each also without every fold of people."""
    voices = [copy for voice in train.voices for copy in (voice, *voice.copies)]
    voices += [pair_audio(pair, whisper=train.whisper) for pair in train.pairs]
    audio = readouts.Examples(
        statistics=np.stack([voice.statistics for voice in voices]).astype(np.float64),
        people=[voice.person for voice in voices],
        labels=[voice.label for voice in voices],
        classes=np.array([sentiment_class(voice.score) for voice in voices]),
    )
    strength = READOUT_STRENGTH["statistics+whisper" if train.whisper else "statistics"]
    found = {Modality.AUDIO: readouts.fit_folded(audio, strength=strength)}
    faces = train.face_examples(count=FACE_EXAMPLES, seed=seed)
    columns = readouts.chosen_face_columns(faces, train.real_faces(), strength=FACE_STRENGTH)
    video = readouts.fit_folded(faces, strength=FACE_STRENGTH, columns=columns)
    return {**found, Modality.VIDEO: video}


def data_digest(corpora: Corpora, composing: ComposeConfig) -> str:
    """Hash of everything that is trained on and validated with, and of how clips are composed of it."""
    return digest([composing, corpora.split("train"), corpora.split("valid")])


class ComposedSource:
    """Composed clips as a `Source` of the trainer: an epoch shows every sentence once, voices, faces and real pairs."""

    def __init__(self, corpora: Corpora, config: ComposeConfig, read: Mapping[Modality, Readout]) -> None:
        train, valid = corpora.split("train"), corpora.split("valid")
        self.config, self.train, self._corpora = config, train, corpora
        plain = train.composer(disagreement=config.disagreement, read=read)
        self.rows = _training_rows(train, plain)
        means = {modality: rows.mean(0).astype(np.float32) for modality, rows in self.rows.items()}
        augmentation = None
        if config.augment:
            audio, video = (means[m][: -readouts.OUTPUTS] for m in (Modality.AUDIO, Modality.VIDEO))
            augmentation = Augmentation(means={Modality.AUDIO: audio, Modality.VIDEO: video})
        self.composer = train.composer(disagreement=config.disagreement, read=read, augmentation=augmentation)
        self._pairs = [(pair, pair_audio(pair, whisper=train.whisper)) for pair in train.pairs]
        self._samples = [s for s in train.texts for _ in range(config.mosi_repeat if s.corpus == "mosi" else 1)]
        self._words = [sample for sample in valid.texts if sample.corpus == "mosi"]
        measuring = valid.composer(disagreement=config.disagreement, read=read)
        self._mixed = list(_validation_clips(measuring, self._words))
        rng = np.random.default_rng(0)
        self._voices = [as_clip({Modality.AUDIO: measuring.audio_steps(voice, rng)}) for voice in valid.voices]
        self._voice_scores = np.array([voice.score for voice in valid.voices])

    @cached_property
    def digest(self) -> str:
        """As `data_digest`."""
        return data_digest(self._corpora, self.config)

    def batches(self, size: int, rng: np.random.Generator) -> list[list[Composed]]:
        """One epoch's clips, each with a random subset of its modalities."""
        batches = []
        for indices in length_buckets([len(sample.values) for sample in self._samples], size, rng):
            composed = [self.composer.compose(self._samples[index], rng) for index in indices]
            batches.append([replace(item, clip=drop_modalities(item.clip, rng)) for item in composed])
        alone = [*self._voices_alone(rng), *self._faces_alone(rng), *self._real(rng)]
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
        voices = outputs(model, self._voices).scores
        measured = sentiment_metrics(words, np.array([sample.score for sample in self._words]))
        mixed_mae = float(np.mean(np.abs(mixed - np.array([item.score for item in self._mixed]))))
        voice_mae = float(np.mean(np.abs(voices - self._voice_scores)))
        signed = np.abs(self._voice_scores) > 1
        voice_balanced = balanced_accuracy(voices[signed] > 0, self._voice_scores[signed] > 0)
        chosen_by = (measured["mae"] + mixed_mae + voice_mae) / 3
        figures = {"mixed_mae": mixed_mae, "voice_mae": voice_mae, "voice_balanced": voice_balanced}
        return {"chosen_by": chosen_by, **figures, **measured}

    def _voices_alone(self, rng: np.random.Generator) -> Iterator[Composed]:
        """Voices, by class in the shares of `VOICE_SHARES`: acted emotions are mostly negative, people are not."""
        groups = by_class(self.train.voices)
        for _ in range(len(self.train.voices) * self.config.single_repeat):
            voice = _drawn(groups, VOICE_SHARES, rng)
            yield Composed(clip=as_clip({Modality.AUDIO: self.composer.audio_steps(voice, rng)}), score=voice.score)

    def _faces_alone(self, rng: np.random.Generator) -> Iterator[Composed]:
        """Faces with the score of their class's mean valence, in the shares of `FACE_SHARES`."""
        scores = [np.mean([face.score for face in group]) for group in by_class(self.train.faces)]
        for _ in range(len(self.train.faces) * 2 * self.config.single_repeat):
            kind = int(rng.choice(3, p=FACE_SHARES))
            yield Composed(
                clip=as_clip({Modality.VIDEO: self.composer.face_of_class(kind, rng)}), score=float(scores[kind])
            )

    def _real(self, rng: np.random.Generator) -> Iterator[Composed]:
        """Real pairs as they are, whole or one modality of them, in the shares of `FACE_SHARES`."""
        groups = by_class(self._pairs, score=lambda found: found[0].score)
        for _ in range(len(self._pairs) * self.config.pair_repeat):
            item = self.composer.pair_clip(*_drawn(groups, FACE_SHARES, rng), rng)
            yield replace(item, clip=drop_modalities(item.clip, rng))


def _drawn(groups: Sequence[Sequence[T]], shares: Sequence[float], rng: np.random.Generator) -> T:
    """Draw a sample from groups in the given shares; empty groups are passed over."""
    weights = np.array([share if group else 0.0 for group, share in zip(groups, shares, strict=True)])
    group = groups[rng.choice(len(groups), p=weights / weights.sum())]
    return group[rng.integers(len(group))]


def _training_rows(train: Corpora, composer: Composer) -> dict[Modality, np.ndarray]:
    """Steps of each modality, from which its mean and standard deviation are taken."""
    rng = np.random.default_rng(0)
    faces_of = [composer.face_of_class(int(rng.integers(3)), rng) for _ in range(600)]
    return {
        Modality.LANGUAGE: np.concatenate([sample.values for sample in train.texts if sample.corpus == "mosi"]),
        Modality.AUDIO: np.concatenate([composer.audio_steps(voice, rng) for voice in train.voices]),
        Modality.VIDEO: np.concatenate(faces_of),
    }


def standardise(model: AlignMamba, rows: Mapping[Modality, np.ndarray]) -> None:
    """Set the encoders' mean and standard deviation."""
    for modality, values in rows.items():
        encoder = model.encoders[modality]
        encoder.mean.copy_(torch.from_numpy(values.astype(np.float64).mean(0)))
        spread = values.astype(np.float64).std(0)
        encoder.std.copy_(torch.from_numpy(np.where(spread > 1e-4, spread, 1.0)))  # a constant column stays as it is


def train(
    corpora: Corpora,
    model_config: ModelConfig,
    config: TrainConfig,
    composing: ComposeConfig | None = None,
    folder: Path | None = None,
    read: Mapping[Modality, Readout] | None = None,
) -> tuple[AlignMamba, Mapping[Modality, Readout], dict[str, Any]]:
    """Train, choosing the epoch by validation; returns the model, its read-outs and a record of the run.

    On the device of `alignmamba.ops.device.default_device`; the shipped checkpoints were trained on a CPU. `read` is
    what `fit_readouts` returns for these corpora, if that has been called already.
    """
    composing = composing or ComposeConfig()
    torch.manual_seed(config.seed)
    read = read or fit_readouts(corpora.split("train"))
    source = ComposedSource(corpora, composing, read)
    model = AlignMamba(model_config)
    install(model, read)
    standardise(model, source.rows)
    run = fit(model.to(default_device()), source, config, folder=folder)
    record = {"config": asdict(config), "composing": asdict(composing), "data": source.digest}
    return model, read, {**record, **run._asdict()}


def install(model: AlignMamba, read: Mapping[Modality, Readout]) -> None:
    """Put the full fits into the model, which computes them from raw columns."""
    for modality, fitted in read.items():
        module = model.encoders[modality].readout
        for name in ("mean", "std", "weight", "bias"):
            getattr(module, name).copy_(torch.from_numpy(getattr(fitted.full, name)))


def _validation_clips(composer: Composer, sentences: Sequence[LabelledSequence]) -> Iterator[Composed]:
    """Composed validation clips, each with a fixed random subset; the same in every run."""
    rng = np.random.default_rng(0)
    for sample in sentences:
        item = composer.compose(sample, rng)
        yield Composed(clip=drop_modalities(item.clip, rng), score=item.score)


def train_seeds(
    corpora: Corpora,
    model_config: ModelConfig,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    runs: Path,
    out: Path,
    schema: Mapping[str, Any],
    encoder_of: str | None = None,
) -> Path:
    """Train with every seed, keep each as a checkpoint under `runs`, and copy the best by validation to `out`.

    A seed whose checkpoint is there is not trained again; a killed run goes on from its last epoch. `encoder_of` is as
    in `checkpoint.save`.

    Returns:
        The folder of the seed that was chosen.

    Raises:
        ValueError: If a checkpoint under `runs` was trained with other settings or data; nothing is overwritten.
    """
    found: dict[Path, float] = {}
    data = data_digest(corpora, ComposeConfig())
    read = None
    for seed in seeds:
        folder = runs / str(seed)
        if not (folder / checkpoint.WEIGHTS).exists():
            settings = replace(config, seed=seed)
            read = read or fit_readouts(corpora.split("train"))
            model, _, record = train(corpora, model_config, settings, folder=runs / f"{seed}-state", read=read)
            checkpoint.save(folder, model, schema=dict(schema), training=record)
        kept = checkpoint.load(folder, calibrated=False)
        record = kept.training
        ours = (record.get("config"), record.get("data"), kept.model.config)
        if ours != (asdict(replace(config, seed=seed)), data, model_config):
            raise ValueError(f"{folder}: was trained with other settings or other data; choose another folder for runs")
        log.info("seed %d: the checkpoint in %s", seed, folder)
        found[folder] = min(entry["chosen_by"] for entry in record["history"])
        log.info("seed %d: %.4f by validation", seed, found[folder])
    chosen = min(found, key=lambda folder: found[folder])
    best = checkpoint.load(chosen, calibrated=False)
    by_seed = {folder.name: round(value, 4) for folder, value in found.items()}
    record = {**best.training, "chosen": "the seed with the least error by validation", "validation_by_seed": by_seed}
    checkpoint.save(out, best.model, schema=best.schema, training=record, encoder_of=encoder_of)
    return chosen


def main() -> None:
    """Train from the command line and write the checkpoint."""
    parser = inputs.parser(__doc__, features=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--features", choices=tuple(READOUT_STRENGTH), default="statistics+whisper")
    parser.add_argument("--runs", type=Path, default=Path("runs/release"), help="where each seed's checkpoint is kept")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--without-person", help="of the real pairs, kept for measuring")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    encoder = inputs.shared_encoder(arguments.out)
    schema = ExtractionConfig(encoder=str(encoder), feature_set=arguments.features).schema()
    whisper = arguments.features == "statistics+whisper"
    corpora = Corpora.read(
        arguments.data, arguments.cache, encoder=str(encoder), whisper=whisper, without_person=arguments.without_person
    )
    left_out = f"-without-{arguments.without_person}" if arguments.without_person else ""
    train_seeds(
        corpora,
        model_config(schema),
        replace(TRAIN, epochs=arguments.epochs),
        seeds=arguments.seeds,
        runs=arguments.runs / (arguments.features + left_out),
        out=arguments.out,
        schema=schema.to_dict(),
        encoder_of=None if encoder.parent == arguments.out else encoder.parent.name,
    )


def model_config(schema: FeatureSchema, **changes: Any) -> ModelConfig:
    """Settings of the shipped model for a feature schema."""
    dims = {f"{name}_dim": getattr(schema, name).dim for name in ("audio", "video", "language")}
    settings = {
        "audio_statistics": schema.audio.dim - len(acoustic.FILLED_COLUMNS),
        "video_statistics": len(facial.CLIP_COLUMNS),
        "readouts": readouts.OUTPUTS,
        "scaling": "mean",
        "time_weight": TIME_WEIGHT,
    }
    return ModelConfig(**dims, **{**settings, **changes})


if __name__ == "__main__":
    main()
