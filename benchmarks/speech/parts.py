"""How right the scores of a clip's parts are where its two parts disagree, by words alone and by voice alone.

`python -m benchmarks.speech.parts DATA` writes results/speech/parts-cpu.json. DATA is a folder with text/ and speech/,
see docs/data.md. Test sentences of CMU-MOSI are said two by two, one positive and one negative in either order;
recordings of two test speakers of a corpus, one happy and one of a negative emotion, are glued. Each is scored as a
part of its clip, described anew (as the app does) or cut out of what describes the whole clip, and, if a recording, as
a clip of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from alignmamba.evaluation.metrics import balanced_accuracy, sentiment_metrics
from alignmamba.evaluation.segments import score_segments
from alignmamba.evaluation.windows import Sliceable
from alignmamba.modality import Modality
from alignmamba.predictor import Predictor
from extractors.language import word_features
from extractors.media.audio import SAMPLE_RATE
from extractors.messages import Message
from extractors.schema import ClipFeatures, FeatureSchema, ModalityFeatures, Word
from extractors.storage.config import ExtractionConfig, feature_set_of
from extractors.storage.parts import Parts
from training.data.corpora import speech, texts
from training.data.corpora.speech import Recording
from training.data.datasets import sha256
from training.reporting.result_files import ROOT, SPEECH_RESULTS, write

CHECKPOINT = ROOT / "checkpoints" / "alignmamba-open"
PAIRS = 250
GLUED = 100  # pairs of recordings
LEFT_OUT = "savee"  # as in the tables of the checkpoint
WORD, PAUSE = 0.4, 2.0  # seconds of a word, and between two parts
ANEW, CUT, ALONE = "anew", "as the whole clip", "a clip of its own"
SEED = 1111
METRICS = ("acc2_non0", "mae", "corr")

Labelled = tuple[list[str], float]
"""Words of a sentence and its score."""
Span = tuple[float, float]
"""Seconds from and to."""
Sound = Float32[np.ndarray, " samples"]


def pairs(data: Path) -> list[tuple[Labelled, Labelled]]:
    """Draw a positive and a negative sentence for each clip, which begins with either in turn."""
    rows = [
        (text.split(), score)
        for text, score, corpus, split, _ in texts.sentences(data)
        if (corpus, split) == ("mosi", "test") and text.split()
    ]
    rng = np.random.default_rng(SEED)
    positive, negative = ([row for row in rows if row[1] * sign > 0] for sign in (1, -1))
    drawn = [[side[place] for place in rng.permutation(len(side))[:PAIRS]] for side in (positive, negative)]
    return [(one, other) if place % 2 else (other, one) for place, (one, other) in enumerate(zip(*drawn, strict=True))]


def spoken(pair: Sequence[Labelled], predictor: Predictor) -> tuple[ClipFeatures, list[Span]]:
    """Features of a clip without audio and video in which sentences are said one after the other, and their spans."""
    words, spans, second = [], [], 0.0
    for said, _score in pair:
        spans.append((second, second + len(said) * WORD))
        words += [
            Word(text=text, start=second + place * WORD, end=second + (place + 1) * WORD)
            for place, text in enumerate(said)
        ]
        second = spans[-1][1] + PAUSE
    language = word_features.from_words(words, encoder=predictor.encoder)
    return features(predictor, words=tuple(words), duration=words[-1].end, language=language), spans


def heard(sounds: Sequence[Sound], predictor: Predictor) -> tuple[ClipFeatures, list[Span]]:
    """Features of a clip without words and video in which recordings follow each other, and their spans."""
    silence = np.zeros(round(PAUSE * SAMPLE_RATE), np.float32)
    spans, pieces, second = [], [], 0.0
    for sound in sounds:
        seconds = len(sound) / SAMPLE_RATE
        spans.append((second, second + seconds))
        pieces += [sound, silence]
        second += seconds + PAUSE
    samples = np.concatenate(pieces[:-1])
    audio = ExtractionConfig(feature_set=feature_set_of(predictor.schema)).audio.read(samples)
    assert audio.rows is not None
    made = features(
        predictor,
        words=(),
        duration=len(samples) / SAMPLE_RATE,
        audio=audio.features,
        voice_rows=audio.rows.astype(np.float32),
        voice_states=audio.states,
    )
    return made, spans


def features(predictor: Predictor, **known: Any) -> ClipFeatures:
    """Features of a clip that has the given ones only."""
    schema = FeatureSchema.from_dict(predictor.schema)
    absent = {
        name: ModalityFeatures.missing(reason, getattr(schema, name).dim)
        for name, reason in (
            ("audio", Message("no_audio_stream")),
            ("video", Message("no_video_stream")),
            ("language", Message("no_speech")),
        )
    }
    source = "given" if known["words"] else "none"
    return ClipFeatures(schema=schema, transcript_source=source, **{**absent, **known})


def scored(predictor: Predictor, whole: Sliceable, spans: Sequence[Span], modality: Modality) -> list[float]:
    """Scores of parts from one modality; 0 where a part has nothing of it."""
    return [0.0 if part is None else part.score for part in score_segments(predictor, whole, spans, {modality})]


def measure_words(predictor: Predictor, data: Path) -> list[dict[str, Any]]:
    """A row for sentences described anew, and one for sentences cut out."""
    drawn = pairs(data)
    truth = np.array([score for pair in drawn for _, score in pair])
    found: dict[str, list[float]] = {ANEW: [], CUT: []}
    for pair in drawn:
        whole, spans = spoken(pair, predictor)
        found[ANEW] += scored(predictor, Parts(whole), spans, Modality.LANGUAGE)
        together = replace(whole, language=replace(whole.language, apart=None))
        found[CUT] += scored(predictor, together, spans, Modality.LANGUAGE)
    return [
        {
            "modality": "words",
            "parts": len(truth),
            "described": how,
            **{name: round(sentiment_metrics(np.array(scores), truth)[name], 4) for name in METRICS},
        }
        for how, scores in found.items()
    ]


def measure_voices(predictor: Predictor, data: Path) -> list[dict[str, Any]]:
    """A row for recordings described anew, one for recordings cut out, and one for each as a clip of its own."""
    found: dict[str, list[float]] = {ANEW: [], CUT: [], ALONE: []}
    truth: list[bool] = []
    for pair in voices(data):
        sounds = [speech.waveform(data / each.path) for each in pair]
        truth += [each.score > 0 for each in pair]
        whole, spans = heard(sounds, predictor)
        found[ANEW] += scored(predictor, Parts(whole), spans, Modality.AUDIO)
        found[CUT] += scored(predictor, whole, spans, Modality.AUDIO)
        for sound in sounds:
            own, (span,) = heard([sound], predictor)
            found[ALONE] += scored(predictor, own, [span], Modality.AUDIO)
    positive = np.array(truth)
    return [
        {
            "modality": "voice",
            "parts": len(truth),
            "described": how,
            "balanced": round(balanced_accuracy(np.array(scores) > 0, positive), 4),
        }
        for how, scores in found.items()
    ]


def voices(data: Path) -> list[tuple[Recording, Recording]]:
    """Draw a happy and a negative recording of two speakers of a corpus for each clip, which begins with either."""
    known = [each for each in speech.read(data) if each.split == "test" and each.corpus != LEFT_OUT]
    rng = np.random.default_rng(SEED)
    drawn = []
    happy = [each for each in known if each.score > 1]
    for place, number in enumerate(rng.permutation(len(happy))[:GLUED]):
        one = happy[number]
        others = [
            each for each in known if each.score < -1 and each.corpus == one.corpus and each.speaker != one.speaker
        ]
        other = others[rng.integers(len(others))]
        drawn.append((one, other) if place % 2 else (other, one))
    return drawn


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with text/ and speech/")
    arguments = parser.parse_args()
    predictor = Predictor.from_pretrained(CHECKPOINT)
    rows = measure_words(predictor, arguments.data) + measure_voices(predictor, arguments.data)
    for row in rows:
        print(row)
    command = "python -m benchmarks.speech.parts DATA"
    hashes = {texts.MOSI_LABELS: sha256(arguments.data / texts.MOSI_LABELS)}
    print(write("parts", command, rows, device="cpu", data_sha256=hashes, seeds=[SEED], folder=SPEECH_RESULTS))


if __name__ == "__main__":
    main()
