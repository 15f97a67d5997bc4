"""Emotion words: linear classifiers of a clip's statistics, beside the model, whose score does not depend on them.

They are fitted by `training.release.emotions` and travel in a folder beside the weights. This is ours; the paper
predicts sentiment only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from alignmamba.config import check_file
from alignmamba.modality import Modality, letters

EMOTIONS_FOLDER = "emotions"  # in a checkpoint, with the figures of people who were left out
EMOTIONS_FILE = "classifiers.safetensors"
EMOTIONS = ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")
READ = (Modality.AUDIO, Modality.VIDEO)  # words say what a clip is about; no corpus here names their emotion
ARRAYS = ("mean", "std", "weight", "bias")
MAX_BYTES = 4_000_000  # of the file; the shipped one has a fiftieth of that


@dataclass(frozen=True, kw_only=True)
class EmotionClassifier:
    """Standardise and project the statistics of one modality.

    Attributes:
        mean: Of each statistic, on training clips.
        std: Likewise, above 0.
        weight: One row per emotion.
        bias: One per emotion.
    """

    mean: Float[np.ndarray, " statistics"]
    std: Float[np.ndarray, " statistics"]
    weight: Float[np.ndarray, "emotions statistics"]
    bias: Float[np.ndarray, " emotions"]

    def __post_init__(self) -> None:
        for name in ARRAYS:
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name}: holds NaN or infinity, expected finite numbers")
        if not (self.std > 0).all():
            raise ValueError("std: expected positive numbers")

    def __call__(self, statistics: Float[np.ndarray, " statistics"]) -> Float[np.ndarray, " emotions"]:
        """Log odds of the emotions."""
        odds: np.ndarray = self.weight @ ((statistics - self.mean) / self.std) + self.bias
        return odds


@dataclass(frozen=True, kw_only=True)
class EmotionWords:
    """Classifiers of voice and face, and how sure each, and both together, may be.

    Attributes:
        classifiers: Of audio and of video.
        temperatures: Of each subset of the two; divides log odds (Guo et al., ICML 2017).
    """

    classifiers: Mapping[Modality, EmotionClassifier]
    temperatures: Mapping[frozenset[Modality], float]

    def __post_init__(self) -> None:
        for subset, temperature in self.temperatures.items():
            if not (math.isfinite(temperature) and temperature > 0):
                raise ValueError(f"temperature of {letters(subset)}: {temperature}, expected a positive number")

    def probabilities(
        self, statistics: Mapping[Modality, Float[np.ndarray, " statistics"]]
    ) -> Float[np.ndarray, " emotions"]:
        """Calibrated probabilities of `EMOTIONS`: the product of what each modality says, tempered for the subset.

        Args:
            statistics: Clip-level columns of audio, video, or both; those of other modalities are not looked at.

        Raises:
            ValueError: If neither is there.
        """
        there = [modality for modality in READ if modality in statistics]
        if not there:
            raise ValueError("statistics: none of audio or video, expected at least one of them")
        odds = {m: self.classifiers[m](statistics[m].astype(np.float64)) for m in there}
        return combined(odds, self.temperatures)


def combined(
    odds: Mapping[Modality, Float[np.ndarray, "*clips emotions"]], temperatures: Mapping[frozenset[Modality], float]
) -> Float[np.ndarray, "*clips emotions"]:
    """Probabilities from the log odds of one or two modalities.

    >>> both = {Modality.AUDIO: np.array([2.0, 0.0]), Modality.VIDEO: np.array([0.0, 2.0])}
    >>> ones = dict.fromkeys([frozenset([m]) for m in both] + [frozenset(both)], 1.0)
    >>> combined(both, ones).tolist()
    [0.5, 0.5]
    """
    subset = frozenset(odds)
    tempered = [each / temperatures[frozenset([modality])] for modality, each in odds.items()]
    total: np.ndarray = np.sum(tempered, axis=0)
    if len(subset) > 1:
        total = total / temperatures[subset]
    grown = np.exp(total - total.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def save(words: EmotionWords, folder: Path) -> None:
    """Write the classifiers into a checkpoint's folder."""
    (folder / EMOTIONS_FOLDER).mkdir(exist_ok=True)
    arrays = {
        f"{modality}.{name}": np.ascontiguousarray(getattr(classifier, name), np.float32)
        for modality, classifier in words.classifiers.items()
        for name in ARRAYS
    }
    for subset, temperature in words.temperatures.items():
        arrays[f"temperature.{letters(subset)}"] = np.array([temperature], np.float32)
    save_file(arrays, folder / EMOTIONS_FOLDER / EMOTIONS_FILE, metadata={"emotions": " ".join(EMOTIONS)})


def read(folder: Path, *, statistics: Mapping[Modality, int]) -> EmotionWords | None:
    """Read the emotion words of a checkpoint; None where it has none.

    Args:
        folder: Of the checkpoint.
        statistics: How many clip-level columns its audio and its video have.

    Raises:
        ValueError: If the file is damaged, or was fitted to other features than the checkpoint's; which is named.
    """
    path = folder / EMOTIONS_FOLDER / EMOTIONS_FILE
    name = f"{EMOTIONS_FOLDER}/{EMOTIONS_FILE}"
    try:
        check_file(path, max_bytes=MAX_BYTES)
        with safe_open(path, framework="numpy") as stream:
            named = (stream.metadata() or {}).get("emotions")
            arrays = {key: stream.get_tensor(key).astype(np.float64) for key in stream.keys()}
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(f"{name} is damaged ({error}); fetch it, or fit it again") from error
    if named != " ".join(EMOTIONS):
        raise ValueError(f"{name}: emotions {named!r}, expected {' '.join(EMOTIONS)!r}; fit it again")
    try:
        for modality in READ:
            _check_shapes(arrays, modality, statistics[modality])
        classifiers = {m: EmotionClassifier(**{key: arrays[f"{m}.{key}"] for key in ARRAYS}) for m in READ}
        subsets = [frozenset([m]) for m in READ] + [frozenset(READ)]
        temperatures = {subset: float(arrays[f"temperature.{letters(subset)}"].item()) for subset in subsets}
        found = EmotionWords(classifiers=classifiers, temperatures=temperatures)
    except (KeyError, ValueError) as error:
        raise ValueError(f"{name} cannot be used ({error}); fetch it, or fit it again") from error
    return found


def _check_shapes(arrays: Mapping[str, np.ndarray], modality: Modality, count: int) -> None:
    emotions = len(EMOTIONS)
    expected = {"mean": (count,), "std": (count,), "weight": (emotions, count), "bias": (emotions,)}
    for name, shape in expected.items():
        if (found := arrays[f"{modality}.{name}"].shape) != shape:
            raise ValueError(f"{modality}.{name}: shape {found}, expected {shape} for the checkpoint's statistics")
