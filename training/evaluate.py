"""Measure a checkpoint on held-out words, voices, faces and composed clips; writes `metrics.json` beside it.

Run `python -m training.evaluate --data ../shared/data --checkpoint checkpoints/alignmamba-open`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alignmamba import checkpoint
from alignmamba.modality import MODALITIES, SUBSETS, Modality
from alignmamba.model import AlignMamba
from extractors.recipe import Recipe
from training import record
from training.compose import as_clip
from training.corpora import Sample
from training.metrics import balanced_accuracy, sentiment_metrics
from training.release import ComposeConfig, Corpora, predict_scores

# The two classes of the single-sense tests; emotions in between are left out.
NEGATIVE_VOICES = frozenset({"sad", "fearful", "disgust", "angry"})
NEGATIVE_FACES = frozenset({"anger", "contempt", "disgust", "fear", "sadness"})
HAPPY = "happy"
COMPOSITION_SEED = 2222  # of the composed test clips; no other part uses it


def letters(modalities: frozenset[Modality]) -> str:
    """Short name of a subset: "av", "l"."""
    return "".join(modality.letter for modality in MODALITIES if modality in modalities)


def words_row(model: AlignMamba, texts: Sequence[Sample]) -> dict[str, Any]:
    """CMU-MOSI's standard test utterances, words only."""
    mosi = [sample for sample in texts if sample.corpus == "mosi"]
    scores = predict_scores(model, [as_clip({Modality.LANGUAGE: sample.values}) for sample in mosi])
    measured = sentiment_metrics(scores, np.array([sample.score for sample in mosi]))
    return {"test_set": "mosi-test", "modalities": "l", "n": len(mosi), **measured}


def _sign_row(
    model: AlignMamba, test_set: str, modality: Modality, clips: Sequence[np.ndarray], happy: np.ndarray
) -> dict[str, Any]:
    """Negative emotions against happiness by one sense; a score above zero says happy."""
    scores = predict_scores(model, [as_clip({modality: values}) for values in clips])
    return {
        "test_set": test_set,
        "modalities": modality.letter,
        "n": len(clips),
        "balanced_accuracy": balanced_accuracy(scores > 0, happy),
    }


def voices_row(model: AlignMamba, voices: Sequence[Sample]) -> dict[str, Any]:
    """Acted recordings of held-out speakers."""
    chosen = [sample for sample in voices if sample.label in NEGATIVE_VOICES | {HAPPY}]
    happy = np.array([sample.label == HAPPY for sample in chosen])
    return _sign_row(model, "voices-held-out-speakers", Modality.AUDIO, [s.values for s in chosen], happy)


def faces_row(model: AlignMamba, test: Corpora) -> dict[str, Any]:
    """Talking faces with the expressions of held-out subjects."""
    rng = np.random.default_rng(COMPOSITION_SEED)
    composer = test.composer(disagreement=0.0)
    chosen = [sample for sample in test.faces if sample.label in NEGATIVE_FACES | {HAPPY}]
    happy = np.array([sample.label == HAPPY for sample in chosen])
    sequences = [composer.face_sequence(sample, rng) for sample in chosen]
    return _sign_row(model, "faces-held-out-subjects", Modality.VIDEO, sequences, happy)


def composed_rows(model: AlignMamba, test: Corpora) -> list[dict[str, Any]]:
    """MOSI test sentences with held-out voices and faces, composed as in training, by every subset of modalities."""
    rng = np.random.default_rng(COMPOSITION_SEED)
    composer = test.composer(disagreement=ComposeConfig.disagreement)
    composed = [composer.compose(sample, rng) for sample in test.texts if sample.corpus == "mosi"]
    truth = np.array([item.score for item in composed])
    rows = []
    for subset in SUBSETS:
        clips = [{m: steps for m, steps in item.clip.items() if m in subset} for item in composed]
        measured = sentiment_metrics(predict_scores(model, clips), truth)
        rows.append({"test_set": "composed", "modalities": letters(subset), "n": len(composed), **measured})
    return rows


def data_hashes(data: Path) -> dict[str, str]:
    """SHA-256 of every label file that a run reads."""
    files = [*sorted((data / "text").glob("*.*")), data / "speech" / "manifest.csv"]
    return {str(file.relative_to(data)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    """Evaluate from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/, speech/, faces/, clips/")
    parser.add_argument("--cache", type=Path, default=Path("runs/features"), help="where extracted features are kept")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder to read, and to write metrics.json into")
    arguments = parser.parse_args()
    trained = checkpoint.load(arguments.checkpoint)
    if trained.schema != Recipe(encoder=trained.encoder).schema().to_dict():
        raise SystemExit(
            f"checkpoint: {arguments.checkpoint} was trained on another feature schema than the extractors'"
        )
    test = Corpora.read(arguments.data, arguments.cache, encoder=trained.encoder).split("test")
    rows = [
        words_row(trained.model, test.texts),
        voices_row(trained.model, test.voices),
        faces_row(trained.model, test),
        *composed_rows(trained.model, test),
    ]
    written = record.write(
        "metrics",
        f"python -m training.evaluate --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=data_hashes(arguments.data),
        seeds=[trained.training["config"]["seed"]],
        folder=arguments.checkpoint,
    )
    print(json.dumps(rows, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
