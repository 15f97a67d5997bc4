"""Benchmark datasets: labelled clips in three splits, whatever file they come from.

`read(name, path)` takes a name of `NAMES`. A label belongs to a clip (level "clip") or to each of its steps (level
"step": a dialogue whose steps are utterances).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float

from alignmamba.batch import ModalitySteps
from alignmamba.config import Level
from alignmamba.modality import MODALITIES, Modality
from alignmamba.prediction import SCORE_LIMIT

SPLITS = ("train", "valid", "test")
LEVELS = get_args(Level)
BUCKET_NOISE = 4.0  # steps: lengths this close are mixed


@dataclass(frozen=True, kw_only=True)
class Example:
    """One labelled clip.

    Attributes:
        id: Unique within its dataset.
        clip: Steps of the modalities that it has, unpadded.
        score: Sentiment in [-3, 3]: one for a clip, or one per step.
    """

    id: str
    clip: Mapping[Modality, ModalitySteps]
    score: Float[np.ndarray, " labels"]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled clips in three splits.

    Attributes:
        name: As results are filed under ("mosi-utterance").
        level: What a label belongs to: "clip" or "step".
        splits: "train", "valid" and "test", none of them empty.
        data_sha256: Hash of each file that was read, by name.
        notes: What was repaired, left out or chosen, as sentences with counts.
        features_saw_test: Whether the features come from networks that had seen the labels of the test part too. It is
            then measured corrupted in the way that training clips are.
    """

    name: str
    level: str
    splits: Mapping[str, tuple[Example, ...]]
    data_sha256: Mapping[str, str]
    notes: tuple[str, ...] = ()
    features_saw_test: bool = False

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level: {self.level!r}, expected one of {LEVELS}")
        if tuple(self.splits) != SPLITS:
            raise ValueError(f"splits: {tuple(self.splits)}, expected {SPLITS}")
        dims, seen = self.dims, set()
        for split, examples in self.splits.items():
            if not examples:
                raise ValueError(f"{self.name}, {split}: no example, expected at least one")
            for example in examples:
                if example.id in seen:
                    raise ValueError(f"{self.name}, {example.id}: stands here twice, expected each id once")
                seen.add(example.id)
                self._check(example, dims)

    def _check(self, example: Example, dims: Mapping[Modality, int]) -> None:
        where = f"{self.name}, {example.id}"
        if not np.isfinite(example.score).all() or (np.abs(example.score) > SCORE_LIMIT).any():
            raise ValueError(f"{where}: score {example.score.tolist()}, expected finite numbers in [-3, 3]")
        if not any(steps.mask.any() for steps in example.clip.values()):
            raise ValueError(f"{where}: no valid step in any modality, expected at least one")
        labels = {1} if self.level == "clip" else {len(steps.mask) for steps in example.clip.values()}
        if {len(example.score)} != labels:
            raise ValueError(f"{where}: {len(example.score)} labels, expected {sorted(labels)} at level {self.level!r}")
        for modality, steps in example.clip.items():
            if steps.values.shape[1] != dims[modality]:
                raise ValueError(f"{where}: {steps.values.shape[1]} columns of {modality}, expected {dims[modality]}")
            if not torch.isfinite(steps.values).all():
                raise ValueError(f"{where}: {modality} holds NaN or inf, expected finite numbers")

    @property
    def dims(self) -> dict[Modality, int]:
        """Columns of a step of each modality that some example has."""
        found: dict[Modality, int] = {}
        for examples in self.splits.values():
            for example in examples:
                for modality, steps in example.clip.items():
                    found.setdefault(modality, steps.values.shape[1])
        return {modality: found[modality] for modality in MODALITIES if modality in found}


def as_steps(
    values: np.ndarray, mask: Bool[np.ndarray, " time"] | None = None, seconds: np.ndarray | None = None
) -> ModalitySteps:
    """Steps of one modality; without times, a step is a second; without a mask, all are valid."""
    steps = len(values)
    return ModalitySteps(
        torch.from_numpy(np.array(values, np.float32)),
        torch.ones(steps, dtype=torch.bool) if mask is None else torch.from_numpy(np.array(mask)),
        torch.arange(steps, dtype=torch.float32)
        if seconds is None
        else torch.from_numpy(np.array(seconds, np.float32)),
    )


def share_of(name: str) -> float:
    """A fixed place in [0, 1) for a name: splits made by it depend neither on order nor on a seed."""
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 10_000 / 10_000


def deal(names: Iterable[str], *, folds: int) -> dict[str, int]:
    """The fold of each name: dealt in the order of their hashes, so that folds are alike in size.

    >>> deal(["a", "b", "c", "d"], folds=2)
    {'d': 0, 'c': 1, 'b': 0, 'a': 1}
    """
    known = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return {name: place % folds for place, name in enumerate(known)}


def length_buckets(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Batches of indices of similar length, in random order."""
    order = np.argsort(np.array(lengths) + rng.uniform(0, BUCKET_NOISE, len(lengths)))  # noise mixes neighbours
    batches = [order[first : first + size] for first in range(0, len(order), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def batches(examples: Sequence[Example], size: int, rng: np.random.Generator) -> Iterator[list[Example]]:
    """One pass over the examples: `size` of similar length at a time (the last may be fewer), in random order.

    Raises:
        ValueError: If `size` is less than 1.
    """
    if size < 1:
        raise ValueError(f"size: {size}, expected at least 1")
    lengths = [max(len(steps.mask) for steps in example.clip.values()) for example in examples]
    for indices in length_buckets(lengths, size, rng):
        yield [examples[index] for index in indices]


def sha256(path: Path) -> str:
    """Hash of a file, for `Dataset.data_sha256`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Modules of this package with a function `read(path, **options) -> Dataset`, loaded when they are asked for.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "mosi-utterance": "mosi",
        "mmmo": "mmmo",
        "mmsa": "mmsa",
        "text": "sentences",
        "clips": "labelled",
    }
)


def read(name: str, path: Path, **options: Any) -> Dataset:
    """Read a dataset.

    Args:
        name: One of `NAMES`.
        path: File or folder, as the reader of that name says.
        options: Of that reader.

    Raises:
        ValueError: If the name is unknown, or an option or the data is not what it should be.
        FileNotFoundError: If there is no such file or folder.
    """
    if name not in NAMES:
        raise ValueError(f"dataset: {name!r}, expected one of {sorted(NAMES)}")
    if not path.exists():
        raise FileNotFoundError(f"{name}: there is no {path}")
    reader = import_module(f"training.data.{NAMES[name]}").read
    known = sorted(set(signature(reader).parameters) - {"path"})
    if unknown := sorted(set(options) - set(known)):
        raise ValueError(f"{name}: unknown options {unknown}, expected some of {known}")
    return reader(path, **options)
