"""Feature files: one safetensors file per clip.

Files are written whole or not at all, carry a hash of all they hold, and are never unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast, get_args

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors

from extractors.assets.files import write_whole
from extractors.messages import Message
from extractors.schema import (
    MODALITY_NAMES,
    STEP_ARRAYS,
    ClipFeatures,
    FeatureSchema,
    ModalityFeatures,
    SchemaError,
    Track,
    TranscriptSource,
    Word,
)

FORMAT_VERSION = 3  # 2: with tracks; 3: messages as codes and values
SUFFIX = ".safetensors"
TRACK_ARRAYS = ("seconds", "values")  # named "track.INDEX.ARRAY", float64
OUTLINES = "outlines"  # uint8; not in files from before there were any
VOICE = ("voice_rows", "voice_states")  # float32; likewise
APART = "apart"  # of a modality, "MODALITY.apart"; not where there are none, nor in files from before
MAX_BYTES = 500_000_000  # of a file; the longest clip with the widest features has a tenth of that
MAX_HEADER_BYTES = 4_000_000  # of names, shapes and texts
TYPES = {"values": np.float32, "start": np.float64, "end": np.float64, "valid": np.bool_, APART: np.float32}


class FeatureFileError(ValueError):
    """A feature file is damaged, or is none."""


def save(features: ClipFeatures, path: Path, *, origin: Mapping[str, Any] | None = None) -> None:
    """Write features; a reader, and a crash at any moment, finds either the whole file or none.

    Args:
        features: Of any clip.
        path: Is replaced where it exists; its folder must exist.
        origin: JSON types about where the features come from, given back by `read_origin`.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors: dict[str, np.ndarray] = {
        f"{name}.{array}": np.ascontiguousarray(getattr(features.modality(name), array), TYPES[array])
        for name in MODALITY_NAMES
        for array in _arrays(features.modality(name))
    }
    for index, track in enumerate(features.tracks):
        for array in TRACK_ARRAYS:
            tensors[f"track.{index}.{array}"] = np.ascontiguousarray(getattr(track, array), np.float64)
    if features.outlines is not None:
        tensors[OUTLINES] = np.ascontiguousarray(features.outlines, np.uint8)
    for name in VOICE:
        if (array := getattr(features, name)) is not None:
            tensors[name] = np.ascontiguousarray(array, np.float32)
    texts = {"clip": json.dumps(_facts(features)), "origin": json.dumps(dict(origin or {}))}
    write_whole(path, to_safetensors(tensors, metadata={**texts, "sha256": _digest(tensors, texts)}))


def load(path: Path, *, schema: FeatureSchema | None = None) -> ClipFeatures:
    """Read features.

    Args:
        path: As written by `save`.
        schema: The schema that is needed; None for any.

    Returns:
        What `save` was given, to the last bit.

    Raises:
        FileNotFoundError: If there is no such file.
        FeatureFileError: If the file is damaged or holds something else.
        SchemaError: If the features were made by another schema than `schema`.
    """
    texts, tensors = _read(path, arrays=True)
    if texts.get("sha256") != _digest(tensors, texts):
        raise FeatureFileError(f"{path}: its content is not what was written (its SHA-256 differs).")
    try:
        features = _features(json.loads(texts["clip"]), tensors)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise FeatureFileError(f"{path}: holds no features of a clip: {error}") from error
    if schema is not None and features.schema != schema:
        raise SchemaError(f"{path}: {_difference(features.schema, schema)}")
    return features


def read_origin(path: Path) -> dict[str, Any]:
    """Return the `origin` that `save` was given, without reading the arrays.

    Raises:
        FileNotFoundError: If there is no such file.
        FeatureFileError: If the file is damaged or holds something else.
    """
    texts, _ = _read(path, arrays=False)
    try:
        return dict(json.loads(texts["origin"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FeatureFileError(f"{path}: holds no features of a clip: {error}") from error


def save_steps(parts: Sequence[ModalityFeatures], path: Path) -> None:
    """Write features of one modality, several times over, as one file.

    Raises:
        OSError: If the file cannot be written.
    """
    tensors = {f"{place}.{array}": getattr(part, array) for place, part in enumerate(parts) for array in _arrays(part)}
    absent = json.dumps([_to_plain(part.absent) for part in parts])
    write_whole(path, to_safetensors(tensors, metadata={"absent": absent}))


def load_steps(path: Path) -> list[ModalityFeatures]:
    """Inverse of `save_steps`.

    Raises:
        FeatureFileError: If the file is damaged or holds something else.
    """
    _check_size(path)
    try:
        with safe_open(path, framework="numpy") as stream:
            return [
                ModalityFeatures(
                    **{
                        array: stream.get_tensor(f"{place}.{array}")
                        for array in (*STEP_ARRAYS, APART)
                        if array != APART or f"{place}.{array}" in stream.keys()
                    },
                    absent=_from_plain(reason),
                )
                for place, reason in enumerate(json.loads((stream.metadata() or {})["absent"]))
            ]
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FeatureFileError(f"{path}: holds no steps of a modality: {error}") from error


def _to_plain(message: Message | None) -> dict[str, Any] | None:
    return None if message is None else message.to_dict()


def _from_plain(plain: Mapping[str, Any] | None) -> Message | None:
    return None if plain is None else Message.from_dict(plain)


def _facts(features: ClipFeatures) -> dict[str, Any]:
    return {
        "format": FORMAT_VERSION,
        "schema": features.schema.to_dict(),
        "duration": float(features.duration),
        "absent": {name: _to_plain(features.modality(name).absent) for name in MODALITY_NAMES},
        "words": [word.to_list() for word in features.words],
        "transcript_source": features.transcript_source,
        "notes": [note.to_dict() for note in features.notes],
        "step_seconds": dict(features.step_seconds),
        "tracks": [[track.name, track.unit] for track in features.tracks],
    }


def _features(facts: dict[str, Any], tensors: dict[str, np.ndarray]) -> ClipFeatures:
    if facts["format"] != FORMAT_VERSION:
        raise ValueError(f"format: {facts['format']!r}, expected {FORMAT_VERSION}")
    for name, tensor in tensors.items():
        expected = _type_of(name)
        if tensor.dtype != expected:
            raise ValueError(f"{name}: {tensor.dtype}, expected {np.dtype(expected)}")
    parts: dict[str, Any] = {
        name: ModalityFeatures(
            **{array: tensors[f"{name}.{array}"] for array in STEP_ARRAYS},
            apart=tensors.get(f"{name}.{APART}"),
            absent=_from_plain(facts["absent"][name]),
        )
        for name in MODALITY_NAMES
    }
    return ClipFeatures(
        **parts,
        words=tuple(map(Word.from_list, facts["words"])),
        duration=float(facts["duration"]),
        schema=FeatureSchema.from_dict(facts["schema"]),
        transcript_source=_source(facts["transcript_source"]),
        notes=tuple(map(Message.from_dict, facts["notes"])),
        step_seconds=MappingProxyType({str(step): float(took) for step, took in facts["step_seconds"].items()}),
        tracks=tuple(
            Track(
                name=str(name), unit=str(unit), **{array: tensors[f"track.{index}.{array}"] for array in TRACK_ARRAYS}
            )
            for index, (name, unit) in enumerate(facts["tracks"])
        ),
        outlines=tensors.get(OUTLINES),
        voice_rows=tensors.get("voice_rows"),
        voice_states=tensors.get("voice_states"),
    )


def _arrays(part: ModalityFeatures) -> tuple[str, ...]:
    """Return the names of the arrays that a modality has."""
    return STEP_ARRAYS if part.apart is None else (*STEP_ARRAYS, APART)


def _is_optional(name: str) -> bool:
    return name.startswith("track.") or name in (OUTLINES, *VOICE, *(f"{each}.{APART}" for each in MODALITY_NAMES))


def _type_of(name: str) -> type[np.generic]:
    """Return the type that a tensor must have."""
    if name == OUTLINES:
        return np.uint8
    if name in VOICE:
        return np.float32
    return np.float64 if name.startswith("track.") else TYPES[name.split(".")[1]]


def _source(text: str) -> TranscriptSource:
    if text not in get_args(TranscriptSource):
        raise ValueError(f"transcript_source: {text!r}, expected one of {get_args(TranscriptSource)}")
    return cast(TranscriptSource, text)


def _read(path: Path, *, arrays: bool) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    _check_size(path)
    try:
        with safe_open(path, framework="numpy") as stream:
            wanted = [f"{name}.{array}" for name in MODALITY_NAMES for array in STEP_ARRAYS] if arrays else []
            wanted += [name for name in stream.keys() if arrays and _is_optional(name)]
            return stream.metadata() or {}, {name: stream.get_tensor(name) for name in wanted}
    except (SafetensorError, TypeError, ValueError, KeyError) as error:  # the latter: unknown types, odd headers
        raise FeatureFileError(f"{path}: is no whole file of features: {error}") from error


def _check_size(path: Path) -> None:
    """Check a file before memory is taken for it; its arrays take no more than it has bytes, as safetensors sees to.

    Raises:
        FeatureFileError: If it, or its header, is too large.
        OSError: If it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        header = int.from_bytes(stream.read(8), "little")
    for what, found, limit in (("the file", size, MAX_BYTES), ("its header", header, MAX_HEADER_BYTES)):
        if found > limit:
            raise FeatureFileError(
                f"{path}: is no whole file of features: {what} has {found:,} bytes, expected at most {limit:,}"
            )


def _digest(tensors: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    """Hash tensors and texts with their names, types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tensors[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(tensors[name]).data)
    for name in ("clip", "origin"):
        digest.update(f"\n{name} {texts.get(name)}".encode())
    return digest.hexdigest()


def _difference(found: FeatureSchema, needed: FeatureSchema) -> str:
    """Describe the first field in which two schemas differ, with both values."""
    if found.version != needed.version:
        return f"its features have schema version {found.version}, expected {needed.version}"
    for name in MODALITY_NAMES:
        ours, theirs = asdict(getattr(found, name)), asdict(getattr(needed, name))
        for key, value in ours.items():
            if value != theirs[key]:
                return f"its {name} features were made with {key} = {value!r}, expected {theirs[key]!r}"
    raise ValueError("schemas: equal, expected a difference")
