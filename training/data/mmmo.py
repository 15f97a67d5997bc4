"""ICT-MMMO: reviews of films as word-aligned sequences of audio, video and, for some reviews, text (MFN's files)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from alignmamba.modality import MODALITIES, Modality
from training.data.datasets import SPLITS, Dataset, Example, as_steps, sha256

KEY = "d1"  # of the only array in each file
MAX_VALUES = 50_000_000  # of a file's array
FILES = {Modality.AUDIO: "audio_{}.h5", Modality.VIDEO: "video_{}.h5", Modality.LANGUAGE: "text_{}_emb.h5"}
WITH_TEXT = ("valid", "test")
MIDDLE, SCALE = 3.0, 1.5  # label 1..5 -> -3..3
MAP = "label 1..5 mapped to -3..3 by (label - 3) * 1.5"
FOLD_SEED = 1111


def read(path: Path, *, modalities: str = "av", fold: int = 0, folds: int = 5, seed: int = FOLD_SEED) -> Dataset:
    """Read the folder of .h5 files.

    Args:
        path: Folder with audio_train.h5 and so on.
        modalities: "av": audio and video of all reviews, the official split. "avl": with text, for which there are only
            the reviews of the official valid and test parts; these are dealt out anew for cross-validation.
        fold: With "avl": which of the folds is tested; the next one validates, the others train.
        folds: With "avl": how many there are.
        seed: With "avl": of the order in which reviews are dealt to folds.

    Raises:
        ValueError: If an option is out of range, or the files are not what they should be.
    """
    if modalities not in ("av", "avl"):
        raise ValueError(f"modalities: {modalities!r}, expected 'av' or 'avl'")
    if modalities == "av":
        splits = {split: _part(path, split, MODALITIES[:2]) for split in SPLITS}
        return _dataset(path, "mmmo", splits, MODALITIES[:2], (MAP,))
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"fold: {fold} of {folds}, expected 0 <= fold < folds and at least 3 folds")
    examples = [example for split in WITH_TEXT for example in _part(path, split, MODALITIES)]
    place = np.random.default_rng(seed).permutation(len(examples)) % folds
    part_of = {fold: "test", (fold + 1) % folds: "valid"}
    parts: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for example, mine in zip(examples, place.tolist(), strict=True):
        parts[part_of.get(mine, "train")].append(example)
    notes = (MAP, f"{len(examples)} reviews with words, cross-validation fold {fold} of {folds}, seed {seed}")
    splits = {split: tuple(part) for split, part in parts.items()}
    return _dataset(path, "mmmo-avl", splits, MODALITIES, notes)


def _dataset(
    path: Path,
    name: str,
    splits: dict[str, tuple[Example, ...]],
    modalities: Sequence[Modality],
    notes: tuple[str, ...],
) -> Dataset:
    official = SPLITS if Modality.LANGUAGE not in modalities else WITH_TEXT
    names = [FILES[modality].format(split) for split in official for modality in modalities]
    names += [f"y_{split}.h5" for split in official]
    hashes = {name: sha256(path / name) for name in names}
    return Dataset(name=name, level="clip", splits=splits, data_sha256=hashes, notes=notes)


def _part(path: Path, split: str, modalities: Sequence[Modality]) -> tuple[Example, ...]:
    """Examples of one official part; steps that are zero in audio at either end are padding."""
    labels = _array(path / f"y_{split}.h5", rank=1)
    if not ((labels >= 1) & (labels <= 5)).all():
        raise ValueError(f"y_{split}.h5: labels from {labels.min()} to {labels.max()}, expected 1..5")
    values = {modality: _array(path / FILES[modality].format(split), rank=3) for modality in modalities}
    shapes = {str(modality): array.shape for modality, array in values.items()}
    if {shape[:2] for shape in shapes.values()} != {(len(labels), values[Modality.AUDIO].shape[1])}:
        raise ValueError(f"{path.name}, {split}: {shapes} and {len(labels)} labels, expected one grid")
    examples = []
    for row, label in enumerate(labels):
        spoken = np.flatnonzero((values[Modality.AUDIO][row] != 0).any(1))
        if not len(spoken):
            raise ValueError(f"audio_{split}.h5: row {row} is empty, expected at least one step")
        kept = slice(spoken[0], spoken[-1] + 1)
        clip = {}
        for modality, array in values.items():
            steps = array[row, kept]
            clip[modality] = as_steps(steps, (steps != 0).any(1))
        score = np.array([(label - MIDDLE) * SCALE], np.float32)
        examples.append(Example(id=f"{split}-{row}", clip=clip, score=score))
    return tuple(examples)


def _array(path: Path, *, rank: int) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path.name}: is not in {path.parent.name}/, expected a file")
    try:
        with h5py.File(path, "r") as file:
            found = file.get(KEY)
            if not isinstance(found, h5py.Dataset) or found.ndim != rank or found.dtype.kind != "f":
                raise ValueError(f"{path.name}: expected an array {KEY!r} of numbers with {rank} axes")
            if found.external or found.is_virtual or found.size > MAX_VALUES:
                raise ValueError(f"{path.name}: {found.size} values, expected up to {MAX_VALUES}, stored in it")
            values = found[:]
    except OSError as error:
        raise ValueError(f"{path.name}: {error}, expected an HDF5 file") from error
    if not np.isfinite(values).all():
        raise ValueError(f"{path.name}: NaN or inf, expected finite numbers")
    return values
