"""Measure a checkpoint on held-out words, voices, faces and composed clips.

Writes `metrics.json` and, clip by clip, `predictions.json` beside it: ids and numbers, no text of the corpora.

Run `python -m training.release.evaluate --data ../shared/data --checkpoint checkpoints/alignmamba-open`; with `--runs
runs/release/statistics+whisper` the checkpoints of all seeds are measured instead, into `seeds.json`. Clips are never
augmented, and carry the model's own read-outs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score

from alignmamba.calibration import Calibration
from alignmamba.checkpoint import WEIGHTS
from alignmamba.evaluation.metrics import (
    balanced_accuracy,
    expected_calibration_error,
    sentiment_class,
    sentiment_metrics,
)
from alignmamba.modality import MODALITIES, SUBSETS, Modality, letters
from alignmamba.modeling.model import AlignMamba
from alignmamba.prediction import SCORE_LIMIT
from training.data.corpora import speech
from training.data.corpora.sequence import LabelledSequence
from training.release import readouts
from training.release.compose import Composed, Corpora, as_clip, with_readouts
from training.release.inputs import (
    Outputs,
    corpora_of,
    label_hashes,
    measuring_parser,
    open_checkpoint,
    outputs,
    probabilities,
    whisper_of,
)
from training.release.readouts import Readout
from training.release.real_people import NEUTRAL_SCORE
from training.release.train import ComposeConfig
from training.reporting import result_files
from training.reporting.summary import over_seeds

# The two classes of the tests of a single modality; emotions in between are left out.
NEGATIVE_VOICES = frozenset(speech.NEGATIVE)
NEGATIVE_FACES = frozenset({"anger", "contempt", "disgust", "fear", "sadness"})
HAPPY = "happy"
COMPOSITION_SEED = 2222  # of the composed test clips; no other part uses it
DRAWS = 10  # of voices and faces around the test sentences
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


def signs(scores: Float[np.ndarray, " n"], happy: Bool[np.ndarray, " n"]) -> dict[str, Any]:
    """How scores tell happy clips from negative ones: balanced accuracy at zero, and area under the ROC curve."""
    return {
        "n": len(scores),
        "balanced_accuracy": balanced_accuracy(scores > 0, happy),
        "auc": float(roc_auc_score(happy, scores)),
    }


def neutral(scores: Float[np.ndarray, " n"]) -> dict[str, Any]:
    """Bias on neutral clips: their mean score, and the share that counts as neutral."""
    return {
        "n": len(scores),
        "mean_score": float(scores.mean()),
        "within_share": float((np.abs(scores) < NEUTRAL_SCORE).mean()),
    }


def voices_rows(
    model: AlignMamba, voices: Sequence[LabelledSequence], read: Mapping[Modality, Readout], *, name: str
) -> list[dict[str, Any]]:
    """Acted recordings of unseen speakers, with and without SAVEE, whose sentences differ by emotion.

    Args:
        model: Trained.
        voices: Recordings of speakers that it was not trained on.
        read: Its read-outs.
        name: Of the test set.
    """
    scores = audio_scores(model, voices, read)
    row = {"modalities": Modality.AUDIO.letter}
    rows = []
    for suffix, chosen in (("", [True] * len(voices)), ("-without-savee", [v.corpus != "savee" for v in voices])):
        signed = np.array([v.label in NEGATIVE_VOICES | {HAPPY} for v in voices]) & np.array(chosen)
        happy = np.array([v.label == HAPPY for v in voices])
        rows.append({"test_set": name + suffix, **row, **signs(scores[signed], happy[signed])})
    plain = np.array([v.label == "neutral" for v in voices])
    rows.append({"test_set": f"{name}-neutral", **row, **neutral(scores[plain])})
    return rows


def audio_scores(
    model: AlignMamba, voices: Sequence[LabelledSequence], read: Mapping[Modality, Readout]
) -> Float[np.ndarray, " n"]:
    """Scores of recordings, voice alone."""
    assert all(voice.statistics is not None for voice in voices)
    steps = [with_readouts(voice.values, read[Modality.AUDIO](voice.statistics, voice.person)) for voice in voices]
    return outputs(model, [as_clip({Modality.AUDIO: values}) for values in steps]).scores


def narrow_voices(data: Path, cache: Path, *, whisper: bool) -> list[LabelledSequence]:
    """The recordings of the test speakers at 8 kHz."""
    recordings = [each for each in speech.read(data) if each.split == "test"]
    found = speech.features(recordings, data, cache, variant="narrow")
    return [
        speech.as_sequence(each, whisper=whisper, recording=recording)
        for recording, each in zip(recordings, found, strict=True)
    ]


def faces_row(model: AlignMamba, test: Corpora, read: Mapping[Modality, Readout]) -> dict[str, Any]:
    """Talking faces with the expressions of held-out subjects."""
    rng = np.random.default_rng(COMPOSITION_SEED)
    composer = test.composer(disagreement=0.0, read=read)
    chosen = [sample for sample in test.faces if sample.label in NEGATIVE_FACES | {HAPPY}]
    happy = np.array([sample.label == HAPPY for sample in chosen])
    steps = [composer.video_steps(*composer.face_sequence(sample, rng), rng) for sample in chosen]
    scores = outputs(model, [as_clip({Modality.VIDEO: values}) for values in steps]).scores
    return {"test_set": "faces-held-out-subjects", "modalities": Modality.VIDEO.letter, **signs(scores, happy)}


def composed_clips(test: Corpora, read: Mapping[Modality, Readout], *, draw: int) -> list[Composed]:
    """Every MOSI test sentence with a held-out voice and face, composed as in training; the same in every run."""
    rng = np.random.default_rng((COMPOSITION_SEED, draw))
    composer = test.composer(disagreement=ComposeConfig.disagreement, read=read)
    return [composer.compose(sample, rng) for sample in test.texts if sample.corpus == "mosi"]


def composed_rows(
    model: AlignMamba,
    test: Corpora,
    read: Mapping[Modality, Readout],
    *,
    calibration: Calibration | None = None,
    draws: int = DRAWS,
) -> list[dict[str, Any]]:
    """Composed test clips by every subset of modalities: means over draws of voices and faces, with standard errors.

    The row of all three also has the difference of its MAE to that of the best pair, measured draw by draw.
    """
    found: dict[frozenset[Modality], list[dict[str, float]]] = {subset: [] for subset in SUBSETS}
    for draw in range(draws):
        composed = composed_clips(test, read, draw=draw)
        truth = np.array([item.score for item in composed])
        for subset in SUBSETS:
            scored = outputs(model, [{m: item.clip[m] for m in subset} for item in composed])
            figures = calibration_figures(scored, truth, subset=subset, calibration=calibration)
            found[subset].append({**sentiment_metrics(scored.scores, truth), **figures})
    rows = []
    for subset, by_draw in found.items():
        row = {"test_set": "composed", "modalities": letters(subset), "n": len(composed), "draws": draws}
        values = {key: np.array([figures[key] for figures in by_draw]) for key in by_draw[0]}
        row |= {key: float(each.mean()) for key, each in values.items()}
        row["standard_error"] = {key: standard_error(each) for key, each in values.items()}
        if len(subset) == len(MODALITIES):
            row |= _against_pairs(found)
        rows.append(row)
    return rows


def standard_error(values: Float[np.ndarray, " draws"]) -> float:
    """Of a mean over draws; 0 for a single draw."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _against_pairs(found: Mapping[frozenset[Modality], Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """MAE of all three less that of the best pair: below zero where the third modality helps."""
    mae = {subset: np.array([figures["mae"] for figures in by_draw]) for subset, by_draw in found.items()}
    best = min((subset for subset in mae if len(subset) == 2), key=lambda subset: mae[subset].mean())
    apart = mae[frozenset(MODALITIES)] - mae[best]
    return {
        "best_pair": letters(best),
        "mae_minus_best_pair": float(apart.mean()),
        "mae_minus_best_pair_standard_error": standard_error(apart),
    }


def prediction_rows(model: AlignMamba, test: Corpora, read: Mapping[Modality, Readout]) -> list[dict[str, Any]]:
    """Scores of each composed clip of the first draw by every subset, named by the id of its sentence."""
    texts = [sample for sample in test.texts if sample.corpus == "mosi"]
    composed = composed_clips(test, read, draw=0)
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


def measure(
    model: AlignMamba, test: Corpora, narrow: Sequence[LabelledSequence], *, calibration: Calibration | None = None
) -> list[dict[str, Any]]:
    """Every row of `metrics.json`.

    Args:
        model: Trained.
        test: Test samples.
        narrow: Its voices at 8 kHz.
        calibration: Of the model.
    """
    read = readouts.from_model(model)
    return [
        words_row(model, test.texts, calibration=calibration),
        *voices_rows(model, test.voices, read, name="voices-unseen-speakers"),
        *voices_rows(model, narrow, read, name="voices-8-khz"),
        faces_row(model, test, read),
        *composed_rows(model, test, read, calibration=calibration),
    ]


def seed_rows(by_seed: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Mean and deviation over seeds of every figure, from each seed's rows."""
    rows = []
    for same in zip(*by_seed, strict=True):
        names = [key for key, value in same[0].items() if isinstance(value, float)]
        known = {key: same[0][key] for key in ("test_set", "modalities", "n")}
        rows.append({**known, "metric": {key: over_seeds([each[key] for each in same]) for key in names}})
    return rows


def main() -> None:
    """Evaluate from the command line."""
    parser = measuring_parser(__doc__, features=True)
    parser.add_argument("--runs", type=Path, help="folder of each seed's checkpoint: writes seeds.json only")
    arguments = parser.parse_args()
    trained = open_checkpoint(arguments.checkpoint)
    test = corpora_of(trained, arguments).split("test")
    narrow = narrow_voices(arguments.data, arguments.cache, whisper=whisper_of(trained))
    command = f"python -m training.release.evaluate --data DATA --checkpoint {arguments.checkpoint}"
    if arguments.runs is None:
        seeds = [trained.training["config"]["seed"]]
        rows = measure(trained.model, test, narrow, calibration=trained.calibration)
        files = {
            "metrics": rows,
            "predictions": prediction_rows(trained.model, test, readouts.from_model(trained.model)),
        }
    else:
        command += f" --runs runs/release/{arguments.runs.name}"  # wherever it lies on this machine
        folders = sorted(file.parent for file in arguments.runs.glob(f"*/{WEIGHTS}"))
        models = [open_checkpoint(folder, calibrated=False, encoder=Path(trained.encoder)).model for folder in folders]
        seeds = [int(folder.name) for folder in folders]
        rows = seed_rows([measure(model, test, narrow) for model in models])
        files = {"seeds": rows}
    hashes = label_hashes(arguments.data)
    written = [
        result_files.write(name, command, measured, data_sha256=hashes, seeds=seeds, folder=arguments.checkpoint)
        for name, measured in files.items()
    ]
    print(json.dumps(rows, indent=1), *written, sep="\n")


if __name__ == "__main__":
    main()
