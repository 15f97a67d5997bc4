"""Checkpoint folders: `model.safetensors` and `config.json`, nothing that can run code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from alignmamba import calibration
from alignmamba.calibration import CALIBRATION, Calibration
from alignmamba.config import ModelConfig
from alignmamba.modeling.model import AlignMamba

WEIGHTS, CONFIG = "model.safetensors", "config.json"
ENCODER_FOLDER = "encoder"  # a text encoder that ships with the model, for the extraction of its features
EXTRACTORS_ENCODER = "minilm"  # the extractors' own, where none ships
FORMAT = 1  # of config.json


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message gives the reason and the remedy."""


class Checkpoint(NamedTuple):
    """A model with the schema of the features it was trained on and a record of its training.

    Attributes:
        model: Ready to predict.
        schema: `FeatureSchema.to_dict()`.
        training: Settings, seed and history of the run.
        encoder: Text encoder for its language features: a folder, or the name of the extractors' own.
        calibration: Uncertainty per subset of modalities; None where that was not fitted.
    """

    model: AlignMamba
    schema: dict[str, Any]
    training: dict[str, Any]
    encoder: str = EXTRACTORS_ENCODER
    calibration: Calibration | None = None


def save(
    folder: Path, model: AlignMamba, *, schema: Mapping[str, Any], training: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint. A calibration in the folder is removed: it was fitted to other weights.

    Args:
        folder: Created if it does not exist.
        model: Its weights are stored in float32.
        schema: `FeatureSchema.to_dict()` of the features it was trained on.
        training: Settings, seed and data hashes of the run, for the record.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().float().contiguous() for name, tensor in model.state_dict().items()}
    (folder / CALIBRATION).unlink(missing_ok=True)
    save_file(state, folder / WEIGHTS)
    content = {"format": FORMAT, "model": model.config.to_dict(), "schema": schema, "training": training or {}}
    (folder / CONFIG).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(folder: Path, *, calibrated: bool = True) -> Checkpoint:
    """Read a checkpoint, ready to predict on the CPU.

    Args:
        folder: Holds `model.safetensors` and `config.json`, perhaps `calibration.json` and `encoder/`.
        calibrated: Whether to read the calibration; False to fit it anew.

    Raises:
        CheckpointError: If a file is missing, damaged, or does not fit the other.
    """
    try:
        content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        state = load_file(folder / WEIGHTS)
        digest = weights_sha256(folder)
        fitted = calibration.read(folder / CALIBRATION, weights_sha256=digest) if calibrated else None
    except FileNotFoundError as error:
        raise CheckpointError(
            f"checkpoint: {error.filename or folder} is missing, expected {CONFIG} and {WEIGHTS} in {folder}"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, SafetensorError) as error:
        raise CheckpointError(
            f"checkpoint: a file in {folder} is damaged ({error}); fetch or train it again"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"checkpoint: {folder}: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"checkpoint: format {found!r} in {folder / CONFIG}, expected {FORMAT}")
    try:
        model = AlignMamba(ModelConfig.from_dict(content["model"]))
        model.load_state_dict(state)
        schema, training = content["schema"], content["training"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"checkpoint: {CONFIG} and {WEIGHTS} in {folder} do not fit each other: {error}"
        ) from error
    encoder = folder / ENCODER_FOLDER
    source = str(encoder) if encoder.is_dir() else EXTRACTORS_ENCODER
    return Checkpoint(model.eval().requires_grad_(False), schema, training, source, fitted)


def weights_sha256(folder: Path) -> str:
    """Hash of a checkpoint's weights, which a calibration names."""
    return hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def check_schema(made: Mapping[str, Any], trained_on: Mapping[str, Any], *, whose: str) -> None:
    """Refuse features that a model was not trained on.

    Args:
        made: `FeatureSchema.to_dict()` of features.
        trained_on: The checkpoint's.
        whose: The features' owner, as the message names it ("the clip").

    Raises:
        CheckpointError: If the schemas differ; the message names both.
    """
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
    return ", ".join(f"{key}={value!r}" for key, value in part.items() if key != "columns")
