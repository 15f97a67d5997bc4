"""Labelled sentences as clips of language only, in the app's own word features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alignmamba.modality import Modality
from training.data.corpora import texts
from training.data.datasets import SPLITS, Dataset, Example, as_steps, sha256

CACHE = Path("runs/features")


def read(path: Path, *, cache: Path = CACHE, corpus: str | None = None) -> Dataset:
    """Read the label tables.

    Args:
        path: Folder that holds `text/`, as `training.data.corpora.texts.sentences` reads it.
        cache: Where word features are kept, shared with `training.data.corpora.texts`.
        corpus: Only the sentences of this one, say "mosi"; all if not given.

    Raises:
        ValueError: If a part has no sentence.
    """
    parts: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for number, sample in enumerate(texts.read(path, cache)):
        if corpus in (None, sample.corpus):
            score = np.array([sample.score], np.float32)
            clip = {Modality.LANGUAGE: as_steps(sample.values)}
            parts[sample.split].append(Example(id=f"{sample.corpus}-{number}", clip=clip, score=score))
    files = sorted(file for file in (path / "text").iterdir() if file.is_file())
    return Dataset(
        name=f"text-{corpus}" if corpus else "text",
        level="clip",
        splits={split: tuple(part) for split, part in parts.items()},
        data_sha256={file.name: sha256(file) for file in files},
        notes=("a word is a step; sentences carry no times, so a word counts as a second",),
    )
