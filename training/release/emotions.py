"""Emotion words: fit the classifiers of voice and face, and measure them on people they never met.

Run `python -m training.release.emotions --data ../shared/data --checkpoint checkpoints/alignmamba-open`; writes
classifiers and figures into its folder `emotions/`. Takes minutes; no network is trained.

The classifiers read the clip statistics that the read-outs of the model read. How strongly they are held to zero is
chosen on validation people. How sure they may be is a temperature, fitted on the clips of each real person by
classifiers that did not see that person; the figures of a person use the temperature of the others.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss

from alignmamba.evaluation.metrics import expected_calibration_error
from alignmamba.modality import Modality, letters
from alignmamba.modeling import emotions
from alignmamba.modeling.emotions import EMOTIONS, EmotionClassifier, EmotionWords, combined
from extractors.vision import facial
from training.data.corpora.pairs import RealPair, pair_audio
from training.data.corpora.sequence import LabelledSequence
from training.release.calibrate import fit_temperature
from training.release.compose import COPIES, REAL_SHARE, Augmentation, Composer, Corpora
from training.release.inputs import corpora_of, label_hashes, measuring_parser, open_checkpoint
from training.release.readouts import ITERATIONS, MIN_STD
from training.release.unseen_people import without
from training.reporting import result_files

log = logging.getLogger(__name__)

# A corpus's label -> our word, where they differ; None for labels that have no counterpart among our words.
OTHER_NAMES = {
    **{"calm": "neutral", "bored": None},
    **{"surprise": "surprised", "sadness": "sad", "fear": "fearful", "anger": "angry", "contempt": None},
}
STRENGTHS = (0.001, 0.003, 0.01, 0.03)  # inverse regularisation C, of which one is chosen
FACE_EXAMPLES = 3000  # composed faces that a classifier is fitted on
MEASURED_FACES = 700  # of validation subjects, and of test subjects
SEEDS = {"train": 0, "valid": 1, "test": 2}  # of the faces drawn
AUDIO, VIDEO = frozenset([Modality.AUDIO]), frozenset([Modality.VIDEO])
BOTH = AUDIO | VIDEO


@dataclass(frozen=True)
class Rows:
    """Clips as statistics and the number of their word."""

    statistics: Float[np.ndarray, "clips statistics"]
    words: Int[np.ndarray, " clips"]

    def __add__(self, other: Rows) -> Rows:
        return Rows(np.concatenate([self.statistics, other.statistics]), np.concatenate([self.words, other.words]))


def word_of(label: str) -> int | None:
    """Number of the emotion word of a corpus's label; None where there is none.

    Raises:
        ValueError: If no corpus has such a label.

    >>> EMOTIONS[word_of("anger")], word_of("contempt")
    ('angry', None)
    """
    name = OTHER_NAMES.get(label, label)
    if name is not None and name not in EMOTIONS:
        raise ValueError(f"label: {label!r}, expected one of the corpora's")
    return None if name is None else EMOTIONS.index(name)


def voices(samples: Sequence[LabelledSequence]) -> Rows:
    """Recordings and their augmented copies."""
    every = [copy for voice in samples for copy in (voice, *voice.copies)]
    return _rows([(voice.statistics, word_of(voice.label)) for voice in every])


def pair_voices(pairs: Sequence[RealPair], *, whisper: bool) -> Rows:
    """Voices of real pairs."""
    return _rows([(pair_audio(pair, whisper=whisper).statistics, word_of(pair.label)) for pair in pairs])


def pair_faces(pairs: Sequence[RealPair]) -> Rows:
    """Faces of real pairs, as they are."""
    return _rows([(facial.clip_statistics(pair.video), word_of(pair.label)) for pair in pairs])


def faces(corpora: Corpora, split: str, *, count: int) -> Rows:
    """Composed faces, of all words alike; in training some are of the real pairs.

    Args:
        corpora: Whose real pairs are those that may be trained on.
        split: "train", "valid" or "test".
        count: How many are drawn.
    """
    training = split == "train"
    part = corpora.split(split)
    composer = part.composer(disagreement=0.0, read={}, augmentation=Augmentation(means={}) if training else None)
    acted, real = defaultdict(list), defaultdict(list)
    for face in part.faces:
        acted[word_of(face.label)].append(face)
    for pair in part.pairs if training else ():
        real[word_of(pair.label)].append(pair)
    rng = np.random.default_rng(SEEDS[split])
    kinds = [int(rng.integers(len(EMOTIONS))) for _ in range(count)]
    drawn = [facial.clip_statistics(_face(composer, acted[kind], real[kind], kind, rng)) for kind in kinds]
    return Rows(np.stack(drawn).astype(np.float64), np.array(kinds))


def _face(
    composer: Composer,
    acted: Sequence[LabelledSequence],
    real: Sequence[RealPair],
    kind: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "steps 55"]:
    if real and rng.random() < REAL_SHARE:
        return composer.real_face(real[rng.integers(len(real))], rng)[0]
    chosen = None if EMOTIONS[kind] == "neutral" else acted[rng.integers(len(acted))]
    return composer.face_sequence(chosen, rng)[0]


def _rows(found: Sequence[tuple[Float[np.ndarray, " statistics"], int | None]]) -> Rows:
    kept = [(statistics, word) for statistics, word in found if word is not None]
    return Rows(np.array([s for s, _ in kept], np.float64), np.array([word for _, word in kept], int))


def fit(rows: Rows, *, strength: float) -> EmotionClassifier:
    """Fit a classifier whose words count alike."""
    mean, std = rows.statistics.mean(0), rows.statistics.std(0)
    std = np.where(std > MIN_STD, std, 1.0)
    fitted = LogisticRegression(C=strength, class_weight="balanced", max_iter=ITERATIONS)
    fitted.fit((rows.statistics - mean) / std, rows.words)
    if len(fitted.classes_) != len(EMOTIONS):
        raise ValueError(f"words: {sorted({EMOTIONS[word] for word in rows.words})}, expected all of {EMOTIONS}")
    return EmotionClassifier(mean=mean, std=std, weight=fitted.coef_, bias=fitted.intercept_)


def odds(classifier: EmotionClassifier, rows: Rows) -> Float[np.ndarray, "clips emotions"]:
    """Log odds of every clip."""
    return np.array([classifier(each) for each in rows.statistics])


def choose(train: Rows, valid: Rows) -> float:
    """The strength of least cross entropy on validation people."""
    losses = {}
    for strength in STRENGTHS:
        found = combined({Modality.AUDIO: odds(fit(train, strength=strength), valid)}, {AUDIO: 1.0})
        losses[strength] = log_loss(valid.words, found, labels=range(len(EMOTIONS)))
    log.info("cross entropy on validation people by strength: %s", losses)
    return min(losses, key=losses.__getitem__)


def left_out(
    corpora: Corpora, read: Rows, strengths: Mapping[Modality, float]
) -> Iterator[tuple[Mapping[Modality, np.ndarray], np.ndarray]]:
    """Log odds of each real person's clips by classifiers without that person, and the true words.

    Args:
        corpora: With everybody.
        read: Voices of training speakers.
        strengths: Of audio and video.
    """
    for person in sorted({pair.person for pair in corpora.pairs}):
        others = without(corpora, person)
        mine = [pair for pair in corpora.pairs if pair.person == person]
        rows = {
            Modality.AUDIO: (read + pair_voices(others.pairs, whisper=corpora.whisper)),
            Modality.VIDEO: faces(others, "train", count=FACE_EXAMPLES),
        }
        asked = {Modality.AUDIO: pair_voices(mine, whisper=corpora.whisper), Modality.VIDEO: pair_faces(mine)}
        found = {m: odds(fit(rows[m], strength=strengths[m]), asked[m]) for m in rows}
        log.info("person %s: %d clips", person, len(mine))
        yield found, asked[Modality.AUDIO].words


def temperatures_of(
    found: Sequence[tuple[Mapping[Modality, np.ndarray], np.ndarray]],
) -> dict[frozenset[Modality], float]:
    """Temperatures of least cross entropy: of audio, of video, then of both together."""
    words = np.concatenate([each for _, each in found])
    alone = {
        subset: fit_temperature(np.concatenate([each[next(iter(subset))] for each, _ in found]), words)
        for subset in (AUDIO, VIDEO)
    }
    joint = sum(
        np.concatenate([each[m] for each, _ in found]) / alone[frozenset([m])] for m in (Modality.AUDIO, Modality.VIDEO)
    )
    return {**alone, BOTH: fit_temperature(joint, words)}


def figures(probabilities: Float[np.ndarray, "clips emotions"], words: Int[np.ndarray, " clips"]) -> dict[str, Any]:
    """How often the likeliest word is right, balanced over words, and how far the probabilities are from it."""
    chosen = probabilities.argmax(1)
    names = [EMOTIONS[word] for word in sorted(set(words.tolist()))]
    hits = {name: float((chosen == EMOTIONS.index(name))[words == EMOTIONS.index(name)].mean()) for name in names}
    return {
        "n": len(words),
        "words": len(names),
        "balanced_accuracy": float(balanced_accuracy_score(words, chosen)),
        "chance": 1 / len(names),
        "cross_entropy": float(log_loss(words, probabilities, labels=range(len(EMOTIONS)))),
        "ece": expected_calibration_error(probabilities, words),
        "recall": hits,
    }


def measure(corpora: Corpora) -> tuple[EmotionWords, list[dict[str, Any]]]:
    """Fit on all training people, and measure on people that were not trained on."""
    parts = {split: voices(corpora.split(split).voices) for split in ("train", "valid", "test")}
    drawn = {split: faces(corpora, split, count=MEASURED_FACES) for split in ("valid", "test")}
    fitted_on = {
        Modality.AUDIO: parts["train"] + pair_voices(corpora.pairs, whisper=corpora.whisper),
        Modality.VIDEO: faces(corpora, "train", count=FACE_EXAMPLES),
    }
    strengths = {m: choose(fitted_on[m], rows["valid"]) for m, rows in zip(fitted_on, (parts, drawn), strict=True)}
    people = list(left_out(corpora, parts["train"], strengths))
    words = EmotionWords(
        classifiers={m: fit(rows, strength=strengths[m]) for m, rows in fitted_on.items()},
        temperatures=temperatures_of(people),
    )
    made = []
    for name, m, rows in (("speakers", Modality.AUDIO, parts["test"]), ("subjects", Modality.VIDEO, drawn["test"])):
        found = combined({m: odds(words.classifiers[m], rows)}, words.temperatures)
        made.append({"people": f"test {name}", "modalities": letters([m]), **figures(found, rows.words)})
    truth = np.concatenate([each for _, each in people])
    for subset in (AUDIO, VIDEO, BOTH):
        found = []
        for place, (mine, _) in enumerate(people):
            others = temperatures_of(people[:place] + people[place + 1 :])
            found.append(combined({m: each for m, each in mine.items() if m in subset}, others))
        made.append(
            {"people": "real, left out", "modalities": letters(subset), **figures(np.concatenate(found), truth)}
        )
    chosen = {f"strength_{m}": strength for m, strength in strengths.items()}
    return words, [{**row, **chosen} for row in made]


def main() -> None:
    """Fit and measure from the command line."""
    parser = measuring_parser(__doc__, features=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    trained = open_checkpoint(arguments.checkpoint, calibrated=False)
    words, rows = measure(corpora_of(trained, arguments, copies=COPIES))
    emotions.save(words, arguments.checkpoint)
    written = result_files.write(
        "emotions",
        f"python -m training.release.emotions --data DATA --checkpoint {arguments.checkpoint}",
        rows,
        data_sha256=label_hashes(arguments.data),
        folder=arguments.checkpoint / emotions.EMOTIONS_FOLDER,
    )
    print(json.dumps(rows, indent=1), written, sep="\n")


if __name__ == "__main__":
    main()
