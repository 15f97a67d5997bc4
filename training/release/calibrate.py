"""Calibrate a checkpoint on validation clips; writes `calibration.json` beside it.

Run `python -m training.release.calibrate --data ../shared/data --checkpoint checkpoints/alignmamba-open`.

Per subset of modalities: one temperature for the classes (Guo et al., ICML 2017), and an interval around the score
whose reach to either side is a quantile of the errors on validation clips (split conformal prediction, Lei et al., JASA
2018).

Chosen by five folds over the validation sentences, by text, audio and both: biases or scales per class lower the cross
entropy of audio alone only, and no calibration error; one reach for both sides, or one that grows with the entropy of
the classes, makes wider intervals of the same coverage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from alignmamba import checkpoint
from alignmamba.calibration import CALIBRATION
from alignmamba.evaluation.metrics import expected_calibration_error, sentiment_class
from alignmamba.modality import SUBSETS, Modality, letters
from alignmamba.modeling.model import AlignMamba
from training.release import readouts
from training.release.compose import Composed, Corpora
from training.release.inputs import corpora_of, label_hashes, measuring_parser, open_checkpoint, outputs, probabilities
from training.release.readouts import Readout
from training.release.train import ComposeConfig
from training.reporting import result_files

COVERAGE = 0.8  # of the intervals, nominal
DRAWS = 5  # composed clips around each validation sentence: voices and faces are drawn anew
SEED = 3333  # of the composed clips; no other part uses it
TEMPERATURES = (0.05, 20.0)  # searched between


def fit_temperature(logits: Float[np.ndarray, "clips classes"], classes: Int[np.ndarray, " clips"]) -> float:
    """The temperature of least cross entropy.

    Raises:
        ValueError: If there is no clip.
    """
    if not len(classes):
        raise ValueError("classes: no clip, expected at least one")

    def cross_entropy(log_temperature: float) -> float:
        chosen = probabilities(logits, temperature=math.exp(log_temperature))[np.arange(len(classes)), classes]
        return float(-np.log(np.maximum(chosen, 1e-12)).mean())

    return math.exp(minimize_scalar(cross_entropy, bounds=np.log(TEMPERATURES), method="bounded").x)


def reach(errors: Float[np.ndarray, " clips"], *, coverage: float, independent: int) -> float:
    """A bound that the errors of new clips keep below with the given probability; 0 where the quantile is negative.

    Args:
        errors: On clips that the model was not trained on: truth - score for the reach above a score, score - truth for
            the reach below.
        coverage: The probability.
        independent: How many of the clips are independent of each other: the quantile is taken a little higher the
            fewer they are.

    Raises:
        ValueError: If there are too few clips for the coverage.
    """
    rank = math.ceil(round((independent + 1) * coverage, 9))  # of the errors of independent clips, the least being 1
    if rank > independent:
        raise ValueError(f"errors: of {independent} independent clips, too few for a coverage of {coverage}")
    return max(0.0, float(np.sort(errors)[math.ceil(rank * len(errors) / independent) - 1]))


def validation_clips(corpora: Corpora, read: Mapping[Modality, Readout], *, draws: int = DRAWS) -> list[Composed]:
    """Composed clips around the validation sentences of CMU-MOSI; the same in every run."""
    rng = np.random.default_rng(SEED)
    valid = corpora.split("valid")
    composer = valid.composer(disagreement=ComposeConfig.disagreement, read=read)
    sentences = [sample for sample in valid.texts if sample.corpus == "mosi"]
    return [composer.compose(sample, rng) for _ in range(draws) for sample in sentences]


def fit(model: AlignMamba, clips: list[Composed], *, draws: int = DRAWS) -> list[dict[str, Any]]:
    """Temperature and interval of every subset of modalities, with calibration errors on these clips.

    Args:
        model: Trained.
        clips: Composed around validation sentences.
        draws: How many clips share a sentence.
    """
    truth = np.array([item.score for item in clips])
    classes = np.array([sentiment_class(score) for score in truth])
    rows = []
    for subset in SUBSETS:
        found = outputs(model, [{m: s for m, s in item.clip.items() if m in subset} for item in clips])
        temperature = fit_temperature(found.logits, classes)
        sides = {"coverage": (1 + COVERAGE) / 2, "independent": len(clips) // draws}
        rows.append(
            {
                "modalities": letters(subset),
                "sentences": len(clips) // draws,
                "n": len(clips),
                "temperature": temperature,
                "below": reach(found.scores - truth, **sides),
                "above": reach(truth - found.scores, **sides),
                "coverage": COVERAGE,
                "ece_before": expected_calibration_error(probabilities(found.logits), classes),
                "ece": expected_calibration_error(probabilities(found.logits, temperature=temperature), classes),
            }
        )
    return rows


def main() -> None:
    """Calibrate from the command line."""
    arguments = measuring_parser(__doc__, features=True).parse_args()
    trained = open_checkpoint(arguments.checkpoint, calibrated=False)
    corpora = corpora_of(trained, arguments)
    rows = fit(trained.model, validation_clips(corpora, readouts.from_model(trained.model)))
    written = result_files.write(
        Path(CALIBRATION).stem,
        f"python -m training.release.calibrate --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256={
            checkpoint.WEIGHTS: checkpoint.weights_sha256(arguments.checkpoint),
            **label_hashes(arguments.data),
        },
        seeds=[SEED],
        folder=arguments.checkpoint,
    )
    print(json.dumps(rows, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
