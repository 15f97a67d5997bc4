"""Clips of three modalities composed from corpora that have one each, joined by class of sentiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from alignmamba.batch import ModalitySteps
from alignmamba.evaluation.metrics import NEUTRAL, sentiment_class
from alignmamba.modality import SUBSETS, Modality
from extractors.audio.acoustic import AUDIO_RATE
from extractors.vision.facial import BLENDSHAPES, FRAME_RATE
from training.data.corpora import LabelledSequence

TALKING_SHARE = 0.8  # of neutral faces, which only talk; the others are surprised
FACE_SECONDS = (2.0, 6.0)  # length of a composed face sequence
PEAK_STRENGTH = (0.6, 1.0)  # share of the corpus's peak that a ramp reaches


@dataclass(frozen=True, kw_only=True)
class Composed:
    """A composed clip with its label."""

    clip: dict[Modality, ModalitySteps]
    score: float


class Composer:
    """Draws composed clips; the same random generator gives the same clips."""

    def __init__(
        self,
        *,
        texts: Sequence[LabelledSequence],
        voices: Sequence[LabelledSequence],
        faces: Sequence[LabelledSequence],
        talking: Sequence[Float[np.ndarray, "steps dim"]],
        disagreement: float,
    ) -> None:
        """Group the samples by class.

        Args:
            texts: Labelled sentences; their score is the label of the clip.
            voices: Labelled recordings.
            faces: Labelled peak expressions, one step each.
            talking: Face sequences of people talking, for the dynamics under the expression.
            disagreement: Share of voices and faces drawn without regard to the sentence's class.
        """
        self.texts, self.voices, self.faces = texts, voices, faces
        self._voices, self._faces = by_class(voices), by_class(faces)
        self._talking = [np.asarray(sequence, np.float32) for sequence in talking]
        self._rest = np.concatenate(self._talking).mean(0)
        self._disagreement = disagreement

    def compose(self, sample: LabelledSequence, rng: np.random.Generator) -> Composed:
        """A clip around a sentence, with a voice and a face of its class (or, sometimes, of any)."""
        kind = sentiment_class(sample.score)
        voice, face = (
            groups[kind if rng.random() >= self._disagreement else int(rng.integers(3))]
            for groups in (self._voices, self._faces)
        )
        steps = {
            Modality.LANGUAGE: sample.values,
            Modality.AUDIO: voice[rng.integers(len(voice))].values,
            Modality.VIDEO: self.face_sequence(self.draw_face(face, rng), rng),
        }
        return Composed(clip=as_clip(steps), score=sample.score)

    def draw_face(self, group: Sequence[LabelledSequence], rng: np.random.Generator) -> LabelledSequence | None:
        """An expression of a class; None, a face that only talks, for most neutral ones."""
        drawn = group[rng.integers(len(group))] if group else None
        neutral = drawn is not None and sentiment_class(drawn.score) == NEUTRAL
        return None if neutral and rng.random() < TALKING_SHARE else drawn

    def face_sequence(self, face: LabelledSequence | None, rng: np.random.Generator) -> Float[np.ndarray, "steps dim"]:
        """A talking face with an expression that rises to its peak and falls: rest dynamics + ramp * (peak - rest)."""
        steps = int(rng.uniform(*FACE_SECONDS) * FRAME_RATE)
        moving = self._talking[rng.integers(len(self._talking))]
        first = rng.integers(max(1, len(moving) - steps))
        dynamics = np.resize(moving[first : first + steps], (steps, moving.shape[1]))
        if face is None:
            return dynamics
        rise, fall = np.sort(rng.uniform(0, 1, 2))
        place = np.linspace(0, 1, steps)
        ramp = np.interp(place, [0, rise / 2, (1 + fall) / 2, 1], [0, 1, 1, rng.uniform(0, 1)])
        strength = rng.uniform(*PEAK_STRENGTH)
        moved = dynamics + ramp[:, None] * strength * (face.values[0].astype(np.float32) - self._rest)
        moved[:, : len(BLENDSHAPES)] = moved[:, : len(BLENDSHAPES)].clip(0, 1)
        return moved.astype(np.float32)


def by_class(samples: Sequence[LabelledSequence]) -> list[list[LabelledSequence]]:
    """Samples in the order of `sentiment_class`."""
    groups: list[list[LabelledSequence]] = [[], [], []]
    for sample in samples:
        groups[sentiment_class(sample.score)].append(sample)
    return groups


def as_clip(steps: Mapping[Modality, np.ndarray]) -> dict[Modality, ModalitySteps]:
    """Give steps their plausible times: voice and face at their rates, words evenly over the longer of both."""
    rates = {Modality.AUDIO: AUDIO_RATE, Modality.VIDEO: FRAME_RATE}
    duration = max((len(values) / rates[m] for m, values in steps.items() if m in rates), default=1.0)
    clip = {}
    for modality, values in steps.items():
        rate = rates.get(modality, len(values) / duration)
        seconds = (torch.arange(len(values), dtype=torch.float32) + 0.5) / rate
        numbers = torch.from_numpy(np.asarray(values, np.float32))
        clip[modality] = ModalitySteps(numbers, torch.ones(len(values), dtype=torch.bool), seconds)
    return clip


def drop_modalities(clip: Mapping[Modality, ModalitySteps], rng: np.random.Generator) -> dict[Modality, ModalitySteps]:
    """Keep one of the seven subsets, drawn evenly: modality dropout."""
    kept = SUBSETS[rng.integers(len(SUBSETS))]
    return {modality: steps for modality, steps in clip.items() if modality in kept}
