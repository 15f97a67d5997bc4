"""A small made-up world of sentences, voices, faces, talkers and real pairs; the first columns hold the score."""

import numpy as np

from extractors.audio import statistics
from extractors.audio.acoustic import DESCRIPTORS, FILLED_COLUMNS
from extractors.vision import facial
from training.data.corpora.faces import VALENCE as FACES
from training.data.corpora.pairs import RealPair
from training.data.corpora.sequence import LabelledSequence
from training.data.corpora.speech import VALENCE as VOICES
from training.data.corpora.speech import SpeechFeatures
from training.release.compose import Corpora

TEXT_DIM = 16
SPLITS = (("train", 6), ("valid", 2), ("test", 3))
VOICE_LABELS = ("happy", "neutral", "angry")
PEOPLE = ("1", "2", "6", "7")


def level(score):
    return 0.5 + score / 6


def _values(rng, steps, dim, score, *, signal):
    values = rng.normal(0.3, 0.1, (steps, dim)).clip(0, 1)
    values[:, :signal] = level(score) + rng.normal(0, 0.03, (steps, 1))
    return values.astype(np.float32)


def text(rng, score, split, number):
    values = _values(rng, int(rng.integers(3, 9)), TEXT_DIM, score, signal=4)
    name = f"text_{number}"
    return LabelledSequence(values=values, score=score, label=str(score), corpus="mosi", split=split, id=name)


def voice(rng, label, split, person, *, corpus="ravdess", copies=()):
    score = VOICES[label]
    values = _values(rng, 20, len(FILLED_COLUMNS), score, signal=12)
    values[:, -1] = 1.0
    values[:4, -1] = values[17:, -1] = 0.0  # voiced from .4 to 1.7 s
    described = _values(rng, 1, len(statistics.NAMES), score, signal=60)[0]
    return LabelledSequence(
        values=values, statistics=described, score=score, label=label, corpus=corpus, split=split, person=person,
        copies=copies,
    )  # fmt: skip


def face(rng, label, split, person):
    values = _values(rng, 1, facial.SCHEMA.dim, FACES[label], signal=14)
    return LabelledSequence(values=values, score=FACES[label], label=label, corpus="ck", split=split, person=person)


def speech_features(rng, score, *, seconds=2.0):
    rows = rng.normal(1.0, 0.1, (int(seconds * 100), len(DESCRIPTORS)))
    rows[:, :8] += score
    return SpeechFeatures(rows.astype(np.float32), rng.normal(size=512).astype(np.float32))


def pair(rng, label, person, number):
    score = VOICES[label]
    return RealPair(
        name=f"{person}-{label}-{number}",
        person=person,
        label=label,
        video=_values(rng, 20, facial.SCHEMA.dim, score, signal=14),
        video_seconds=np.arange(20) / 10 + 0.05,
        audio=speech_features(rng, score),
        narrow_audio=speech_features(rng, score),
    )


def corpora():
    rng = np.random.default_rng(0)
    texts, voices, faces = [], [], []
    for split, repeats in SPLITS:
        for number in range(repeats):
            people = [f"{split}_{number}", f"savee_{split}"]
            for score in (-2.0, -1.0, 0.0, 1.0, 2.0):
                texts.append(text(rng, score, split, len(texts)))
            for label in VOICE_LABELS:
                for person in people:
                    corpus = "savee" if person.startswith("savee") else "ravdess"
                    copies = (voice(rng, label, split, person, corpus=corpus),) if split == "train" else ()
                    voices.append(voice(rng, label, split, person, corpus=corpus, copies=copies))
            faces += [face(rng, label, split, f"ck_{split}_{number}") for label in ("happy", "surprise", "anger")]
    talking = [
        LabelledSequence(
            values=_values(rng, 40, facial.SCHEMA.dim, 0.0, signal=14), score=0.0, label="talking", corpus="talking",
            split="train", person=f"talker_{number}",
        )
        for number in range(3)
    ]  # fmt: skip
    pairs = [
        pair(rng, label, person, number)
        for person in PEOPLE
        for label in ("happy", "neutral", "sad")
        for number in range(2)
    ]
    return Corpora(texts=texts, voices=voices, faces=faces, talking=talking, pairs=pairs, whisper=False)
