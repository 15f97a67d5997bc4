"""Measure a checkpoint on held-out words, voices, faces and composed clips.

Writes `metrics.json` and, clip by clip, `predictions.json` beside it: ids and numbers, no text of the corpora.

Run `python -m training.release.evaluate --data ../shared/data --checkpoint checkpoints/alignmamba-open`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from alignmamba.calibration import Calibration
from alignmamba.evaluation.metrics import (
    balanced_accuracy,
    expected_calibration_error,
    sentiment_class,
    sentiment_metrics,
)
from alignmamba.modality import SUBSETS, Modality, letters
from alignmamba.modeling.model import AlignMamba
from alignmamba.prediction import SCORE_LIMIT
from training.data.corpora import LabelledSequence
from training.release.compose import as_clip
from training.release.inputs import label_hashes, measuring_parser, open_checkpoint
from training.release.predictions import Outputs, outputs, probabilities
from training.release.train import ComposeConfig, Corpora
from training.reporting import result_files

# The two classes of the tests of a single modality; emotions in between are left out.
NEGATIVE_VOICES = frozenset({"sad", "fearful", "disgust", "angry"})
NEGATIVE_FACES = frozenset({"anger", "contempt", "disgust", "fear", "sadness"})
HAPPY = "happy"
COMPOSITION_SEED = 2222  # of the composed test clips; no other part uses it
SCORE_DECIMALS = 4  # of the scores that are written clip by clip


def calibration_figures(
    found: Outputs, truth: Float[np.ndarray, " n"], *, subset: frozenset[Modality], calibration: Calibration | None
) -> dict[str, float]:
    """Calibration error and interval coverage: `ece_before` without calibration, the others with it.

    Returns:
        ece_before, and with a calibration: ece, interval_coverage (share of clips whose interval holds the truth) and
        interval_width (mean, in units of the score, after the cut to [-3, 3]).
    """
    classes = np.array([sentiment_class(score) for score in truth])
    figures = {"ece_before": expected_calibration_error(probabilities(found.logits), classes)}
    if calibration is None:
        return figures
    sure = calibration[subset]
    low, high = np.array([sure.interval(score, limit=SCORE_LIMIT) for score in found.scores]).T
    after = probabilities(found.logits, temperature=sure.temperature)
    return {
        **figures,
        "ece": expected_calibration_error(after, classes),
        "interval_nominal": sure.coverage,
        "interval_coverage": float(np.mean((low <= truth) & (truth <= high))),
        "interval_width": float(np.mean(high - low)),
    }


def words_row(
    model: AlignMamba, texts: Sequence[LabelledSequence], *, calibration: Calibration | None = None
) -> dict[str, Any]:
    """CMU-MOSI's standard test utterances, words only."""
    mosi = [sample for sample in texts if sample.corpus == "mosi"]
    truth = np.array([sample.score for sample in mosi])
    found = outputs(model, [as_clip({Modality.LANGUAGE: sample.values}) for sample in mosi])
    words = frozenset({Modality.LANGUAGE})
    return {
        "test_set": "mosi-test",
        "modalities": letters(words),
        "n": len(mosi),
        **sentiment_metrics(found.scores, truth),
        **calibration_figures(found, truth, subset=words, calibration=calibration),
    }


def _sign_row(
    model: AlignMamba, test_set: str, modality: Modality, clips: Sequence[np.ndarray], happy: np.ndarray
) -> dict[str, Any]:
    """Negative emotions against happiness by one modality; a score above zero means happy."""
    scores = outputs(model, [as_clip({modality: values}) for values in clips]).scores
    return {
        "test_set": test_set,
        "modalities": modality.letter,
        "n": len(clips),
        "balanced_accuracy": balanced_accuracy(scores > 0, happy),
    }


def voices_row(model: AlignMamba, voices: Sequence[LabelledSequence]) -> dict[str, Any]:
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


def composed_rows(model: AlignMamba, test: Corpora, *, calibration: Calibration | None = None) -> list[dict[str, Any]]:
    """MOSI test sentences with held-out voices and faces, composed as in training, by every subset of modalities."""
    rng = np.random.default_rng(COMPOSITION_SEED)
    composer = test.composer(disagreement=ComposeConfig.disagreement)
    composed = [composer.compose(sample, rng) for sample in test.texts if sample.corpus == "mosi"]
    truth = np.array([item.score for item in composed])
    rows = []
    for subset in SUBSETS:
        clips = [{m: steps for m, steps in item.clip.items() if m in subset} for item in composed]
        found = outputs(model, clips)
        rows.append(
            {
                "test_set": "composed",
                "modalities": letters(subset),
                "n": len(composed),
                **sentiment_metrics(found.scores, truth),
                **calibration_figures(found, truth, subset=subset, calibration=calibration),
            }
        )
    return rows


def prediction_rows(model: AlignMamba, test: Corpora) -> list[dict[str, Any]]:
    """Scores of each composed clip by every subset of modalities, named by the id of its sentence."""
    rng = np.random.default_rng(COMPOSITION_SEED)
    composer = test.composer(disagreement=ComposeConfig.disagreement)
    texts = [sample for sample in test.texts if sample.corpus == "mosi"]
    composed = [composer.compose(sample, rng) for sample in texts]
    scores = {
        letters(subset): outputs(model, [{m: item.clip[m] for m in subset} for item in composed]).scores
        for subset in SUBSETS
    }
    return [
        {
            "id": sample.id,
            "truth": sample.score,
            "score": {name: round(float(found[place]), SCORE_DECIMALS) for name, found in scores.items()},
        }
        for place, sample in enumerate(texts)
    ]


def main() -> None:
    """Evaluate from the command line."""
    arguments = measuring_parser(__doc__, features=True).parse_args()
    trained = open_checkpoint(arguments.checkpoint)
    test = Corpora.read(arguments.data, arguments.cache, encoder=trained.encoder).split("test")
    rows = [
        words_row(trained.model, test.texts, calibration=trained.calibration),
        voices_row(trained.model, test.voices),
        faces_row(trained.model, test),
        *composed_rows(trained.model, test, calibration=trained.calibration),
    ]
    written = [
        result_files.write(
            name,
            f"python -m training.release.evaluate --data DATA --checkpoint {arguments.checkpoint}",
            measured,
            data_sha256=label_hashes(arguments.data),
            seeds=[trained.training["config"]["seed"]],
            folder=arguments.checkpoint,
        )
        for name, measured in (("metrics", rows), ("predictions", prediction_rows(trained.model, test)))
    ]
    print(json.dumps(rows, indent=1), *written, sep="\n")


if __name__ == "__main__":
    main()
