"""One labelled sequence of one modality, and the cache that sequences are kept in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from safetensors.numpy import load_file, save_file

from extractors.schema import ModalitySchema

FLOAT16_MAX = 6e4


@dataclass(frozen=True, kw_only=True)
class LabelledSequence:
    """One labelled sequence of one modality.

    Attributes:
        values: Valid steps only: words as the encoder makes them, 51 audio columns, or the 55 raw video columns.
        score: Sentiment in [-3, 3].
        label: The corpus's own label ("happy"); for text the score again.
        corpus: Where it is from.
        split: "train", "valid" or "test".
        id: The corpus's own name of it; empty where it gives none.
        person: Who speaks or is shown; empty for text.
        statistics: Clip-level columns of audio; None for text and video, whose statistics follow from the steps.
        copies: Augmented copies of a recording.
    """

    values: Float[np.ndarray, "steps dim"]
    score: float
    label: str
    corpus: str
    split: str
    id: str = ""
    person: str = ""
    statistics: Float[np.ndarray, " statistics"] | None = None
    copies: tuple[LabelledSequence, ...] = ()


def cached(file: Path, make: Callable[[], Iterable[np.ndarray]]) -> list[np.ndarray]:
    """Sequences of `make`, kept in one safetensors file as rows (float16 where they fit) and lengths."""
    if not file.exists():
        sequences = list(make())
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = np.concatenate(sequences)
        rows = rows.astype(np.float16 if np.abs(rows).max() < FLOAT16_MAX else np.float32)
        partial = file.with_suffix(".partial")
        save_file({"rows": rows, "lengths": np.array([len(s) for s in sequences])}, partial)
        partial.replace(file)
    stored = load_file(file)
    return list(np.split(stored["rows"], np.cumsum(stored["lengths"])[:-1]))


def cache_file(cache: Path, name: str, schema: ModalitySchema, keys: Iterable[str]) -> Path:
    """File name that changes with the modality's schema and with what is read."""
    known = hashlib.sha256(repr(schema).encode())
    for key in keys:
        known.update(key.encode() + b"\0")
    return cache / f"{name}-{known.hexdigest()[:16]}.safetensors"
