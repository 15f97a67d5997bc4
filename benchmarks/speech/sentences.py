"""How right the scores of sentences are in a clip whose sentences disagree, from their words alone.

`python -m benchmarks.speech.sentences DATA` writes results/sentences-cpu.json. DATA is a folder with text/, see
docs/data.md: test sentences of CMU-MOSI are said two by two, one positive and one negative in either order, and each is
scored as a part of its clip.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from alignmamba.evaluation.metrics import sentiment_metrics
from alignmamba.evaluation.segments import score_segments
from alignmamba.modality import Modality
from alignmamba.predictor import Predictor
from extractors.language import word_features
from extractors.messages import Message
from extractors.schema import ClipFeatures, FeatureSchema, ModalityFeatures, Word
from training.data.corpora import texts
from training.data.datasets import sha256
from training.reporting.result_files import ROOT, write

CHECKPOINT = ROOT / "checkpoints" / "alignmamba-open"
PAIRS = 250
WORD, PAUSE = 0.4, 2.0  # seconds of a word, and between two sentences
SEED = 1111
METRICS = ("acc2_non0", "mae", "corr")

Labelled = tuple[list[str], float]
"""Words of a sentence and its score."""


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


def clip(pair: Sequence[Labelled], predictor: Predictor) -> tuple[ClipFeatures, list[tuple[float, float]]]:
    """Features of a clip without sound and picture in which sentences are said one after the other, and their spans."""
    words, spans, second = [], [], 0.0
    for said, _score in pair:
        spans.append((second, second + len(said) * WORD))
        words += [
            Word(text=text, start=second + place * WORD, end=second + (place + 1) * WORD)
            for place, text in enumerate(said)
        ]
        second = spans[-1][1] + PAUSE
    schema = FeatureSchema.from_dict(predictor.schema)
    absent = {
        name: ModalityFeatures.missing(reason, getattr(schema, name).dim)
        for name, reason in (("audio", Message("no_audio_stream")), ("video", Message("no_video_stream")))
    }
    features = ClipFeatures(
        **absent,
        language=word_features.from_words(words, encoder=predictor.encoder),
        words=tuple(words),
        duration=words[-1].end,
        schema=schema,
        transcript_source="given",
    )
    return features, spans


def measure(predictor: Predictor, drawn: Sequence[Sequence[Labelled]]) -> list[dict[str, Any]]:
    """A row for sentences read on their own, as parts of a clip are, and one for sentences read with the whole clip."""
    truth = np.array([score for pair in drawn for _, score in pair])
    found: dict[str, list[float]] = {"each on its own": [], "with the whole clip": []}
    for pair in drawn:
        features, spans = clip(pair, predictor)
        together = replace(features, language=replace(features.language, apart=None))
        for scores, read in zip(found.values(), (features, together), strict=True):
            scores += [part.score for part in score_segments(predictor, read, spans, {Modality.LANGUAGE}) if part]
    return [
        {"read": how, "sentences": len(truth), **_rounded(sentiment_metrics(np.array(scores), truth))}
        for how, scores in found.items()
    ]


def _rounded(measured: dict[str, float]) -> dict[str, float]:
    return {name: round(measured[name], 4) for name in METRICS}


def main() -> None:
    """Measure from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with text/")
    arguments = parser.parse_args()
    predictor = Predictor.from_pretrained(CHECKPOINT)
    rows = measure(predictor, pairs(arguments.data))
    for row in rows:
        print(row)
    command = "python -m benchmarks.speech.sentences DATA"
    hashes = {texts.MOSI_LABELS: sha256(arguments.data / texts.MOSI_LABELS)}
    print(write("sentences", command, rows, device="cpu", data_sha256=hashes, seeds=[SEED]))


if __name__ == "__main__":
    main()
