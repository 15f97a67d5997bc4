"""CMU-MOSI and CMU-MOSEI as MMSA publishes them: `aligned_50.pkl` and `unaligned_50.pkl` (thuiar/MMSA, README).

The pickle is read once, by `training.data.unpickle`, checked, repaired and kept as safetensors in a folder that is
named by its hash; later runs never open it as a pickle again.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from safetensors.numpy import load_file, save_file

from alignmamba.batch import ModalitySteps
from alignmamba.modality import Modality
from alignmamba.prediction import SCORE_LIMIT
from training.data import unpickle
from training.data.datasets import SPLITS, Dataset, Example, as_steps, sha256

CACHE = Path("runs/mmsa")
FORMAT = 1  # of the converted files
ARRAYS, HEADER = "arrays.safetensors", "header.json"
KEYS = {Modality.AUDIO: "audio", Modality.VIDEO: "vision", Modality.LANGUAGE: "text"}
LENGTHS = {Modality.AUDIO: "audio_lengths", Modality.VIDEO: "vision_lengths"}
ID_MARK = "$_$"  # between video and clip
TOKEN_ROWS = 3  # of text_bert: token ids, attention mask, segments
ATTENTION = 1

# Of the files that MMSA publishes (README, "SHA-256 for feature files").
PUBLISHED = {
    "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": "MOSI/Processed/unaligned_50.pkl",
    "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": "MOSI/Processed/aligned_50.pkl",
    "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": "MOSEI/Processed/unaligned_50.pkl",
    "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": "MOSEI/Processed/aligned_50.pkl",
}
# Columns of audio and video, which distinguish the two datasets.
COLUMNS = {(5, 20): "mosi", (74, 35): "mosei"}


def read(path: Path, *, cache: Path = CACHE, text: str = "text") -> Dataset:
    """Read a file of MMSA.

    Args:
        path: `aligned_50.pkl` or `unaligned_50.pkl`.
        cache: Folder for the converted file.
        text: Which features of words: "text", the hidden states of BERT that the file holds.

    Returns:
        Dataset "mosi-aligned", "mosei-unaligned" and so on; steps of aligned files share one grid of words. Steps
        without a number other than zero were padding, or nothing was observed there: they are masked.

    Raises:
        ValueError: If the file is not of this format, or a label is NaN or outside [-3, 3]. Nothing is written then.
    """
    if text != "text":
        raise ValueError(f"text: {text!r}, expected 'text'; token ids (text_bert) are no features, and need a BERT")
    digest = sha256(path)
    folder = cache / digest
    if (folder / HEADER).exists():
        header = json.loads((folder / HEADER).read_text(encoding="utf-8"))
        if header["format"] != FORMAT:
            raise ValueError(f"{folder}: format {header['format']}, expected {FORMAT}; remove it to convert again")
        return _dataset(path, digest, header, load_file(folder / ARRAYS))
    header, arrays = _checked(path)
    dataset = _dataset(path, digest, header, arrays)
    _write(folder, header, arrays)
    return dataset


def _dataset(path: Path, digest: str, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Dataset:
    splits = {}
    for split in SPLITS:
        mine = {key: arrays[f"{split}.{key}"] for key in header["keys"]}
        splits[split] = tuple(
            Example(id=name, clip=_clip(mine, row, aligned=header["aligned"]), score=mine["labels"][row : row + 1])
            for row, name in enumerate(header["ids"][split])
        )
    published = PUBLISHED.get(digest)
    known = f"the file that MMSA publishes as {published}" if published else "not a file whose hash MMSA publishes"
    return Dataset(
        name=header["name"],
        level="clip",
        splits=splits,
        data_sha256={path.name: digest},
        notes=(known, *header["repairs"]),
    )


def _clip(arrays: Mapping[str, np.ndarray], row: int, *, aligned: bool) -> dict[Modality, ModalitySteps]:
    """Steps of one clip without its padding; a modality without observations is left out."""
    observed: dict[Modality, Bool[np.ndarray, " time"]] = {}
    for modality, key in KEYS.items():
        mask = (arrays[key][row] != 0).any(1)
        if modality in LENGTHS and not aligned:
            mask &= np.arange(len(mask)) < arrays[LENGTHS[modality]][row]
        if modality is Modality.LANGUAGE:
            mask &= arrays["attention"][row]
        observed[modality] = mask
    anything = np.logical_or.reduce(list(observed.values())) if aligned else None
    clip = {}
    for modality, mask in observed.items():
        if mask.any():
            there = np.flatnonzero(mask if anything is None else anything)
            kept = slice(there[0], there[-1] + 1)
            places = np.arange(len(mask), dtype=np.float32)
            clip[modality] = as_steps(arrays[KEYS[modality]][row][kept], mask[kept], places[kept])
    return clip


def _checked(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of a pickle."""
    stored = unpickle.load(path)
    if not isinstance(stored, dict) or not set(SPLITS) <= stored.keys():
        raise ValueError(f"{path.name}: no dictionary of {list(SPLITS)}, expected MMSA's format")
    parts = {}
    for split in SPLITS:
        if not isinstance(stored[split], dict):
            raise ValueError(f"{path.name}, {split}: {type(stored[split]).__name__}, expected a dictionary of arrays")
        parts[split] = _Part(stored[split], f"{path.name}, {split}")
    first = parts["train"]
    for split, part in parts.items():
        if part.aligned != first.aligned or part.columns != first.columns:
            raise ValueError(f"{path.name}, {split}: columns {part.columns}, expected {first.columns} as in train")
    kind = COLUMNS.get((first.columns["audio"], first.columns["vision"]), "mmsa")
    header = {
        "format": FORMAT,
        "name": f"{kind}-{'aligned' if first.aligned else 'unaligned'}",
        "aligned": first.aligned,
        "keys": sorted(first.arrays),
        "ids": {split: part.ids for split, part in parts.items()},
        "repairs": _repairs(parts),
    }
    return header, {f"{split}.{key}": value for split, part in parts.items() for key, value in part.arrays.items()}


def _write(folder: Path, header: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as draft:
        save_file(arrays, Path(draft, ARRAYS))
        Path(draft, HEADER).write_text(json.dumps(header), encoding="utf-8")
        os.replace(Path(draft, ARRAYS), folder / ARRAYS)
        os.replace(Path(draft, HEADER), folder / HEADER)  # last: where it is, all is


def _repairs(parts: Mapping[str, _Part]) -> list[str]:
    names = sorted({name for part in parts.values() for name in part.repaired})
    counts = {name: sum(part.repaired.get(name, 0) for part in parts.values()) for name in names}
    return [f"{count} values of {name} in audio replaced by 0" for name, count in counts.items()]


class _Part:
    """One split of a pickle, checked: the ids, arrays of one row a clip, and what was repaired."""

    def __init__(self, stored: Mapping[str, Any], where: str) -> None:
        self.where = where
        self.aligned = "audio_lengths" not in stored
        self.repaired: dict[str, int] = {}
        labels = self._numbers(stored, "regression_labels", rank=1)
        if not len(labels):
            raise ValueError(f"{where}: no clip, expected at least one")
        wrong = labels[~(np.abs(labels) <= SCORE_LIMIT)]
        if len(wrong):
            raise ValueError(f"{where}, regression_labels: {wrong[0]}, expected finite numbers in [-3, 3]")
        self.ids = self._ids(stored, len(labels))
        self.arrays = {"labels": labels.astype(np.float32)}
        for key in KEYS.values():
            self.arrays[key] = self._features(stored, key, len(labels))
        self.columns = {key: self.arrays[key].shape[2] for key in KEYS.values()}
        self.arrays["attention"] = self._attention(stored, self.arrays["text"].shape[:2])
        if not self.aligned:
            for modality, key in LENGTHS.items():
                self.arrays[key] = self._lengths(stored, key, self.arrays[KEYS[modality]].shape[:2])
        elif len({self.arrays[key].shape[1] for key in KEYS.values()}) != 1:
            raise ValueError(f"{where}: steps {self._shapes()}, expected one number in an aligned file")

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: self.arrays[key].shape for key in KEYS.values()}

    def _numbers(self, stored: Mapping[str, Any], key: str, *, rank: int) -> np.ndarray:
        if key not in stored:
            raise ValueError(f"{self.where}: {key} is missing, expected MMSA's format")
        found = unpickle.array(stored[key])
        if found is None or found.dtype.kind not in "biuf" or found.ndim != rank:
            kind = "no array" if found is None else f"{found.dtype} of shape {found.shape}"
            raise ValueError(f"{self.where}, {key}: {kind}, expected numbers with {rank} axes")
        return found

    def _features(self, stored: Mapping[str, Any], key: str, clips: int) -> np.ndarray:
        found = self._numbers(stored, key, rank=3)
        if len(found) != clips or 0 in found.shape:
            raise ValueError(f"{self.where}, {key}: shape {found.shape}, expected ({clips}, steps, columns)")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf and is dealt with below
            values = found.astype(np.float32, order="C", copy=False)
        if np.isfinite(values).all():
            return values
        if key != "audio":
            raise ValueError(f"{self.where}, {key}: NaN or inf, expected finite numbers")
        values = values.copy()
        for name, wrong in (("-inf", np.isneginf(values)), ("inf", np.isposinf(values)), ("NaN", np.isnan(values))):
            if wrong.any():
                self.repaired[name] = int(wrong.sum())
                values[wrong] = 0
        return values

    def _attention(self, stored: Mapping[str, Any], shape: tuple[int, int]) -> np.ndarray:
        tokens = self._numbers(stored, "text_bert", rank=3)
        if tokens.shape != (shape[0], TOKEN_ROWS, shape[1]):
            expected = (shape[0], TOKEN_ROWS, shape[1])
            raise ValueError(f"{self.where}, text_bert: shape {tokens.shape}, expected {expected}")
        return tokens[:, ATTENTION] > 0

    def _lengths(self, stored: Mapping[str, Any], key: str, shape: tuple[int, int]) -> np.ndarray:
        lengths = self._numbers(stored, key, rank=1)
        if len(lengths) != shape[0] or not ((lengths >= 0) & (lengths <= shape[1])).all():
            raise ValueError(f"{self.where}, {key}: expected {shape[0]} numbers from 0 to {shape[1]}")
        return lengths.astype(np.int64)

    def _ids(self, stored: Mapping[str, Any], clips: int) -> list[str]:
        found = unpickle.array(stored.get("id"))
        if found is None or found.dtype.kind != "U" or found.shape != (clips,):
            raise ValueError(f"{self.where}, id: expected {clips} texts")
        for name in found.tolist():
            if ID_MARK not in name:
                raise ValueError(f"{self.where}, id: {name!r:.80}, expected video{ID_MARK}clip")
        return found.tolist()
