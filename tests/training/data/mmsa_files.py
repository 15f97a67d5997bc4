"""Files of MMSA's exact format, made up: types, shapes and padding as in `aligned_50.pkl` and `unaligned_50.pkl`."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from alignmamba.modality import Modality
from training.data.synthetic import make_planted, spread

WORDS = 50  # of text in every file
TEXT_COLUMNS = 768  # of a word
COUNTS = {"train": 12, "valid": 5, "test": 6}


def split(
    name: str, clips: int, *, aligned: bool, rng: np.random.Generator, dims: tuple[int, int] = (5, 20)
) -> dict[str, Any]:
    """One part: features that follow the label, zeros behind the end, as MMSA stores them."""
    labels = np.round(rng.uniform(-3, 3, clips), 1).astype(np.float32)
    steps = {"audio": WORDS if aligned else 40, "vision": WORDS if aligned else 60}
    spoken = rng.integers(3, WORDS + 1, clips)
    lengths = {key: spoken if aligned else rng.integers(2, count + 1, clips) for key, count in steps.items()}

    def feature(columns: int, count: int, ends: np.ndarray) -> np.ndarray:
        values = rng.normal(0, 1, (clips, count, columns)) + labels[:, None, None]
        values[np.arange(count)[None, :] >= ends[:, None]] = 0
        return values.astype(np.float32)

    attention = (np.arange(WORDS)[None, :] < spoken[:, None]).astype(np.int64)
    made = {
        "raw_text": np.array([f"clip {index} of {name}" for index in range(clips)]),
        "audio": feature(dims[0], steps["audio"], lengths["audio"]),
        "vision": feature(dims[1], steps["vision"], lengths["vision"]),
        "id": [f"{name}_{index // 3}$_${index % 3}" for index in range(clips)],
        "text": feature(TEXT_COLUMNS, WORDS, spoken),
        "text_bert": np.stack([rng.integers(0, 30_000, attention.shape) * attention, attention, 0 * attention], 1),
        "annotations": ["Positive" if label > 0 else "Negative" for label in labels],
        "classification_labels": np.where(labels > 0, 2.0, 0.0),
        "regression_labels": labels,
    }
    if not aligned:
        made["audio_lengths"] = lengths["audio"].tolist()
        made["vision_lengths"] = lengths["vision"].tolist()
    return made


def stored(*, aligned: bool, seed: int = 0, counts: dict[str, int] = COUNTS) -> dict[str, dict[str, Any]]:
    """The whole file's content."""
    rng = np.random.default_rng(seed)
    return {name: split(name, clips, aligned=aligned, rng=rng) for name, clips in counts.items()}


def planted(*, count: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """A file whose sentiment is planted: only who matches frames to words by content knows it.

    Text and video are the steps of `training.data.synthetic`, words spread over all columns, frames in the first ones.
    Audio is noise.
    """
    rng = np.random.default_rng(seed)
    made = spread(make_planted(seed=seed, count=count), TEXT_COLUMNS, seed=seed)
    stored = {}
    for name, examples in made.splits.items():
        clips = len(examples)
        part = split(name, clips, aligned=True, rng=rng)
        words = len(examples[0].clip[Modality.LANGUAGE].mask)
        for key, modality in (("text", Modality.LANGUAGE), ("vision", Modality.VIDEO)):
            values = np.stack([each.clip[modality].values.numpy() for each in examples])
            part[key] = np.zeros_like(part[key])
            part[key][:, :words, : values.shape[2]] = values
        part["audio"] = np.zeros_like(part["audio"])
        part["audio"][:, :words] = rng.normal(size=(clips, words, part["audio"].shape[2]))
        attention = np.zeros_like(part["text_bert"][:, 1])
        attention[:, :words] = 1
        part["text_bert"] = np.stack(
            [rng.integers(0, 30_000, attention.shape) * attention, attention, 0 * attention], 1
        )
        part["regression_labels"] = np.concatenate([each.score for each in examples]).astype(np.float32)
        stored[name] = part
    return stored


def write(path: Path, content: Any, *, protocol: int = 4) -> Path:
    """Pickle it; returns the path."""
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
