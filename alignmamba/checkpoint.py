"""Checkpoint folders: `model.safetensors` and `config.json`, nothing that can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from alignmamba import calibration
from alignmamba.calibration import CALIBRATION, Calibration
from alignmamba.config import CONFIG, EXTRACTORS_ENCODER, ModelConfig, check_file, read_json, text_encoder
from alignmamba.modality import Modality
from alignmamba.modeling import emotions
from alignmamba.modeling.emotions import EmotionWords
from alignmamba.modeling.model import AlignMamba

WEIGHTS = "model.safetensors"
FORMAT = 1  # of config.json
MAX_WEIGHTS_BYTES = 4_000_000_000  # of the weights' file, a thousand times what the shipped one has


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message gives the reason and the remedy."""


class Checkpoint(NamedTuple):
    """A model with the schema of the features it was trained on and a record of its training.

    Attributes:
        model: Ready to predict.
        schema: `FeatureSchema.to_dict()`.
        training: Settings, seed and history of the run.
        encoder: Text encoder for its language features: its own folder, that of a checkpoint beside it that it shares,
            or the name of the extractors' own.
        calibration: Uncertainty per subset of modalities; None where that was not fitted.
        emotion_words: Classifiers of emotion words; None where none were fitted.
    """

    model: AlignMamba
    schema: dict[str, Any]
    training: dict[str, Any]
    encoder: str = EXTRACTORS_ENCODER
    calibration: Calibration | None = None
    emotion_words: EmotionWords | None = None


def save(
    folder: Path,
    model: AlignMamba,
    *,
    schema: Mapping[str, Any],
    training: Mapping[str, Any] | None = None,
    encoder_of: str | None = None,
) -> None:
    """Write a checkpoint. A calibration in the folder is removed: it was fitted to other weights.

    Args:
        folder: Created if it does not exist.
        model: Its weights are stored in float32.
        schema: `FeatureSchema.to_dict()` of the features it was trained on.
        training: Settings, seed and data hashes of the run, for the record.
        encoder_of: Name of a checkpoint in the same parent folder whose text encoder it shares.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in model.state_dict().items()}
    (folder / CALIBRATION).unlink(missing_ok=True)
    save_file(state, folder / WEIGHTS)
    content = {"format": FORMAT, "model": model.config.to_dict(), "schema": schema, "training": training or {}}
    if encoder_of is not None:
        content["encoder_of"] = encoder_of
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, *, calibrated: bool = True) -> Checkpoint:
    """Read a checkpoint, ready to predict on the CPU.

    Args:
        folder: Holds `model.safetensors` and `config.json`, perhaps `calibration.json`, `encoder/` and `emotions/`.
        calibrated: Whether to read the calibration; False to fit it anew.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit the other, or the encoder that it shares is not
            beside it.
    """
    try:
        content = read_json(folder / CONFIG)
        shapes = _shapes(folder / WEIGHTS)
        digest = weights_sha256(folder)
        source = text_encoder(folder)
        fitted = calibration.read(folder / CALIBRATION, weights_sha256=digest) if calibrated else None
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint: {error.filename or folder} is missing, expected {CONFIG} and {WEIGHTS} in {folder}"
        ) from error
    except SafetensorError as error:
        raise CheckpointError(
            f"checkpoint: {WEIGHTS} in {folder} is damaged ({error}); fetch or train it again"
        ) from error
    except (ValueError, OSError) as error:
        raise CheckpointError(f"checkpoint: {folder}: {error}; fetch or train it again") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"checkpoint: format {found!r} in {folder / CONFIG}, expected {FORMAT}")
    try:
        config = ModelConfig.from_dict(content["model"])
        schema, training = _objects(content, "schema"), _objects(content, "training")
        with torch.device("meta"):  # no memory is taken before the shapes are known to fit the file
            _check_shapes(AlignMamba(config), shapes)
        model = AlignMamba(config)
        state = load_file(folder / WEIGHTS)
        model.load_state_dict(state)
        statistics = {Modality.AUDIO: config.audio_statistics, Modality.VIDEO: config.video_statistics}
        words = emotions.read(folder, statistics=statistics)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        raise CheckpointError(
            f"checkpoint: {CONFIG} and {WEIGHTS} in {folder} do not fit each other: {error}"
        ) from error
    if broken := sorted(name for name, tensor in state.items() if not tensor.isfinite().all()):
        raise CheckpointError(f"checkpoint: {broken[0]} in {folder / WEIGHTS} holds NaN or infinity; train it again")
    return Checkpoint(model.eval().requires_grad_(False), schema, training, source, fitted, words)


def weights_sha256(folder: Path) -> str:
    """Hash of a checkpoint's weights, which a calibration names."""
    with (folder / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shapes(path: Path) -> dict[str, list[int]]:
    """Read the shapes of a file's tensors from its header, which is checked against the file's length."""
    check_file(path, max_bytes=MAX_WEIGHTS_BYTES)
    with safe_open(path, framework="pt") as stream:
        return {name: stream.get_slice(name).get_shape() for name in stream.keys()}


def _check_shapes(model: AlignMamba, shapes: Mapping[str, list[int]]) -> None:
    expected = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    for name in sorted({*expected, *shapes}):
        if expected.get(name) != shapes.get(name):
            raise ValueError(f"{name}: shape {shapes.get(name)}, expected {expected.get(name)}")


def _objects(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return an entry that must be a JSON object."""
    found = content[key]
    if not isinstance(found, dict):
        raise ValueError(f"{key}: {type(found).__name__}, expected an object")
    return found


def check_schema(made: Mapping[str, Any], trained_on: Mapping[str, Any], *, whose: str) -> None:
    """Refuse features that a model was not trained on.

    Args:
        made: `FeatureSchema.to_dict()` of features.
        trained_on: The checkpoint's.
        whose: The features' owner, as the message names it ("the clip").

    Raises:
        CheckpointError: If the schemas differ; the message names both.
    """
    if made.get("version") != trained_on.get("version"):
        raise CheckpointError(
            f"schema: {whose} has version {made.get('version')!r}, the checkpoint was trained on version "
            f"{trained_on.get('version')!r}; extract older features again, or train an older checkpoint again"
        )
    for name in sorted({*made, *trained_on}):
        if made.get(name) != trained_on.get(name):
            raise CheckpointError(
                f"schema: {whose}'s {name} is {_brief(made.get(name))}, the checkpoint was trained on "
                f"{_brief(trained_on.get(name))}; extract again, or load a checkpoint of the same schema"
            )


def _brief(part: object) -> str:
    """Name a part of a schema without its long column list."""
    if not isinstance(part, Mapping):
        return repr(part)
    return ", ".join(f"{key}={value!r}" for key, value in part.items() if key not in ("columns", "units"))
