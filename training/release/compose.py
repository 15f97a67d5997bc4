"""Clips of three modalities composed from corpora that have one each, joined by class of sentiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32

from alignmamba.batch import ModalitySteps
from alignmamba.evaluation.metrics import NEUTRAL, sentiment_class
from alignmamba.modality import SUBSETS, Modality
from extractors.audio.acoustic import AUDIO_RATE
from extractors.language.text_encoder import ENCODER
from extractors.vision import facial
from extractors.vision.facial import BLENDSHAPES, FRAME_RATE
from training.data.corpora import faces, pairs, speech, texts
from training.data.corpora.pairs import RealPair
from training.data.corpora.sequence import LabelledSequence
from training.release.readouts import Examples, Readout

T = TypeVar("T")

COPIES = 1  # augmented copies of each training recording
TALKING_SHARE = 0.8  # of neutral faces, which only talk; the others are surprised
REAL_SHARE = 0.4  # of training faces: real people who speak with an expression, instead of composed ones
FACE_SECONDS = (2.0, 6.0)  # length of a composed face sequence
PEAK_STRENGTH = (0.6, 1.0)  # share of the corpus's peak that a ramp reaches
PERSON_OFFSET = 1.25  # most of a difference between two people's mean faces that is added to a training face
# Chance that a training voice or face shows its read-outs only, its steps being the mean step. Faces: most of them,
# as a linear read-out tells the expressions of new people better than a network that reads their steps.
STEP_DROPOUT = {Modality.AUDIO: 0.5, Modality.VIDEO: 0.9}
COLUMN_MASK = {Modality.AUDIO: 0.2, Modality.VIDEO: 0.1}  # chance of a column of a training clip to be replaced
VOICED = 50  # column of an audio step that says whether it is voiced


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A composed clip with its label."""

    clip: dict[Modality, ModalitySteps]
    score: float


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What training does to the steps of a clip; absent when a model is measured.

    Attributes:
        means: Mean step per modality, which stands for a column that is masked.
    """

    means: Mapping[Modality, Float32[np.ndarray, " columns"]]


class Composer:
    """Draws composed clips; the same random generator gives the same clips."""

    def __init__(
        self,
        *,
        texts: Sequence[LabelledSequence],
        voices: Sequence[LabelledSequence],
        faces: Sequence[LabelledSequence],
        talking: Sequence[LabelledSequence],
        pairs: Sequence[RealPair] = (),
        readouts: Mapping[Modality, Readout],
        disagreement: float,
        augmentation: Augmentation | None = None,
    ) -> None:
        """Group the samples by class.

        Args:
            texts: Labelled sentences; their score is the label of the clip.
            voices: Labelled recordings.
            faces: Labelled peak expressions, one step each.
            talking: Face sequences of people talking, for the dynamics under the expression.
            pairs: Real clips of face and voice; their faces stand beside the composed ones, neutral ones also talk.
            readouts: Of the statistics of audio and video.
            disagreement: Share of voices and faces drawn without regard to the sentence's class.
            augmentation: Of training clips; None to measure.
        """
        self.texts, self.voices, self.faces, self.pairs = texts, voices, faces, pairs
        self._voices, self._faces = by_class(voices), by_class(faces)
        self._pairs = by_class(pairs)
        self._rest = np.concatenate([each.values for each in talking]).astype(np.float32).mean(0)
        self._talking = [(each.person, np.asarray(each.values, np.float32)) for each in talking]
        self._talking += [(f"pair_{pair.person}", pair.video) for pair in pairs if pair.label == "neutral"]
        self._means = [values.mean(0) for _, values in self._talking]
        self._readouts, self._disagreement, self._augmentation = readouts, disagreement, augmentation

    def compose(self, sample: LabelledSequence, rng: np.random.Generator) -> Composed:
        """A clip around a sentence, with a voice and a face of its class (or, sometimes, of any)."""
        audio_class, video_class = (
            sentiment_class(sample.score) if rng.random() >= self._disagreement else int(rng.integers(3))
            for _ in range(2)
        )
        voices = self._voices[audio_class]
        audio = self.audio_steps(voices[rng.integers(len(voices))], rng)
        steps = {
            Modality.LANGUAGE: np.asarray(sample.values, np.float32),
            Modality.AUDIO: audio,
            Modality.VIDEO: self.face_of_class(video_class, rng),
        }
        return Composed(clip=as_clip(steps), score=sample.score)

    def audio_steps(self, voice: LabelledSequence, rng: np.random.Generator) -> Float32[np.ndarray, "steps columns"]:
        """Steps of a recording, or in training of one of its copies, with the read-outs."""
        if self._augmentation is not None and voice.copies:
            voice = (voice, *voice.copies)[rng.integers(1 + len(voice.copies))]
        assert voice.statistics is not None
        read = self._readouts[Modality.AUDIO](voice.statistics, voice.person)
        values = self._masked(Modality.AUDIO, np.asarray(voice.values, np.float32), rng)
        return with_readouts(values, read)

    def video_steps(
        self, raw: Float32[np.ndarray, "steps 55"], person: str, rng: np.random.Generator
    ) -> Float32[np.ndarray, "steps columns"]:
        """Steps of a face with the read-outs."""
        read = self._readouts[Modality.VIDEO](facial.clip_statistics(raw), person)
        return with_readouts(self._masked(Modality.VIDEO, facial.above_rest(raw), rng), read)

    def face_of_class(self, kind: int, rng: np.random.Generator) -> Float32[np.ndarray, "steps columns"]:
        """A face of a class: a real one, or an expression on a talking face."""
        return self.video_steps(*self.raw_face_of_class(kind, rng), rng)

    def raw_face_of_class(self, kind: int, rng: np.random.Generator) -> tuple[Float32[np.ndarray, "steps 55"], str]:
        """Raw columns of a face of a class, and the person that it shows."""
        real = self._pairs[kind]
        if real and rng.random() < REAL_SHARE:
            return self.real_face(real[rng.integers(len(real))], rng)
        return self.face_sequence(self.draw_face(self._faces[kind], rng), rng)

    def real_face(self, pair: RealPair, rng: np.random.Generator) -> tuple[Float32[np.ndarray, "steps 55"], str]:
        """Raw columns of a part of a real face, and the person that it shows."""
        return self._moved(_cut(pair.video, rng), rng), f"pair_{pair.person}"

    def draw_face(self, group: Sequence[LabelledSequence], rng: np.random.Generator) -> LabelledSequence | None:
        """An expression of a class; None, a face that only talks, for most neutral ones."""
        drawn = group[rng.integers(len(group))] if group else None
        neutral = drawn is not None and sentiment_class(drawn.score) == NEUTRAL
        return None if neutral and rng.random() < TALKING_SHARE else drawn

    def face_sequence(
        self, face: LabelledSequence | None, rng: np.random.Generator
    ) -> tuple[Float32[np.ndarray, "steps 55"], str]:
        """A talking face with an expression that rises to its peak and falls: talking + ramp * (peak - rest).

        Returns:
            Raw columns, and the person whose expression it is (who talks, without one).
        """
        person, talking = self._talking[rng.integers(len(self._talking))]
        moving = _cut(talking, rng)
        if face is None:
            return self._moved(moving, rng), person
        rise, fall = np.sort(rng.uniform(0, 1, 2))
        place = np.linspace(0, 1, len(moving))
        ramp = np.interp(place, [0, rise / 2, (1 + fall) / 2, 1], [rng.uniform(0, 1), 1, 1, rng.uniform(0, 1)])
        change = rng.uniform(*PEAK_STRENGTH) * (face.values[0].astype(np.float32) - self._rest)
        return self._moved(moving + ramp[:, None] * change, rng), face.person

    def pair_clip(self, pair: RealPair, audio: LabelledSequence, rng: np.random.Generator) -> Composed:
        """A real clip as it is, face and voice of one person at their own times."""
        video = self.video_steps(pair.video, f"pair_{pair.person}", rng)
        steps = {Modality.AUDIO: self.audio_steps(audio, rng), Modality.VIDEO: video}
        clip = as_clip(steps)
        seconds = torch.from_numpy(pair.video_seconds.astype(np.float32))
        clip[Modality.VIDEO] = clip[Modality.VIDEO]._replace(seconds=seconds)
        return Composed(clip=clip, score=pair.score)

    def _moved(self, raw: np.ndarray, rng: np.random.Generator) -> Float32[np.ndarray, "steps 55"]:
        """In training, give a face another person's rest; blendshapes stay in [0, 1]."""
        raw = raw.copy()
        if self._augmentation is not None:
            one, other = rng.integers(len(self._means), size=2)
            raw += (self._means[one] - self._means[other]) * rng.uniform(0, PERSON_OFFSET)
        raw[:, : len(BLENDSHAPES)] = raw[:, : len(BLENDSHAPES)].clip(0, 1)
        return raw.astype(np.float32)

    def _masked(self, modality: Modality, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """In training, replace some columns, or all of them, by their means."""
        if self._augmentation is None:
            return values
        masked = rng.random(values.shape[1]) < COLUMN_MASK[modality]
        if rng.random() < STEP_DROPOUT[modality]:
            masked[:] = True
        return np.where(masked, self._augmentation.means[modality], values).astype(np.float32)


def _cut(values: np.ndarray, rng: np.random.Generator) -> Float32[np.ndarray, "steps 55"]:
    """A random part of a face sequence, of random length; short ones are repeated."""
    steps = int(rng.uniform(*FACE_SECONDS) * FRAME_RATE)
    first = rng.integers(max(1, len(values) - steps + 1))
    return np.resize(values[first : first + steps], (min(steps, max(len(values), 15)), values.shape[1])).astype(
        np.float32
    )


def with_readouts(values: np.ndarray, read: np.ndarray) -> Float32[np.ndarray, "steps columns"]:
    """Steps with the same read-outs beside each."""
    return np.concatenate([values, np.repeat(read[None], len(values), 0)], axis=1).astype(np.float32)


def by_class(samples: Sequence[T], *, score: Callable[[T], float] = attrgetter("score")) -> list[list[T]]:
    """Group samples in the order of `sentiment_class`."""
    groups: list[list[T]] = [[], [], []]
    for sample in samples:
        groups[sentiment_class(score(sample))].append(sample)
    return groups


def as_clip(steps: Mapping[Modality, np.ndarray]) -> dict[Modality, ModalitySteps]:
    """Give steps their plausible times: audio and video at their rates, words evenly over the voiced part."""
    rates = {Modality.AUDIO: AUDIO_RATE, Modality.VIDEO: FRAME_RATE}
    duration = max((len(values) / rates[m] for m, values in steps.items() if m in rates), default=1.0)
    begin, end = 0.0, duration
    if Modality.AUDIO in steps and (voiced := np.flatnonzero(steps[Modality.AUDIO][:, VOICED] > 0)).size > 1:
        begin, end = voiced[0] / AUDIO_RATE, (voiced[-1] + 1) / AUDIO_RATE
    clip = {}
    for modality, values in steps.items():
        if modality in rates:
            seconds = (torch.arange(len(values), dtype=torch.float32) + 0.5) / rates[modality]
        else:
            seconds = begin + (torch.arange(len(values), dtype=torch.float32) + 0.5) / len(values) * (end - begin)
        numbers = torch.from_numpy(np.asarray(values, np.float32))
        clip[modality] = ModalitySteps(numbers, torch.ones(len(values), dtype=torch.bool), seconds)
    return clip


def drop_modalities(clip: Mapping[Modality, ModalitySteps], rng: np.random.Generator) -> dict[Modality, ModalitySteps]:
    """Keep one of the non-empty subsets of what a clip has, drawn evenly: modality dropout."""
    subsets = [subset for subset in SUBSETS if subset <= set(clip)]
    kept = subsets[rng.integers(len(subsets))]
    return {modality: steps for modality, steps in clip.items() if modality in kept}


@dataclass(frozen=True, kw_only=True)
class Corpora:
    """Everything that is trained and measured on.

    Attributes:
        texts: Labelled sentences.
        voices: Recordings, the training ones with augmented copies.
        faces: Peak expressions.
        talking: Plain talkers, who serve in all splits.
        pairs: Real clips of face and voice, of the people that may be trained on.
        whisper: Whether the statistics of voices end with the mean Whisper state.
    """

    texts: list[LabelledSequence]
    voices: list[LabelledSequence]
    faces: list[LabelledSequence]
    talking: list[LabelledSequence]
    pairs: list[RealPair]
    whisper: bool

    @classmethod
    def read(
        cls,
        data: Path,
        cache: Path,
        *,
        encoder: str = ENCODER,
        whisper: bool,
        without_person: str | None = None,
        copies: int = COPIES,
    ) -> Corpora:
        """Read, extracting what the cache does not hold; one person of the real pairs may be left out.

        Args:
            data: Folder with `text/`, `speech/`, `faces/`, `clips/` and `av/`.
            cache: Folder of the cache.
            encoder: Text encoder of the words.
            whisper: Whether the statistics of voices end with the mean Whisper state.
            without_person: Number of a person of the real pairs.
            copies: Augmented copies of each training recording; measuring needs none.
        """
        real = pairs.read(data, cache)
        return cls(
            texts=texts.read(data, cache, encoder=encoder),
            voices=speech.sequences(data, cache, whisper=whisper, copies=copies),
            faces=faces.read(data, cache),
            talking=faces.read_talking(data, cache),
            pairs=[pair for pair in real if pair.person != without_person],
            whisper=whisper,
        )

    def split(self, name: str) -> Corpora:
        """The samples of "train", "valid" or "test"; talking faces and real pairs carry no split."""
        parts = {kind: [s for s in getattr(self, kind) if s.split == name] for kind in ("texts", "voices", "faces")}
        return replace(self, **parts)

    def composer(
        self,
        *,
        disagreement: float,
        read: Mapping[Modality, Readout],
        augmentation: Augmentation | None = None,
    ) -> Composer:
        """A composer over these samples; real pairs are drawn from in training only."""
        parts = {kind: getattr(self, kind) for kind in ("texts", "voices", "faces", "talking")}
        real = self.pairs if augmentation is not None else ()
        return Composer(**parts, pairs=real, disagreement=disagreement, readouts=read, augmentation=augmentation)

    def face_examples(self, *, count: int, seed: int = 0) -> Examples:
        """Composed faces, of all classes alike, that a read-out of video is fitted on.

        Args:
            count: How many are drawn.
            seed: Of the draw.
        """
        rng = np.random.default_rng(seed)
        composer = self.composer(disagreement=0.0, read={}, augmentation=Augmentation(means={}))
        kinds = [int(rng.integers(3)) for _ in range(count)]
        drawn = [composer.raw_face_of_class(kind, rng) for kind in kinds]
        return Examples(
            statistics=np.stack([facial.clip_statistics(raw) for raw, _ in drawn]).astype(np.float64),
            people=[person for _, person in drawn],
            labels=["happy" if kind == 2 else "other" for kind in kinds],
            classes=np.array(kinds),
        )

    def real_faces(self) -> Examples:
        """The faces of the real pairs as they are."""
        return Examples(
            statistics=np.array([facial.clip_statistics(pair.video) for pair in self.pairs], np.float64).reshape(
                -1, len(facial.CLIP_COLUMNS)
            ),
            people=[f"pair_{pair.person}" for pair in self.pairs],
            labels=[pair.label for pair in self.pairs],
            classes=np.array([sentiment_class(pair.score) for pair in self.pairs], int),
        )
